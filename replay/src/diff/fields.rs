//! The fields in which an order differs, in words. Exhaustive: a new field of an order has to be thought of here.

use ledger::ids::Position;
use ledger::order::{
    Attempt, CaptureMode, Challenge, Checkout, Dispute, End, Movement, Order, PaymentMethod, Surface,
};
use projections::compare::{Found, OrderRows, RowKind};
use projections::views::{HistoryEntry, OrderView};

use super::sums::Figures;

/// One field, and what each side has in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name, such as `refunded_minor`, `attempts.1.status` or `history.0-42.status`.
    pub name: String,
    /// What the one side has; none where it has nothing, or where it is not to be shown.
    pub from: Option<Value>,
    /// What the other side has, likewise.
    pub to: Option<Value>,
}

/// What is in a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Words.
    Text(String),
    /// Money, in minor units of the order's currency.
    Minor(i64),
    /// A number of things.
    Count(u64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        Value::Text(is.to_string())
    }
}

/// Every field in which two sides of an order differ; at least one, since its rows do.
pub(super) fn compare(from: &Found, to: &Found, indexes: &[RowKind]) -> Vec<Field> {
    let mut found = Fields(Vec::new());
    match (from, to) {
        (Found::Order(from), Found::Order(to)) => found.rows(from, to),
        (Found::Order(from), Found::Missing) => found.presence(Some(from), None),
        (Found::Missing, Found::Order(to)) => found.presence(None, Some(to)),
        (Found::Missing, Found::Missing) => {}
        (Found::Unreadable(_), _) | (_, Found::Unreadable(_)) => {
            let reason = |side: &Found| match side {
                Found::Unreadable(reason) => Some(format!("cannot be read by this version: {reason}").into()),
                Found::Missing => None,
                Found::Order(rows) => Some(Value::from(rows.view.order.status().as_str())),
            };
            found.put("order", reason(from), reason(to));
        }
    }
    for index in indexes {
        found.put(&format!("index.{}", index.as_str()), None, None);
    }
    if found.0.is_empty() {
        // The bytes are others, and say the same.
        found.put("encoding", None, None);
    }
    found.0
}

struct Fields(Vec<Field>);

impl Fields {
    fn put(&mut self, name: &str, from: Option<Value>, to: Option<Value>) {
        self.0.push(Field { name: name.to_owned(), from, to });
    }

    /// A field, if it differs.
    fn one<T: PartialEq>(&mut self, name: &str, from: &T, to: &T, value: impl Fn(&T) -> Option<Value>) {
        if from != to {
            self.put(name, value(from), value(to));
        }
    }

    /// A field whose content is not to be shown.
    fn hidden<T: PartialEq>(&mut self, name: &str, from: &T, to: &T) {
        self.one(name, from, to, |_| None);
    }

    fn text(&mut self, name: &str, from: &str, to: &str) {
        self.one(name, &from, &to, |text| Some((*text).into()));
    }

    fn optional(&mut self, name: &str, from: Option<&str>, to: Option<&str>) {
        self.one(name, &from, &to, |text| text.map(Value::from));
    }

    fn minor(&mut self, name: &str, from: i64, to: i64) {
        self.one(name, &from, &to, |minor| Some(Value::Minor(*minor)));
    }

    fn bool(&mut self, name: &str, from: bool, to: bool) {
        self.one(name, &from, &to, |is| Some((*is).into()));
    }

    fn display<T: PartialEq + ToString>(&mut self, name: &str, from: &T, to: &T) {
        self.one(name, from, to, |value| Some(value.to_string().into()));
    }

    fn figures(&mut self, prefix: &str, from: Figures, to: Figures) {
        for ((name, from), (_, to)) in from.named().into_iter().zip(to.named()) {
            let minor = |figure| i64::try_from(figure).unwrap_or_default();
            self.minor(&format!("{prefix}{name}"), minor(from), minor(to));
        }
    }

    /// An order that only one side has: its status and its money.
    fn presence(&mut self, from: Option<&OrderRows>, to: Option<&OrderRows>) {
        let status = |side: Option<&OrderRows>| side.map(|rows| rows.view.order.status().as_str().into());
        self.put("order", status(from), status(to));
        let figures = |side: Option<&OrderRows>| {
            side.map_or_else(Figures::default, |rows| rows.view.order.balance().into())
        };
        self.figures("", figures(from), figures(to));
    }

    fn rows(&mut self, from: &OrderRows, to: &OrderRows) {
        let OrderView { tenant, id, order, commits, first, last, created_at, updated_at, sealed } =
            &from.view;
        let other = &to.view;
        self.order(order, &other.order);
        self.display("tenant", tenant, &other.tenant);
        self.display("order_id", id, &other.id);
        self.one("commits", commits, &other.commits, |count| Some(Value::Count(*count)));
        self.display("first", first, &other.first);
        self.display("last", last, &other.last);
        self.display("created_at", created_at, &other.created_at);
        self.display("updated_at", updated_at, &other.updated_at);
        self.hidden("personal_data", sealed, &other.sealed);
        self.hidden("idempotency", &from.opens, &to.opens);
        self.history(&from.history, &to.history);
    }

    fn order(&mut self, from: &Order, to: &Order) {
        self.text("status", from.status().as_str(), to.status().as_str());
        self.figures("", from.balance().into(), to.balance().into());
        let codes = |order: &Order| {
            let codes: Vec<&str> = order.anomalies().iter().map(|anomaly| anomaly.code()).collect();
            codes.join(" ")
        };
        self.text("anomalies", &codes(from), &codes(to));
        let Order { checkout, attempts, cancellation_requested, end, forgotten } = from;
        self.checkout(checkout, &to.checkout);
        for number in 0..attempts.len().max(to.attempts.len()) {
            let prefix = format!("attempts.{}", number + 1);
            match (attempts.get(number), to.attempts.get(number)) {
                (Some(from), Some(to)) => self.attempt(&prefix, from, to),
                (from, to) => {
                    let status = |side: Option<&Attempt>| side.map(|attempt| attempt.status.as_str().into());
                    self.put(&prefix, status(from), status(to));
                }
            }
        }
        self.bool("cancellation_requested", *cancellation_requested, to.cancellation_requested);
        self.bool("forgotten", *forgotten, to.forgotten);
        self.one("end", end, &to.end, |end| {
            end.map(|end| match end {
                End::Canceled => "canceled".into(),
                End::Expired => "expired".into(),
            })
        });
    }

    fn checkout(&mut self, from: &Checkout, to: &Checkout) {
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
        } = from;
        self.display("checkout.amount", amount, &to.amount);
        self.text("checkout.merchant_reference", merchant_reference, &to.merchant_reference);
        self.one("checkout.capture", capture, &to.capture, |capture| {
            Some(match capture {
                CaptureMode::Automatic => "automatic".into(),
                CaptureMode::Manual => "manual".into(),
            })
        });
        self.method("checkout.payment_method", payment_method.as_ref(), to.payment_method.as_ref());
        self.hidden("checkout.items", items, &to.items);
        self.hidden("checkout.customer", customer, &to.customer);
        self.hidden("checkout.return_urls", return_urls, &to.return_urls);
        self.hidden("checkout.metadata", metadata, &to.metadata);
        self.display("checkout.expires_at", expires_at, &to.expires_at);
        let Surface { name, data } = surface;
        self.text("checkout.surface", name, &to.surface.name);
        self.hidden("checkout.surface_data", data, &to.surface.data);
    }

    fn attempt(&mut self, prefix: &str, from: &Attempt, to: &Attempt) {
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
        } = from;
        let name = |field: &str| format!("{prefix}.{field}");
        self.display(&name("number"), number, &to.number);
        self.text(&name("status"), status.as_str(), to.status.as_str());
        self.optional(
            &name("payment_reference"),
            payment_reference.as_deref(),
            to.payment_reference.as_deref(),
        );
        self.method(&name("payment_method"), payment_method.as_ref(), to.payment_method.as_ref());
        self.challenge(&name("challenge"), challenge.as_ref(), to.challenge.as_ref());
        self.minor(&name("authorized_minor"), *authorized_minor, to.authorized_minor);
        self.one(&name("captures"), captures, &to.captures, |list| Some(movements(list)));
        self.one(&name("refunds"), refunds, &to.refunds, |list| Some(movements(list)));
        self.one(&name("disputes"), disputes, &to.disputes, |list| Some(disputed(list)));
        self.optional(&name("failure"), failure.as_deref(), to.failure.as_deref());
        self.bool(&name("voided"), *voided, to.voided);
        self.bool(&name("authorization_expired"), *authorization_expired, to.authorization_expired);
    }

    /// A payment method: its holder is a person, its token a secret of sorts.
    fn method(&mut self, name: &str, from: Option<&PaymentMethod>, to: Option<&PaymentMethod>) {
        let kind = |method: &Option<&PaymentMethod>| method.map(|method| method.kind.as_str().into());
        self.one(name, &from, &to, kind);
    }

    /// A challenge: its address is the buyer's.
    fn challenge(&mut self, name: &str, from: Option<&Challenge>, to: Option<&Challenge>) {
        self.one(name, &from, &to, |challenge| challenge.and_then(|c| c.id.as_deref()).map(Value::from));
    }

    fn history(&mut self, from: &[HistoryEntry], to: &[HistoryEntry]) {
        let mut others = to.iter().peekable();
        for entry in from {
            while let Some(other) = others.next_if(|other| precedes(other.position, entry.position)) {
                self.put(&entry_name(other), None, Some(other.status.as_str().into()));
            }
            match others.next_if(|other| other.position == entry.position) {
                Some(other) => self.entry(&entry_name(entry), entry, other),
                None => self.put(&entry_name(entry), Some(entry.status.as_str().into()), None),
            }
        }
        for other in others {
            self.put(&entry_name(other), None, Some(other.status.as_str().into()));
        }
    }

    fn entry(&mut self, prefix: &str, from: &HistoryEntry, to: &HistoryEntry) {
        let HistoryEntry { position: _, at, cause, events, status, balance, anomalies } = from;
        self.display(&format!("{prefix}.at"), at, &to.at);
        self.hidden(&format!("{prefix}.cause"), cause, &to.cause);
        self.one(&format!("{prefix}.events"), events, &to.events, |events| {
            let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
            Some(names.join(" ").into())
        });
        self.text(&format!("{prefix}.status"), status.as_str(), to.status.as_str());
        self.figures(&format!("{prefix}."), (*balance).into(), to.balance.into());
        self.text(&format!("{prefix}.anomalies"), &anomalies.join(" "), &to.anomalies.join(" "));
    }
}

fn entry_name(entry: &HistoryEntry) -> String {
    format!("history.{}", entry.position)
}

/// An order's commits are all in one partition.
fn precedes(one: Position, other: Position) -> bool {
    one.sequence < other.sequence
}

fn movements(list: &[Movement]) -> Value {
    let words = list.iter().map(|movement| {
        let Movement { id, reference, amount_minor, settled, failure } = movement;
        let id = id.map(|id| id.to_string());
        let name = reference.clone().or(id).unwrap_or_default();
        let state = match (settled, failure) {
            (true, None) => "settled",
            (false, None) => "pending",
            (true, Some(_)) => "reversed",
            (false, Some(_)) => "failed",
        };
        format!("{name} {amount_minor} {state}")
    });
    words.collect::<Vec<_>>().join(", ").into()
}

fn disputed(list: &[Dispute]) -> Value {
    let words = list.iter().map(|dispute| {
        let Dispute { reference, amount_minor, opened, won, lost } = dispute;
        let states = [(*opened, " opened"), (*won, " won"), (*lost, " lost")];
        let states: String = states.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
        format!("{reference} {amount_minor}{states}")
    });
    words.collect::<Vec<_>>().join(", ").into()
}
