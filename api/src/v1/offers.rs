//! `PUT` and `GET /v1/offers/{id}`: what a shop sells, by its own name for it.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use ledger::ids::Position;
use ledger::offer::Offer;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::amount::{Amount, AmountBody};
use super::fields::moment;
use super::items::{self, ItemBody};
use super::shapes::{ItemJson, time};
use crate::app::App;
use crate::http::body::{Json, Object};
use crate::http::id::{IdempotencyKey, POSITION_HEADER};
use crate::http::problem::Document;
use crate::http::{Caller, Code, Problem};
use crate::orders::{self, Ask};

/// `{id}`: 1 to 128 characters.
pub(crate) struct OfferName(String);

impl FromRequestParts<Arc<App>> for OfferName {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        let Path(name) = path.map_err(|_| Problem::not_found())?;
        if (1..=128).contains(&name.chars().count()) {
            Ok(OfferName(name))
        } else {
            Err(Problem::new(Code::InvalidField, "an offer's name has 1 to 128 characters"))
        }
    }
}

/// An offer as a shop registers it.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OfferRequest)]
pub(crate) struct OfferBody {
    #[schema(value_type = Amount)]
    amount: Object<AmountBody>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Option<Vec<ItemBody>>)]
    items: Vec<Object<ItemBody>>,
    /// RFC 3339; after this it can no longer be bought.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    /// False for a showcase.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    #[schema(value_type = Option<bool>)]
    purchasable: bool,
}

fn yes() -> bool {
    true
}

fn is_yes(purchasable: &bool) -> bool {
    *purchasable
}

/// An offer as it stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Offer)]
struct OfferJson {
    offer_id: String,
    amount: Amount,
    items: Vec<ItemJson>,
    /// RFC 3339 in UTC.
    expires_at: Option<String>,
    purchasable: bool,
    position: String,
}

impl OfferJson {
    fn of(offer: &Offer, position: Position) -> Self {
        OfferJson {
            offer_id: offer.identifier.clone(),
            amount: offer.amount.into(),
            items: offer.items.iter().map(ItemJson::of).collect(),
            expires_at: offer.expires_at.map(time),
            purchasable: offer.purchasable,
            position: position.to_string(),
        }
    }
}

/// Registers an offer, or replaces what was registered under its name.
#[utoipa::path(
    put, path = "/v1/offers/{id}", tag = "Offers", security(("api_key" = [])),
    params(
        ("id" = String, Path, description = "The shop's name for it, 1 to 128 characters"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters"),
    ),
    request_body = OfferBody,
    responses(
        (status = 201, description = "Registered", body = OfferJson),
        (status = 200, description = "Replaced, or unchanged", body = OfferJson),
        (status = 422, description = "Refused as it is written; nothing changed", body = Document),
    )
)]
pub(crate) async fn put(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OfferName(identifier): OfferName,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<OfferBody>,
) -> Result<Response, Problem> {
    let offer = Offer {
        identifier,
        amount: body.amount.0.read("/amount")?,
        items: items::check(&body.items)?,
        expires_at: body.expires_at.as_ref().map(|text| moment("/expires_at", text)).transpose()?,
        purchasable: body.purchasable,
    };
    // Putting the same again changes nothing by itself. A key is for a retry that comes so late that another
    // request has replaced the offer since.
    let ask = Ask::new(tenant, key, &body)?;
    let registered = orders::register_offer(&app, ask, offer).await?;
    let status = if registered.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let headers = [(POSITION_HEADER, registered.position.to_string())];
    let document = OfferJson::of(&registered.offer, registered.position);
    Ok((status, headers, axum::Json(document)).into_response())
}

/// An offer as it stands.
#[utoipa::path(
    get, path = "/v1/offers/{id}", tag = "Offers", security(("api_key" = [])),
    params(("id" = String, Path, description = "The shop's name for it")),
    responses(
        (status = 200, description = "The offer", body = OfferJson),
        (status = 404, description = "No such offer", body = Document),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Caller(tenant): Caller,
    OfferName(identifier): OfferName,
) -> Result<Response, Problem> {
    let (offer, position) =
        orders::offer(&app, &tenant, &identifier).await?.ok_or_else(Problem::not_found)?;
    Ok(axum::Json(OfferJson::of(&offer, position)).into_response())
}
