//! Carat's replies: `{code: "0", message, payment}`. Numbers are texts, as in the vendor's own examples.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use ledger::ids::RecordId;
use ledger::order::{Order, Status};
use serde::Serialize;

use super::{MERCHANT_USN, ORDER_ID};

/// What became of a call that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Reply {
    code: &'static str,
    message: &'static str,
    payment: Payment,
    #[serde(skip)]
    http_status: StatusCode,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
struct Payment {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant_usn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_usn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_date: Option<String>,
}

/// How a transaction was effectuated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effectuated {
    /// The host's number of the payment; none where a payment was undone and nobody kept the number.
    pub(super) host_usn: Option<String>,
    /// When.
    pub(super) at: Timestamp,
}

impl Reply {
    /// The answer to a creation, from the checkout alone.
    pub(super) fn created(nit: String, order: &Order) -> Self {
        Reply { http_status: StatusCode::CREATED, ..Reply::ok(Payment::of("NOV", nit, order)) }
    }

    /// The answer to a confirmation or to an undoing.
    pub(super) fn effectuated(is_confirmed: bool, effectuated: Effectuated) -> Self {
        let status = if is_confirmed { "CON" } else { "PPN" };
        Reply::ok(Payment { status, ..Payment::default() }.with(effectuated))
    }

    /// Where a transaction stands.
    pub(super) fn state(nit: String, order: &Order, effectuated: Option<Effectuated>) -> Self {
        let payment = Payment::of(status(order, effectuated.is_some()), nit, order);
        Reply::ok(match effectuated {
            Some(effectuated) => payment.with(effectuated),
            None => payment,
        })
    }

    fn ok(payment: Payment) -> Self {
        Reply { code: "0", message: "OK. Transaction successful.", payment, http_status: StatusCode::OK }
    }
}

impl Payment {
    fn of(status: &'static str, nit: String, order: &Order) -> Self {
        let data = &order.checkout.surface.data;
        Payment {
            status,
            nit: Some(nit),
            order_id: data.get(ORDER_ID).cloned(),
            merchant_usn: data.get(MERCHANT_USN).cloned(),
            amount: Some(order.checkout.amount.minor().to_string()),
            ..Payment::default()
        }
    }

    fn with(self, Effectuated { host_usn, at }: Effectuated) -> Self {
        Payment { host_usn, payment_date: Some(payment_date(at)), ..self }
    }
}

/// The vendor's word for where an order stands. A canceled one was undone if it was effectuated here, else it was
/// canceled elsewhere.
pub(super) fn status(order: &Order, is_effectuated: bool) -> &'static str {
    match order.status() {
        Status::Processing | Status::ActionRequired if !is_effectuated => "NOV",
        Status::Authorized if !is_effectuated => "PPC",
        Status::Canceled if !is_effectuated => "CAN",
        // An authorization that came from elsewhere is still to be released.
        Status::Processing | Status::ActionRequired | Status::Authorized | Status::Canceled => "PPN",
        Status::PartiallyCaptured | Status::Captured | Status::PartiallyRefunded | Status::Refunded => {
            let balance = order.balance();
            if balance.refunded_minor > 0 && balance.refunded_minor >= balance.captured_minor {
                "EST"
            } else {
                "CON"
            }
        }
        Status::Failed => "NEG",
        Status::Expired => "EXP",
    }
}

/// DD/MM/YYYYTHH:mm on the clocks of São Paulo, which have not changed to summer time since 2019 (decree 9.772):
/// UTC−3 needs no database of time zones.
fn payment_date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::fixed(Offset::constant(-3))).strftime("%d/%m/%YT%H:%M").to_string()
}

/// Nine digits for a payment whose host's number was not sent: the same for this order for ever.
pub(super) fn made_up_host_usn(order: RecordId) -> String {
    format!("{:09}", order.0.as_u128() % 1_000_000_000)
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        (self.http_status, axum::Json(&self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payment_date_is_on_the_clocks_of_sao_paulo() {
        for (at, expect) in
            [("2017-07-13T19:03:59.999Z", "13/07/2017T16:03"), ("2026-01-01T02:59:00Z", "31/12/2025T23:59")]
        {
            assert_eq!(payment_date(at.parse().unwrap()), expect);
        }
    }
}
