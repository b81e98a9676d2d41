//! The lines of a basket as a shop sends them, in checkouts and in offers.

use ledger::order::Item;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::amount::{Amount, AmountBody};
use super::fields::{maybe_prose, maybe_text, text};
use crate::http::body::Object;
use crate::http::{Code, Problem};

/// A line of the basket.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ItemRequest)]
pub struct ItemBody {
    identifier: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// From 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    quantity: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Amount>)]
    unit_price: Option<Object<AmountBody>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_identifier: Option<String>,
}

fn one() -> u32 {
    1
}

fn is_one(quantity: &u32) -> bool {
    *quantity == 1
}

/// The items, checked.
pub fn check(bodies: &[Object<ItemBody>]) -> Result<Vec<Item>, Problem> {
    if bodies.len() > 200 {
        return Err(Problem::at(Code::InvalidField, "/items", "at most 200"));
    }
    bodies.iter().enumerate().map(|(index, item)| item.0.check(&format!("/items/{index}"))).collect()
}

impl ItemBody {
    fn check(&self, at: &str) -> Result<Item, Problem> {
        let field = |name: &str| format!("{at}/{name}");
        if self.quantity == 0 {
            return Err(Problem::at(Code::InvalidField, field("quantity"), "from 1"));
        }
        let price = self.unit_price.as_ref().map(|price| price.0.read(&field("unit_price")));
        let parent = self.parent_identifier.as_ref();
        Ok(Item {
            identifier: text(&field("identifier"), &self.identifier, 1, 256)?,
            name: maybe_prose(&field("name"), self.name.as_ref(), 0, 256)?,
            quantity: self.quantity,
            unit_price: price.transpose()?,
            parent_identifier: maybe_text(&field("parent_identifier"), parent, 1, 256)?,
        })
    }
}
