//! What stands in a row: one version byte, then bincode. The only module that knows bincode.
//!
//! The domain's types are not serializable; each row here mirrors one of them, borrowing its texts both on the
//! way in and on the way out. A row is never migrated: a store with other rows has another fingerprint, and is
//! folded again from the log.

mod history;

use bincode::{BorrowDecode, Decode, Encode};
use bytes::Bytes;
use jiff::Timestamp;
use ledger::codec::SealedEvents;
use ledger::ids::{CommitId, Position, RecordId, TenantId};
use ledger::keys::{KeyId, PageId};
use ledger::money::{Currency, Money};
use ledger::offer::Offer;
use ledger::order::{
    Attempt, CaptureMode, Card, Challenge, Checkout, Customer, Dispute, End, Item, Movement, Order,
    PaymentMethod, ReturnUrls, Status, Surface,
};
use ledger::quarantine::{MatchKey, Outcome, Quarantined, Reason};
use uuid::Uuid;

use super::StoreError;
use crate::views::{
    IdempotencyEntry, OfferView, OrderView, QuarantineView, StatusView, Totals, status as status_view,
};

pub(crate) use history::HistoryRow;

const VERSION: u8 = 1;
/// No row comes near this; damage that claims to be longer is found before memory is asked for.
const LONGEST_ROW: usize = 64 * 1024 * 1024;
const FORMAT: bincode::config::Configuration<
    bincode::config::LittleEndian,
    bincode::config::Varint,
    bincode::config::Limit<LONGEST_ROW>,
> = bincode::config::standard().with_limit::<LONGEST_ROW>();

/// A row's bytes.
pub(crate) fn encode(row: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.push(VERSION);
    bincode::encode_into_std_write(row, &mut bytes, FORMAT).expect("encoding into memory does not fail");
    bytes
}

/// A row from its bytes, all of them.
pub(crate) fn decode<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<T, StoreError> {
    let (row, rest) = decode_next(after_version(bytes)?)?;
    if rest.is_empty() { Ok(row) } else { Err(damaged("a row with something after its end")) }
}

/// The front of a row from the row's bytes, whatever stands behind it.
pub(crate) fn decode_front<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<T, StoreError> {
    decode_next(after_version(bytes)?).map(|(front, _)| front)
}

/// Adds an element to the bytes of a row that is a list; no bytes are an empty list.
pub(crate) fn append(list: &mut Vec<u8>, element: &impl Encode) {
    if list.is_empty() {
        list.push(VERSION);
    }
    bincode::encode_into_std_write(element, list, FORMAT).expect("encoding into memory does not fail");
}

/// The elements of a row that is a list. An error is the last of them.
pub(crate) fn decode_list<'a, T: BorrowDecode<'a, ()>>(
    bytes: &'a [u8],
) -> Result<impl Iterator<Item = Result<T, StoreError>>, StoreError> {
    let mut rest = after_version(bytes)?;
    Ok(std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = decode_next(rest).map(|(element, after)| {
            rest = after;
            element
        });
        if next.is_err() {
            rest = &[];
        }
        Some(next)
    }))
}

fn after_version(bytes: &[u8]) -> Result<&[u8], StoreError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => Ok(rest),
        Some(_) | None => Err(damaged("a row of another version")),
    }
}

fn decode_next<'a, T: BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), StoreError> {
    let (row, read) =
        bincode::borrow_decode_from_slice(bytes, FORMAT).map_err(|e| damaged(&e.to_string()))?;
    Ok((row, bytes.get(read..).unwrap_or_default()))
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

// Small parts -----------------------------------------------------------------------------------------------

#[derive(Encode, Decode)]
struct TimeRow(i64, i32);

impl From<Timestamp> for TimeRow {
    fn from(at: Timestamp) -> Self {
        TimeRow(at.as_second(), at.subsec_nanosecond())
    }
}

impl TryFrom<TimeRow> for Timestamp {
    type Error = StoreError;

    fn try_from(TimeRow(second, nanosecond): TimeRow) -> Result<Self, StoreError> {
        Timestamp::new(second, nanosecond).map_err(|e| damaged(&e.to_string()))
    }
}

/// A position as a value, for the rows of indexes.
#[derive(Clone, Copy, Encode, Decode)]
pub(crate) struct PositionRow(u64, u16);

impl From<Position> for PositionRow {
    fn from(position: Position) -> Self {
        PositionRow(position.sequence, position.partition)
    }
}

impl From<PositionRow> for Position {
    fn from(PositionRow(sequence, partition): PositionRow) -> Self {
        Position { partition, sequence }
    }
}

/// A record's id as a value, for the rows of indexes.
#[derive(Encode, Decode)]
pub(crate) struct RecordRow([u8; 16]);

impl From<RecordId> for RecordRow {
    fn from(id: RecordId) -> Self {
        RecordRow(id.0.into_bytes())
    }
}

impl From<RecordRow> for RecordId {
    fn from(RecordRow(bytes): RecordRow) -> Self {
        RecordId(Uuid::from_bytes(bytes))
    }
}

/// A tenant's record as a value, for indexes over all tenants.
#[derive(Encode, BorrowDecode)]
pub(crate) struct SubjectRow<'a>(&'a str, RecordRow);

impl<'a> SubjectRow<'a> {
    pub(crate) fn of(tenant: &'a TenantId, id: RecordId) -> Self {
        SubjectRow(tenant.as_str(), id.into())
    }
}

impl TryFrom<SubjectRow<'_>> for (TenantId, RecordId) {
    type Error = StoreError;

    fn try_from(SubjectRow(tenant, id): SubjectRow<'_>) -> Result<Self, StoreError> {
        Ok((parse(tenant)?, id.into()))
    }
}

/// How far a partition is folded, and the hash of the last commit's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Checkpoint {
    pub(crate) sequence: u64,
    pub(crate) hash: [u8; 32],
}

#[derive(Encode, BorrowDecode)]
struct MoneyRow<'a>(i64, &'a str);

impl From<Money> for MoneyRow<'static> {
    fn from(money: Money) -> Self {
        MoneyRow(money.minor(), money.currency().code())
    }
}

impl TryFrom<MoneyRow<'_>> for Money {
    type Error = StoreError;

    fn try_from(MoneyRow(minor, code): MoneyRow<'_>) -> Result<Self, StoreError> {
        Money::of(minor, parse(code)?).map_err(|e| damaged(&e.to_string()))
    }
}

/// The tenant that a key names.
pub(crate) fn tenant(name: &[u8]) -> Result<TenantId, StoreError> {
    parse(std::str::from_utf8(name).map_err(|e| damaged(&e.to_string()))?)
}

/// The currency that a key ends with.
pub(crate) fn currency(code: &[u8]) -> Result<Currency, StoreError> {
    parse(std::str::from_utf8(code).map_err(|e| damaged(&e.to_string()))?)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|e: T::Err| damaged(&e.to_string()))
}

fn owned(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

fn all<R, T: TryFrom<R, Error = StoreError>>(rows: Vec<R>) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(T::try_from).collect()
}

/// A status as one byte, in keys and rows.
pub(crate) fn status_code(status: Status) -> u8 {
    match status {
        Status::Processing => 0,
        Status::ActionRequired => 1,
        Status::Authorized => 2,
        Status::PartiallyCaptured => 3,
        Status::Captured => 4,
        Status::PartiallyRefunded => 5,
        Status::Refunded => 6,
        Status::Failed => 7,
        Status::Canceled => 8,
        Status::Expired => 9,
    }
}

fn status(code: u8) -> Result<Status, StoreError> {
    Status::ALL
        .into_iter()
        .find(|status| status_code(*status) == code)
        .ok_or_else(|| damaged("a status that does not exist"))
}

// Orders ----------------------------------------------------------------------------------------------------

/// What is asked of an order most often. It stands at the front of the order's row, so that nothing else of the row is
/// decoded for it.
#[derive(Encode, BorrowDecode)]
pub(crate) struct StatusRow<'a> {
    id: RecordRow,
    status: u8,
    last: PositionRow,
    updated_at: TimeRow,
    challenge: Option<ChallengeRow<'a>>,
    failure: Option<&'a str>,
}

#[derive(Encode, BorrowDecode)]
struct ChallengeRow<'a> {
    url: Option<&'a str>,
    html: Option<&'a str>,
    id: Option<&'a str>,
}

/// An order view.
#[derive(Encode, BorrowDecode)]
pub(crate) struct OrderRow<'a> {
    front: StatusRow<'a>,
    tenant: &'a str,
    commits: u64,
    first: PositionRow,
    created_at: TimeRow,
    checkout: CheckoutRow<'a>,
    attempts: Vec<AttemptRow<'a>>,
    cancellation_requested: bool,
    end: Option<EndRow>,
    forgotten: bool,
    sealed: Vec<SealedRow<'a>>,
}

/// Personal data as it stands in the log: a view can show it only as long as there is a key.
#[derive(Encode, BorrowDecode)]
struct SealedRow<'a> {
    page: u64,
    place: u16,
    commit: [u8; 16],
    places: Vec<(u32, Option<u32>)>,
    bytes: &'a [u8],
}

#[derive(Encode, Decode)]
enum EndRow {
    Canceled,
    Expired,
}

#[derive(Encode, BorrowDecode)]
struct CheckoutRow<'a> {
    amount: MoneyRow<'a>,
    merchant_reference: &'a str,
    is_manual: bool,
    payment_method: Option<MethodRow<'a>>,
    items: Vec<ItemRow<'a>>,
    customer: (Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<&'a str>),
    customer_details: Vec<(&'a str, &'a str)>,
    return_urls: (Option<&'a str>, Option<&'a str>, Option<&'a str>),
    metadata: Vec<(&'a str, &'a str)>,
    expires_at: TimeRow,
    surface: &'a str,
    surface_data: Vec<(&'a str, &'a str)>,
}

#[derive(Encode, BorrowDecode)]
struct MethodRow<'a> {
    kind: &'a str,
    token: Option<&'a str>,
    card: Option<(&'a str, &'a str, Option<&'a str>)>,
}

#[derive(Encode, BorrowDecode)]
struct ItemRow<'a> {
    identifier: &'a str,
    name: Option<&'a str>,
    quantity: u32,
    unit_price: Option<MoneyRow<'a>>,
    parent_identifier: Option<&'a str>,
}

#[derive(Encode, BorrowDecode)]
struct AttemptRow<'a> {
    number: u32,
    payment_reference: Option<&'a str>,
    payment_method: Option<MethodRow<'a>>,
    challenge: Option<ChallengeRow<'a>>,
    authorized_minor: i64,
    captures: Vec<MovementRow<'a>>,
    refunds: Vec<MovementRow<'a>>,
    disputes: Vec<DisputeRow<'a>>,
    failure: Option<&'a str>,
    voided: bool,
    authorization_expired: bool,
    status: u8,
}

#[derive(Encode, BorrowDecode)]
struct MovementRow<'a> {
    id: Option<[u8; 16]>,
    reference: Option<&'a str>,
    amount_minor: i64,
    settled: bool,
    failure: Option<&'a str>,
}

#[derive(Encode, BorrowDecode)]
struct DisputeRow<'a> {
    reference: &'a str,
    amount_minor: i64,
    opened: bool,
    won: bool,
    lost: bool,
}

impl<'a> From<&'a OrderView> for OrderRow<'a> {
    fn from(view: &'a OrderView) -> Self {
        let OrderView { tenant, id, order, commits, first, last, created_at, updated_at, sealed } = view;
        let Order { checkout, attempts, cancellation_requested, end, forgotten } = order;
        let (challenge, failure) = status_view::shown(order);
        OrderRow {
            front: StatusRow {
                id: (*id).into(),
                status: status_code(order.status()),
                last: (*last).into(),
                updated_at: (*updated_at).into(),
                challenge: challenge.map(ChallengeRow::from),
                failure,
            },
            tenant: tenant.as_str(),
            commits: *commits,
            first: (*first).into(),
            created_at: (*created_at).into(),
            checkout: checkout.into(),
            attempts: attempts.iter().map(AttemptRow::from).collect(),
            cancellation_requested: *cancellation_requested,
            end: end.map(|end| match end {
                End::Canceled => EndRow::Canceled,
                End::Expired => EndRow::Expired,
            }),
            forgotten: *forgotten,
            sealed: sealed.iter().map(SealedRow::from).collect(),
        }
    }
}

impl<'a> From<&'a SealedEvents> for SealedRow<'a> {
    fn from(sealed: &'a SealedEvents) -> Self {
        let SealedEvents { key: KeyId { page, place }, commit, places, bytes } = sealed;
        SealedRow {
            page: page.0,
            place: *place,
            commit: commit.0.into_bytes(),
            places: places.clone(),
            bytes,
        }
    }
}

impl From<SealedRow<'_>> for SealedEvents {
    fn from(row: SealedRow<'_>) -> Self {
        SealedEvents {
            key: KeyId { page: PageId(row.page), place: row.place },
            commit: CommitId(Uuid::from_bytes(row.commit)),
            places: row.places,
            bytes: Bytes::copy_from_slice(row.bytes),
        }
    }
}

impl TryFrom<OrderRow<'_>> for OrderView {
    type Error = StoreError;

    fn try_from(row: OrderRow<'_>) -> Result<Self, StoreError> {
        Ok(OrderView {
            tenant: parse(row.tenant)?,
            id: row.front.id.into(),
            commits: row.commits,
            first: row.first.into(),
            last: row.front.last.into(),
            created_at: row.created_at.try_into()?,
            updated_at: row.front.updated_at.try_into()?,
            order: Order {
                checkout: row.checkout.try_into()?,
                attempts: all(row.attempts)?,
                cancellation_requested: row.cancellation_requested,
                end: row.end.map(|end| match end {
                    EndRow::Canceled => End::Canceled,
                    EndRow::Expired => End::Expired,
                }),
                forgotten: row.forgotten,
            },
            sealed: row.sealed.into_iter().map(SealedEvents::from).collect(),
        })
    }
}

impl TryFrom<StatusRow<'_>> for StatusView {
    type Error = StoreError;

    fn try_from(row: StatusRow<'_>) -> Result<Self, StoreError> {
        Ok(StatusView {
            id: row.id.into(),
            status: status(row.status)?,
            challenge: row.challenge.map(Challenge::from),
            failure: owned(row.failure),
            updated_at: row.updated_at.try_into()?,
            last: row.last.into(),
        })
    }
}

impl<'a> From<&'a Challenge> for ChallengeRow<'a> {
    fn from(challenge: &'a Challenge) -> Self {
        let Challenge { url, html, id } = challenge;
        ChallengeRow { url: url.as_deref(), html: html.as_deref(), id: id.as_deref() }
    }
}

impl From<ChallengeRow<'_>> for Challenge {
    fn from(row: ChallengeRow<'_>) -> Self {
        Challenge { url: owned(row.url), html: owned(row.html), id: owned(row.id) }
    }
}

impl<'a> From<&'a Checkout> for CheckoutRow<'a> {
    fn from(checkout: &'a Checkout) -> Self {
        let Checkout {
            amount,
            merchant_reference,
            capture,
            payment_method,
            items,
            customer,
            return_urls,
            metadata,
            expires_at,
            surface,
        } = checkout;
        let Customer { name, email, phone, ip, details } = customer;
        let ReturnUrls { success, failure, cancel } = return_urls;
        CheckoutRow {
            amount: (*amount).into(),
            merchant_reference,
            is_manual: match capture {
                CaptureMode::Automatic => false,
                CaptureMode::Manual => true,
            },
            payment_method: payment_method.as_ref().map(MethodRow::from),
            items: items.iter().map(ItemRow::from).collect(),
            customer: (name.as_deref(), email.as_deref(), phone.as_deref(), ip.as_deref()),
            customer_details: details.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            return_urls: (success.as_deref(), failure.as_deref(), cancel.as_deref()),
            metadata: metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            expires_at: (*expires_at).into(),
            surface: &surface.name,
            surface_data: surface.data.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        }
    }
}

impl TryFrom<CheckoutRow<'_>> for Checkout {
    type Error = StoreError;

    fn try_from(row: CheckoutRow<'_>) -> Result<Self, StoreError> {
        let pairs = |pairs: Vec<(&str, &str)>| {
            pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
        };
        let (name, email, phone, ip) = row.customer;
        let (success, failure, cancel) = row.return_urls;
        Ok(Checkout {
            amount: row.amount.try_into()?,
            merchant_reference: row.merchant_reference.to_owned(),
            capture: if row.is_manual { CaptureMode::Manual } else { CaptureMode::Automatic },
            payment_method: row.payment_method.map(PaymentMethod::from),
            items: all(row.items)?,
            customer: Customer {
                name: owned(name),
                email: owned(email),
                phone: owned(phone),
                ip: owned(ip),
                details: pairs(row.customer_details),
            },
            return_urls: ReturnUrls {
                success: owned(success),
                failure: owned(failure),
                cancel: owned(cancel),
            },
            metadata: pairs(row.metadata),
            expires_at: row.expires_at.try_into()?,
            surface: Surface { name: row.surface.to_owned(), data: pairs(row.surface_data) },
        })
    }
}

impl<'a> From<&'a PaymentMethod> for MethodRow<'a> {
    fn from(method: &'a PaymentMethod) -> Self {
        let PaymentMethod { kind, token, card } = method;
        let card = card
            .as_ref()
            .map(|Card { brand, last_four, holder }| (brand.as_str(), last_four.as_str(), holder.as_deref()));
        MethodRow { kind, token: token.as_deref(), card }
    }
}

impl From<MethodRow<'_>> for PaymentMethod {
    fn from(row: MethodRow<'_>) -> Self {
        let card = row.card.map(|(brand, last_four, holder)| Card {
            brand: brand.to_owned(),
            last_four: last_four.to_owned(),
            holder: owned(holder),
        });
        PaymentMethod { kind: row.kind.to_owned(), token: owned(row.token), card }
    }
}

impl<'a> From<&'a Item> for ItemRow<'a> {
    fn from(item: &'a Item) -> Self {
        let Item { identifier, name, quantity, unit_price, parent_identifier } = item;
        ItemRow {
            identifier,
            name: name.as_deref(),
            quantity: *quantity,
            unit_price: unit_price.map(MoneyRow::from),
            parent_identifier: parent_identifier.as_deref(),
        }
    }
}

impl TryFrom<ItemRow<'_>> for Item {
    type Error = StoreError;

    fn try_from(row: ItemRow<'_>) -> Result<Self, StoreError> {
        Ok(Item {
            identifier: row.identifier.to_owned(),
            name: owned(row.name),
            quantity: row.quantity,
            unit_price: row.unit_price.map(Money::try_from).transpose()?,
            parent_identifier: owned(row.parent_identifier),
        })
    }
}

impl<'a> From<&'a Attempt> for AttemptRow<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        let Attempt {
            number,
            payment_reference,
            payment_method,
            challenge,
            authorized_minor,
            captures,
            refunds,
            disputes,
            failure,
            voided,
            authorization_expired,
            status,
        } = attempt;
        AttemptRow {
            number: *number,
            payment_reference: payment_reference.as_deref(),
            payment_method: payment_method.as_ref().map(MethodRow::from),
            challenge: challenge.as_ref().map(ChallengeRow::from),
            authorized_minor: *authorized_minor,
            captures: captures.iter().map(MovementRow::from).collect(),
            refunds: refunds.iter().map(MovementRow::from).collect(),
            disputes: disputes.iter().map(DisputeRow::from).collect(),
            failure: failure.as_deref(),
            voided: *voided,
            authorization_expired: *authorization_expired,
            status: status_code(*status),
        }
    }
}

impl TryFrom<AttemptRow<'_>> for Attempt {
    type Error = StoreError;

    fn try_from(row: AttemptRow<'_>) -> Result<Self, StoreError> {
        Ok(Attempt {
            number: row.number,
            payment_reference: owned(row.payment_reference),
            payment_method: row.payment_method.map(PaymentMethod::from),
            challenge: row.challenge.map(Challenge::from),
            authorized_minor: row.authorized_minor,
            captures: row.captures.into_iter().map(Movement::from).collect(),
            refunds: row.refunds.into_iter().map(Movement::from).collect(),
            disputes: row.disputes.into_iter().map(Dispute::from).collect(),
            failure: owned(row.failure),
            voided: row.voided,
            authorization_expired: row.authorization_expired,
            status: status(row.status)?,
        })
    }
}

impl<'a> From<&'a Movement> for MovementRow<'a> {
    fn from(movement: &'a Movement) -> Self {
        let Movement { id, reference, amount_minor, settled, failure } = movement;
        MovementRow {
            id: id.map(Uuid::into_bytes),
            reference: reference.as_deref(),
            amount_minor: *amount_minor,
            settled: *settled,
            failure: failure.as_deref(),
        }
    }
}

impl From<MovementRow<'_>> for Movement {
    fn from(row: MovementRow<'_>) -> Self {
        Movement {
            id: row.id.map(Uuid::from_bytes),
            reference: owned(row.reference),
            amount_minor: row.amount_minor,
            settled: row.settled,
            failure: owned(row.failure),
        }
    }
}

impl<'a> From<&'a Dispute> for DisputeRow<'a> {
    fn from(dispute: &'a Dispute) -> Self {
        let Dispute { reference, amount_minor, opened, won, lost } = dispute;
        DisputeRow { reference, amount_minor: *amount_minor, opened: *opened, won: *won, lost: *lost }
    }
}

impl From<DisputeRow<'_>> for Dispute {
    fn from(row: DisputeRow<'_>) -> Self {
        let DisputeRow { reference, amount_minor, opened, won, lost } = row;
        Dispute { reference: reference.to_owned(), amount_minor, opened, won, lost }
    }
}

// The rest --------------------------------------------------------------------------------------------------

/// A tenant's totals in one currency.
#[derive(Encode, Decode)]
pub(crate) struct TotalsRow {
    orders: i64,
    authorized_minor: i128,
    captured_minor: i128,
    refunded_minor: i128,
    refund_pending_minor: i128,
    charged_back_minor: i128,
    balance_minor: i128,
}

impl From<Totals> for TotalsRow {
    fn from(totals: Totals) -> Self {
        let Totals {
            orders,
            authorized_minor,
            captured_minor,
            refunded_minor,
            refund_pending_minor,
            charged_back_minor,
            balance_minor,
        } = totals;
        TotalsRow {
            orders,
            authorized_minor,
            captured_minor,
            refunded_minor,
            refund_pending_minor,
            charged_back_minor,
            balance_minor,
        }
    }
}

impl From<TotalsRow> for Totals {
    fn from(row: TotalsRow) -> Self {
        let TotalsRow {
            orders,
            authorized_minor,
            captured_minor,
            refunded_minor,
            refund_pending_minor,
            charged_back_minor,
            balance_minor,
        } = row;
        Totals {
            orders,
            authorized_minor,
            captured_minor,
            refunded_minor,
            refund_pending_minor,
            charged_back_minor,
            balance_minor,
        }
    }
}

/// What an idempotency key made. Its position is in its key.
#[derive(Encode, Decode)]
pub(crate) struct IdempotencyRow {
    record: RecordRow,
    position: PositionRow,
}

impl From<IdempotencyEntry> for IdempotencyRow {
    fn from(entry: IdempotencyEntry) -> Self {
        let IdempotencyEntry { record, position } = entry;
        IdempotencyRow { record: record.into(), position: position.into() }
    }
}

impl From<IdempotencyRow> for IdempotencyEntry {
    fn from(row: IdempotencyRow) -> Self {
        IdempotencyEntry { record: row.record.into(), position: row.position.into() }
    }
}

/// An offer.
#[derive(Encode, BorrowDecode)]
pub(crate) struct OfferRow<'a> {
    tenant: &'a str,
    last: PositionRow,
    identifier: &'a str,
    amount: MoneyRow<'a>,
    items: Vec<ItemRow<'a>>,
    expires_at: Option<TimeRow>,
    purchasable: bool,
}

impl<'a> From<&'a OfferView> for OfferRow<'a> {
    fn from(view: &'a OfferView) -> Self {
        let OfferView { tenant, offer, last } = view;
        let Offer { identifier, amount, items, expires_at, purchasable } = offer;
        OfferRow {
            tenant: tenant.as_str(),
            last: (*last).into(),
            identifier,
            amount: (*amount).into(),
            items: items.iter().map(ItemRow::from).collect(),
            expires_at: expires_at.map(TimeRow::from),
            purchasable: *purchasable,
        }
    }
}

impl TryFrom<OfferRow<'_>> for OfferView {
    type Error = StoreError;

    fn try_from(row: OfferRow<'_>) -> Result<Self, StoreError> {
        Ok(OfferView {
            tenant: parse(row.tenant)?,
            last: row.last.into(),
            offer: Offer {
                identifier: row.identifier.to_owned(),
                amount: row.amount.try_into()?,
                items: all(row.items)?,
                expires_at: row.expires_at.map(Timestamp::try_from).transpose()?,
                purchasable: row.purchasable,
            },
        })
    }
}

/// A quarantined webhook.
#[derive(Encode, BorrowDecode)]
pub(crate) struct QuarantineRow<'a> {
    tenant: &'a str,
    id: RecordRow,
    source: &'a str,
    event_id: &'a str,
    first: PositionRow,
    last: PositionRow,
    reason: u8,
    detail: &'a str,
    waits_for: Vec<MatchRow<'a>>,
    headers: Vec<(&'a str, &'a str)>,
    received_at: TimeRow,
    outcome: Option<OutcomeRow<'a>>,
}

#[derive(Encode, BorrowDecode)]
enum MatchRow<'a> {
    Order([u8; 16]),
    PaymentReference(&'a str),
    MerchantReference(&'a str),
}

#[derive(Encode, BorrowDecode)]
enum OutcomeRow<'a> {
    Released([u8; 16]),
    Discarded(&'a str),
}

fn reason_code(reason: Reason) -> u8 {
    match reason {
        Reason::BadSignature => 0,
        Reason::Unreadable => 1,
        Reason::UnknownOrder => 2,
        Reason::Refused => 3,
        Reason::NoOrder => 4,
    }
}

impl<'a> From<&'a QuarantineView> for QuarantineRow<'a> {
    fn from(view: &'a QuarantineView) -> Self {
        let QuarantineView { tenant, id, source, event_id, webhook, first, last } = view;
        let Quarantined { reason, detail, waits_for, headers, received_at, outcome } = webhook;
        QuarantineRow {
            tenant: tenant.as_str(),
            id: (*id).into(),
            source,
            event_id,
            first: (*first).into(),
            last: (*last).into(),
            reason: reason_code(*reason),
            detail,
            waits_for: waits_for
                .iter()
                .map(|wanted| match wanted {
                    MatchKey::Order(id) => MatchRow::Order(id.0.into_bytes()),
                    MatchKey::PaymentReference(reference) => MatchRow::PaymentReference(reference),
                    MatchKey::MerchantReference(reference) => MatchRow::MerchantReference(reference),
                })
                .collect(),
            headers: headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            received_at: (*received_at).into(),
            outcome: outcome.as_ref().map(|outcome| match outcome {
                Outcome::Released { order } => OutcomeRow::Released(order.0.into_bytes()),
                Outcome::Discarded { reason } => OutcomeRow::Discarded(reason),
            }),
        }
    }
}

impl TryFrom<QuarantineRow<'_>> for QuarantineView {
    type Error = StoreError;

    fn try_from(row: QuarantineRow<'_>) -> Result<Self, StoreError> {
        let reason = Reason::ALL.into_iter().find(|reason| reason_code(*reason) == row.reason);
        Ok(QuarantineView {
            tenant: parse(row.tenant)?,
            id: row.id.into(),
            source: row.source.to_owned(),
            event_id: row.event_id.to_owned(),
            first: row.first.into(),
            last: row.last.into(),
            webhook: Quarantined {
                reason: reason.ok_or_else(|| damaged("a reason that does not exist"))?,
                detail: row.detail.to_owned(),
                waits_for: row
                    .waits_for
                    .into_iter()
                    .map(|wanted| match wanted {
                        MatchRow::Order(id) => MatchKey::Order(RecordId(Uuid::from_bytes(id))),
                        MatchRow::PaymentReference(text) => MatchKey::PaymentReference(text.to_owned()),
                        MatchRow::MerchantReference(text) => MatchKey::MerchantReference(text.to_owned()),
                    })
                    .collect(),
                headers: row
                    .headers
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
                received_at: row.received_at.try_into()?,
                outcome: row.outcome.map(|outcome| match outcome {
                    OutcomeRow::Released(order) => {
                        Outcome::Released { order: RecordId(Uuid::from_bytes(order)) }
                    }
                    OutcomeRow::Discarded(reason) => Outcome::Discarded { reason: reason.to_owned() },
                }),
            },
        })
    }
}
