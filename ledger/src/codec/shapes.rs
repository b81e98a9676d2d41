//! The shape of every event in every version ever stored: field for field what stands in the log.
//!
//! Append only. Once a release has written a shape it never changes; what it must say anew, a `V2` beside it
//! says. Optional fields are left out when there is nothing to say.

use serde::{Deserialize, Serialize};

use super::parts::*;
use super::scalar::{Amount, Moment, Text};
use crate::ids::{CaptureId, RecordId, RefundId};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckoutSubmittedV1<'a> {
    pub(super) amount: Amount,
    pub(super) merchant_reference: Str<'a>,
    pub(super) capture: CaptureModeV1,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payment_method: Option<PaymentMethodV1<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) items: Vec<ItemV1<'a>>,
    #[serde(default, skip_serializing_if = "ReturnUrlsV1::is_empty")]
    pub(super) return_urls: ReturnUrlsV1<'a>,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(super) metadata: Notes<'a>,
    pub(super) expires_at: Moment,
    pub(super) surface: SurfaceV1<'a>,
}

/// Return URLs and metadata are personal data since this version: shops put names and addresses into both.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckoutSubmittedV2<'a> {
    pub(super) amount: Amount,
    pub(super) merchant_reference: Str<'a>,
    pub(super) capture: CaptureModeV1,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payment_method: Option<PaymentMethodV1<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) items: Vec<ItemV1<'a>>,
    pub(super) expires_at: Moment,
    pub(super) surface: SurfaceV1<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttemptStartedV1<'a> {
    pub(super) attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payment_reference: Option<Str<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payment_method: Option<PaymentMethodV1<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttemptLinkedV1<'a> {
    pub(super) attempt: u32,
    pub(super) payment_reference: Str<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActionRequiredV1<'a> {
    pub(super) attempt: u32,
    pub(super) challenge: ChallengeV1<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaymentAuthorizedV1 {
    pub(super) attempt: u32,
    pub(super) amount: Amount,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaymentFailedV1<'a> {
    pub(super) attempt: u32,
    pub(super) reason: Str<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaptureRequestedV1 {
    pub(super) attempt: u32,
    pub(super) capture_id: Text<CaptureId>,
    pub(super) amount: Amount,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaymentCapturedV1<'a> {
    pub(super) attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) capture_id: Option<Text<CaptureId>>,
    pub(super) reference: Str<'a>,
    pub(super) amount: Amount,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaptureFailedV1<'a> {
    pub(super) attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) capture_id: Option<Text<CaptureId>>,
    pub(super) reference: Str<'a>,
    pub(super) amount: Amount,
    pub(super) reason: Str<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CancellationRequestedV1 {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderCanceledV1 {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderExpiredV1 {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PaymentVoidedV1 {
    pub(super) attempt: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthorizationExpiredV1 {
    pub(super) attempt: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundRequestedV1<'a> {
    pub(super) attempt: u32,
    pub(super) refund_id: Text<RefundId>,
    pub(super) amount: Amount,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Str<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundSettledV1<'a> {
    pub(super) attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refund_id: Option<Text<RefundId>>,
    pub(super) reference: Str<'a>,
    pub(super) amount: Amount,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RefundFailedV1<'a> {
    pub(super) attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refund_id: Option<Text<RefundId>>,
    pub(super) reference: Str<'a>,
    pub(super) amount: Amount,
    pub(super) reason: Str<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChargebackOpenedV1<'a> {
    pub(super) attempt: u32,
    pub(super) reference: Str<'a>,
    pub(super) amount: Amount,
    pub(super) reason: Str<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChargebackWonV1<'a> {
    pub(super) attempt: u32,
    pub(super) reference: Str<'a>,
    pub(super) amount: Amount,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChargebackLostV1<'a> {
    pub(super) attempt: u32,
    pub(super) reference: Str<'a>,
    pub(super) amount: Amount,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookNotedV1<'a> {
    pub(super) kind: Str<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SurfaceNotedV1<'a> {
    pub(super) data: Notes<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonalDataForgottenV1 {}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfferRegisteredV1<'a> {
    pub(super) identifier: Str<'a>,
    pub(super) amount: Amount,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) items: Vec<ItemV1<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Moment>,
    pub(super) purchasable: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookQuarantinedV1<'a> {
    pub(super) reason: ReasonV1,
    pub(super) detail: Str<'a>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) waits_for: Vec<MatchKeyV1<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) headers: Vec<HeaderV1<'a>>,
    pub(super) received_at: Moment,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookReleasedV1 {
    pub(super) order: Text<RecordId>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookDiscardedV1<'a> {
    pub(super) reason: Str<'a>,
}
