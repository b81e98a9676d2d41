//! The tenants: whose key is whose, and which webhook sources each has.
//!
//! Keys are known by their SHA-256 alone and compared in constant time, against every tenant's, so that the time
//! an answer takes tells nothing about a key.

use std::collections::BTreeMap;

use ledger::ids::TenantId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::config::{TenantConfig, WebhookSource};

/// Every tenant of this server.
#[derive(Debug, Clone, Default)]
pub struct Tenants {
    by_id: BTreeMap<TenantId, TenantConfig>,
}

impl Tenants {
    /// The tenants that are configured.
    pub fn new(tenants: impl IntoIterator<Item = TenantConfig>) -> Self {
        Tenants { by_id: tenants.into_iter().map(|tenant| (tenant.id.clone(), tenant)).collect() }
    }

    /// The tenant whose API key this is.
    pub fn by_api_key(&self, key: &str) -> Option<TenantId> {
        let hash = Sha256::digest(key.as_bytes());
        let mut found = None;
        for tenant in self.by_id.values() {
            for known in &tenant.api_key_hashes {
                if bool::from(known.as_slice().ct_eq(hash.as_slice())) {
                    found = Some(&tenant.id);
                }
            }
        }
        found.cloned()
    }

    /// Whether `key` is an API key of this tenant, for surfaces that send both.
    pub fn is_key_of(&self, tenant: &TenantId, key: &str) -> bool {
        self.by_api_key(key).as_ref() == Some(tenant)
    }

    /// A tenant's webhook source.
    pub fn webhook_source(&self, tenant: &TenantId, source: &str) -> Option<&WebhookSource> {
        self.by_id.get(tenant)?.webhooks.get(source)
    }

    /// A tenant as it is configured.
    pub fn get(&self, tenant: &TenantId) -> Option<&TenantConfig> {
        self.by_id.get(tenant)
    }

    /// The tenants, in the order of their names.
    pub fn ids(&self) -> impl Iterator<Item = &TenantId> {
        self.by_id.keys()
    }
}

/// What stands in the configuration in place of a key.
pub fn hash_of(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_belongs_to_one_tenant() {
        let tenant = |id: &str, keys: &[&str]| TenantConfig {
            id: id.parse().unwrap(),
            api_key_hashes: keys.iter().map(|key| hash_of(key)).collect(),
            webhooks: BTreeMap::new(),
            akinon_hash_key: None,
            kronor_redirect_url: None,
            kronor_redirect_origins: Vec::new(),
            notifications: None,
        };
        let tenants = Tenants::new([tenant("acme", &["one", "two"]), tenant("shop", &["three"])]);
        let acme: TenantId = "acme".parse().unwrap();
        assert_eq!(tenants.by_api_key("two"), Some(acme.clone()));
        assert_eq!(tenants.by_api_key("three").map(|t| t.to_string()), Some("shop".to_owned()));
        assert_eq!(tenants.by_api_key("four"), None);
        assert_eq!(tenants.by_api_key(""), None);
        assert!(tenants.is_key_of(&acme, "one"));
        assert!(!tenants.is_key_of(&acme, "three"));
    }
}
