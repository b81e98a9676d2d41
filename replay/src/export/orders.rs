//! The tables `orders` and `totals`: the views. No personal data is in them.

use std::collections::BTreeMap;

use ledger::ids::{Position, TenantId, TrackingNumber};
use ledger::money::Currency;
use ledger::order::{Balance, CaptureMode};
use projections::views::{OrderView, Totals};
use projections::{StoreError, Views};

use super::ExportError;
use super::table::{Column, Kind, Row, count, required};

/// The columns of `orders`, in the order of a row.
pub(super) const ORDERS: &[Column] = &[
    required("tenant", Kind::Text),
    required("order_id", Kind::Text),
    required("tracking_number", Kind::Text),
    required("merchant_reference", Kind::Text),
    required("status", Kind::Text),
    required("currency", Kind::Text),
    required("exponent", Kind::Integer),
    required("amount_minor", Kind::Integer),
    required("authorized_minor", Kind::Integer),
    required("captured_minor", Kind::Integer),
    required("capture_pending_minor", Kind::Integer),
    required("refunded_minor", Kind::Integer),
    required("refund_pending_minor", Kind::Integer),
    required("charged_back_minor", Kind::Integer),
    required("balance_minor", Kind::Integer),
    required("available_to_capture_minor", Kind::Integer),
    required("available_to_refund_minor", Kind::Integer),
    required("capture", Kind::Text),
    required("attempts", Kind::Integer),
    required("anomalies", Kind::Text),
    required("surface", Kind::Text),
    required("created_at", Kind::Time),
    required("updated_at", Kind::Time),
    required("expires_at", Kind::Time),
    required("commits", Kind::Integer),
    required("first_position", Kind::Text),
    required("last_position", Kind::Text),
];

/// The columns of `totals`, in the order of a row.
pub(super) const TOTALS: &[Column] = &[
    required("tenant", Kind::Text),
    required("currency", Kind::Text),
    required("exponent", Kind::Integer),
    required("orders", Kind::Integer),
    required("authorized_minor", Kind::Integer),
    required("captured_minor", Kind::Integer),
    required("refunded_minor", Kind::Integer),
    required("refund_pending_minor", Kind::Integer),
    required("charged_back_minor", Kind::Integer),
    required("balance_minor", Kind::Integer),
];

/// Orders that are read together.
const PAGE: usize = 1000;

/// The place after an order that was passed on: whose, and its first commit.
pub(super) type Place = (TenantId, Position);

/// Passes on the orders, tenant by tenant and oldest first, from after `after`; of one tenant where one is named.
pub(super) fn each_order(
    views: &Views,
    tenant: Option<&TenantId>,
    after: Option<Place>,
    mut each: impl FnMut(OrderView) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    // Before an order of this tenant there is nothing to pass on.
    let begin = || tenant.map(|tenant| (tenant.clone(), Position { partition: 0, sequence: 0 }));
    let mut after = after.or_else(begin);
    loop {
        let page = views.orders(after.as_ref().map(|(tenant, first)| (tenant, *first)), PAGE)?;
        after = page.last().map(|view| (view.tenant.clone(), view.first));
        let is_last = page.len() < PAGE;
        for view in page {
            if tenant.is_some_and(|tenant| *tenant != view.tenant) {
                return Ok(());
            }
            each(view)?;
        }
        if is_last {
            return Ok(());
        }
    }
}

/// How many orders there are, of one tenant or of all.
pub(super) fn count_orders(views: &Views, tenant: Option<&TenantId>) -> Result<u64, StoreError> {
    let totals = views.all_totals()?;
    let wanted = totals.iter().filter(|(of, _, _)| tenant.is_none_or(|tenant| tenant == of));
    Ok(u64::try_from(wanted.map(|(_, _, totals)| totals.orders).sum::<i64>()).unwrap_or(0))
}

/// An order's row.
pub(super) fn order_row(view: &OrderView) -> Row {
    let OrderView { tenant, id, order, commits, first, last, created_at, updated_at, sealed: _ } = view;
    let Balance {
        authorized_minor,
        captured_minor,
        capture_pending_minor,
        refunded_minor,
        refund_pending_minor,
        charged_back_minor,
        balance_minor,
        available_to_capture_minor,
        available_to_refund_minor,
    } = order.balance();
    let amount = order.checkout.amount;
    let anomalies: Vec<&str> = order.anomalies().iter().map(|anomaly| anomaly.code()).collect();
    vec![
        tenant.to_string().into(),
        id.to_string().into(),
        TrackingNumber(*id).to_string().into(),
        order.checkout.merchant_reference.clone().into(),
        order.status().as_str().into(),
        amount.currency().code().into(),
        amount.currency().exponent().into(),
        amount.minor().into(),
        authorized_minor.into(),
        captured_minor.into(),
        capture_pending_minor.into(),
        refunded_minor.into(),
        refund_pending_minor.into(),
        charged_back_minor.into(),
        balance_minor.into(),
        available_to_capture_minor.into(),
        available_to_refund_minor.into(),
        match order.checkout.capture {
            CaptureMode::Automatic => "automatic",
            CaptureMode::Manual => "manual",
        }
        .into(),
        count(order.attempts.len() as u64),
        anomalies.join(" ").into(),
        order.checkout.surface.name.clone().into(),
        (*created_at).into(),
        (*updated_at).into(),
        order.checkout.expires_at.into(),
        count(*commits),
        first.to_string().into(),
        last.to_string().into(),
    ]
}

/// Sums by tenant and currency.
#[derive(Debug, Default)]
pub(super) struct Sums(BTreeMap<(TenantId, Currency), Totals>);

impl Sums {
    /// Counts an order in.
    pub(super) fn add(&mut self, view: &OrderView) {
        let (currency, totals) = Totals::of(&view.order);
        *self.0.entry((view.tenant.clone(), currency)).or_default() += totals;
    }

    /// The rows, by tenant and currency. A sum beyond 64 bits is an error, never a smaller number.
    pub(super) fn rows(&self) -> Result<Vec<Row>, ExportError> {
        let row = |((tenant, currency), totals): (&(TenantId, Currency), &Totals)| {
            let minor = |sum: i128| {
                i64::try_from(sum)
                    .map(super::table::Value::from)
                    .map_err(|_| ExportError::TooLarge { tenant: tenant.clone(), currency: *currency })
            };
            Ok(vec![
                tenant.to_string().into(),
                currency.code().into(),
                currency.exponent().into(),
                totals.orders.into(),
                minor(totals.authorized_minor)?,
                minor(totals.captured_minor)?,
                minor(totals.refunded_minor)?,
                minor(totals.refund_pending_minor)?,
                minor(totals.charged_back_minor)?,
                minor(totals.balance_minor)?,
            ])
        };
        self.0.iter().map(row).collect()
    }
}
