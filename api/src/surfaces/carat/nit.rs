//! The `nit`: what a transaction is called on this surface. 64 characters: the order's id in 32 hexadecimal digits,
//! and 32 of a MAC over tenant and order. Nothing has to be looked up to tell a made-up one from a real one.

use data_encoding::HEXLOWER;
use ledger::ids::{RecordId, TenantId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::tokens::TokenSigner;

const PURPOSE: &str = "carat.nit";
const ID_DIGITS: usize = 32;

/// The nit of this tenant's order; the same on every node, for ever.
pub(super) fn of(signer: &TokenSigner, tenant: &TenantId, order: RecordId) -> String {
    let mac = signer.sign(PURPOSE, &[tenant.as_str(), &order.to_string()]);
    // The nit has room for 128 bits in hexadecimal. The hash is only a way to get them.
    let tag = Sha256::digest(mac.as_bytes());
    format!("{}{}", order.0.simple(), HEXLOWER.encode(&tag[..16]))
}

/// The order that `nit` names, if it is one that [`of`] gave to this tenant.
pub(super) fn order(signer: &TokenSigner, tenant: &TenantId, nit: &str) -> Option<RecordId> {
    let order = RecordId(Uuid::try_parse(nit.get(..ID_DIGITS)?).ok()?);
    let is_genuine = bool::from(of(signer, tenant, order).as_bytes().ct_eq(nit.as_bytes()));
    is_genuine.then_some(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn a_nit_names_one_order_of_one_tenant() {
        let signer = TokenSigner::new(Secret::new("s"));
        let tenant: TenantId = "demo".parse().unwrap();
        let id = RecordId::for_key(&tenant, "carat.transaction", "order_id=A-1");
        let nit = of(&signer, &tenant, id);
        // Pinned: shops keep it for as long as they keep the order.
        assert_eq!(nit, "a08e2485a1b559bb94cb88178b34e38f6f8a993fdd6413c847f1669977d8b8c8");
        assert_eq!(order(&signer, &tenant, &nit), Some(id));
        assert_eq!(order(&signer, &"other".parse().unwrap(), &nit), None);
        assert_eq!(order(&TokenSigner::new(Secret::new("t")), &tenant, &nit), None);
        for index in 0..nit.len() {
            let other = if &nit[index..=index] == "0" { "1" } else { "0" };
            let altered = format!("{}{other}{}", &nit[..index], &nit[index + 1..]);
            assert_eq!(order(&signer, &tenant, &altered), None, "{altered}");
        }
        for bad in ["", &nit[..32], &nit[..63], &format!("{nit}0"), &nit.to_uppercase(), &"é".repeat(32)] {
            assert_eq!(order(&signer, &tenant, bad), None, "{bad:?}");
        }
    }
}
