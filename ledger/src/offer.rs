//! Offers: what a shop sells, at which price, until when. Some vendors' checkouts name an offer, not an amount.

use jiff::Timestamp;

use crate::ids::{RecordId, TenantId};
use crate::money::Money;
use crate::order::Item;

/// An offer as it was last registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The shop's name for it.
    pub identifier: String,
    /// What it costs.
    pub amount: Money,
    /// What is in it.
    pub items: Vec<Item>,
    /// After this moment it can no longer be bought.
    pub expires_at: Option<Timestamp>,
    /// False for a showcase: it can be looked at, not bought.
    pub purchasable: bool,
}

impl Offer {
    /// The record that holds the offer of this name.
    pub fn record_id(tenant: &TenantId, identifier: &str) -> RecordId {
        RecordId::for_key(tenant, "offer", identifier)
    }

    /// Whether it can be bought at `now`.
    pub fn check_purchasable(&self, now: Timestamp) -> Result<(), NotForSale> {
        match self.expires_at {
            Some(end) if now >= end => Err(NotForSale::Expired),
            Some(_) | None if !self.purchasable => Err(NotForSale::Showcase),
            Some(_) | None => Ok(()),
        }
    }
}

/// Why an offer cannot be bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotForSale {
    /// Its time is over.
    #[error("the offer has expired")]
    Expired,
    /// It is only for show.
    #[error("the offer is a showcase")]
    Showcase,
}

/// What can happen to an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It was registered, or registered anew with other content.
    OfferRegistered(Offer),
}

/// What can be asked of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Register it, or replace what was registered.
    Register(Offer),
}

/// No events when the offer stands as asked already.
pub fn decide(offer: Option<&Offer>, command: &Command) -> Vec<Event> {
    let Command::Register(wanted) = command;
    if offer == Some(wanted) { Vec::new() } else { vec![Event::OfferRegistered(wanted.clone())] }
}

/// The offer after `event`.
pub fn evolve(_before: Option<Offer>, event: &Event) -> Offer {
    let Event::OfferRegistered(offer) = event;
    offer.clone()
}
