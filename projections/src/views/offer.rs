//! The offer view: an offer as it was last registered.

use ledger::commit::{Changes, Recorded};
use ledger::ids::{Position, TenantId};
use ledger::offer::{Offer, evolve};
use ledger::order::ImpossibleEvent;

/// An offer and where it stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferView {
    /// Whose.
    pub tenant: TenantId,
    /// The offer.
    pub offer: Offer,
    /// Its newest commit in this view.
    pub last: Position,
}

/// The view after a commit of its offer.
pub fn apply(view: Option<OfferView>, recorded: &Recorded) -> Result<OfferView, ImpossibleEvent> {
    let events = match &recorded.commit.changes {
        Changes::Offer(events) => events,
        Changes::Order(_) | Changes::Quarantine(_) => {
            return Err(ImpossibleEvent("a commit of another kind under an offer's id".to_owned()));
        }
    };
    let before = view.map(|view| view.offer);
    let offer = events.iter().fold(before, |offer, event| Some(evolve(offer, event)));
    Ok(OfferView {
        tenant: recorded.commit.tenant.clone(),
        offer: offer.ok_or_else(|| ImpossibleEvent("a commit without events".to_owned()))?,
        last: recorded.position,
    })
}
