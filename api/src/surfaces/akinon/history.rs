//! `POST /history`: what was asked for an order, and what the PSP said to each of it. Asking leaves no trace: a
//! reading that wrote would change what it reads.

mod steps;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::tz::{TimeZone, offset};
use ledger::execute::fold;
use ledger::order::Order;
use serde::Serialize;

use super::amount::Amount;
use super::call::Call;
use super::reply::{Failure, Refused};
use super::request::{Action, HistoryFilter};
use super::status::Outcome;
use crate::app::App;
use crate::orders::{self, OrderError};
use steps::{Step, SubStep};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct History {
    last_action: &'static str,
    status: &'static str,
    // The vendor spells it like this, here alone.
    #[serde(rename = "substatus")]
    sub_status: &'static str,
    balance: Amount,
    currency: &'static str,
    payment_transaction_history: Vec<StepBody>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StepBody {
    guid: String,
    r#type: &'static str,
    timestamp: String,
    status_code: &'static str,
    sub_status_code: &'static str,
    status_detail: String,
    sub_steps: Vec<SubStepBody>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SubStepBody {
    timestamp: String,
    status_code: String,
    status_detail: String,
}

/// `POST /history`.
pub(super) async fn history(
    State(app): State<Arc<App>>,
    call: Call<HistoryFilter>,
) -> Result<Response, Failure> {
    match read(&app, &call).await {
        Ok(history) => Ok(axum::Json(history).into_response()),
        Err(error) => Err(call.failure(&app, Refused::Order(error)).await),
    }
}

async fn read(app: &App, call: &Call<HistoryFilter>) -> Result<History, OrderError> {
    let commits = orders::commits(app, &call.tenant, call.order).await?;
    let order = fold(commits.iter().cloned(), |_, _: &Order| {})?.ok_or(OrderError::NotFound)?;
    let steps = steps::of(&commits, &order);
    let last = steps.last();
    let outcome = last.map_or(Outcome::PaymentWaiting, |step| step.state.outcome);
    let currency = order.checkout.amount.currency();
    Ok(History {
        last_action: last.map_or(Action::Start, |step| step.action).as_str(),
        status: outcome.status(),
        sub_status: outcome.sub_status(),
        balance: Amount::of(order.balance().balance_minor, currency),
        currency: currency.code(),
        payment_transaction_history: steps
            .into_iter()
            .filter(|step| call.body.takes(step))
            .map(StepBody::from)
            .collect(),
    })
}

impl HistoryFilter {
    fn takes(&self, step: &Step) -> bool {
        let HistoryFilter { action, transaction_id, status, outcome } = self;
        action.is_none_or(|action| action == step.action)
            && transaction_id.as_ref().is_none_or(|id| *id == step.transaction_id)
            && status.is_none_or(|status| status == step.state.outcome.status())
            && outcome.is_none_or(|outcome| outcome == step.state.outcome)
    }
}

impl From<Step> for StepBody {
    fn from(step: Step) -> Self {
        StepBody {
            guid: step.guid,
            r#type: step.action.as_str(),
            timestamp: time(step.at),
            status_code: step.state.outcome.status(),
            sub_status_code: step.state.outcome.sub_status(),
            status_detail: step.state.detail,
            sub_steps: step.sub_steps.into_iter().map(SubStepBody::from).collect(),
        }
    }
}

impl From<SubStep> for SubStepBody {
    fn from(sub_step: SubStep) -> Self {
        let SubStep { at, code, detail } = sub_step;
        SubStepBody { timestamp: time(at), status_code: code, status_detail: detail }
    }
}

/// ISO 8601 by the clocks of Istanbul, as the vendor writes times: `2026-11-21T12:00:00.000+03:00`.
fn time(at: Timestamp) -> String {
    at.to_zoned(TimeZone::fixed(offset(3))).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_utc_plus_3_with_milliseconds() {
        for (utc, expect) in [
            ("2026-11-20T22:30:00Z", "2026-11-21T01:30:00.000+03:00"),
            ("2026-11-20T09:00:00.007Z", "2026-11-20T12:00:00.007+03:00"),
        ] {
            assert_eq!(time(utc.parse().unwrap()), expect);
        }
    }
}
