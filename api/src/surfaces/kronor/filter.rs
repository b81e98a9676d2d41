//! What a `where` means: conditions on purchase orders, with SQL's three truth values.

use jiff::Timestamp;

use super::purchase_order::PurchaseOrder;

/// What a condition can be about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Id,
    CreatedAt,
    CompletedAt,
    MerchantReference,
    Country,
    Language,
    Tax,
    Total,
    PurchaseId,
    Status,
    EnteredAt,
}

/// A field's content. Values of one field are always of one kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    Text(String),
    Number(i64),
    Time(Timestamp),
}

/// How a field is held against a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Test {
    Eq(Value),
    Neq(Value),
    In(Vec<Value>),
    Nin(Vec<Value>),
    Gt(Value),
    Gte(Value),
    Lt(Value),
    Lte(Value),
    IsNull(bool),
    Like(Pattern),
}

/// A condition, simple or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    /// Each of these; true when there is none.
    All(Vec<Condition>),
    /// One of these; false when there is none.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// This field is so.
    Is(Field, Test),
}

/// A pattern of SQL's `LIKE`: `%` is any text, `_` any character, and a backslash takes both at their word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    ignores_case: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Character,
    This(char),
}

impl Field {
    /// What an order has here; nothing for a purchase that is not there yet.
    pub(super) fn of(self, order: &PurchaseOrder) -> Option<Value> {
        let status = order.status.first();
        Some(match self {
            Field::Id => Value::Text(order.id.clone()),
            Field::CreatedAt => Value::Time(order.created_at.0),
            Field::CompletedAt => Value::Time(order.completed_at?.0),
            Field::MerchantReference => Value::Text(order.merchant_reference.clone()),
            Field::Country => Value::Text(order.purchase_country.as_str().to_owned()),
            Field::Language => Value::Text(order.purchase_language.as_str().to_owned()),
            Field::Tax => Value::Number(order.purchase_tax_amount),
            Field::Total => Value::Number(order.purchase_total_amount),
            Field::PurchaseId => Value::Number(order.resulting_purchase_id?.0),
            Field::Status => Value::Text(status?.status.as_str().to_owned()),
            Field::EnteredAt => Value::Time(status?.entered_at.0),
        })
    }
}

impl Test {
    /// Whether a field's content passes. As in SQL, nothing is neither equal nor unequal to anything.
    fn holds(&self, content: Option<&Value>) -> Option<bool> {
        if let Test::IsNull(is_null) = self {
            return Some(content.is_none() == *is_null);
        }
        let content = content?;
        Some(match self {
            Test::Eq(value) => content == value,
            Test::Neq(value) => content != value,
            Test::In(values) => values.contains(content),
            Test::Nin(values) => !values.contains(content),
            Test::Gt(value) => content > value,
            Test::Gte(value) => content >= value,
            Test::Lt(value) => content < value,
            Test::Lte(value) => content <= value,
            Test::IsNull(is_null) => !is_null,
            Test::Like(pattern) => matches!(content, Value::Text(text) if pattern.matches(text)),
        })
    }
}

impl Condition {
    /// Whether an order is asked for.
    pub(super) fn matches(&self, order: &PurchaseOrder) -> bool {
        self.holds(order) == Some(true)
    }

    fn holds(&self, order: &PurchaseOrder) -> Option<bool> {
        match self {
            Condition::Is(field, test) => test.holds(field.of(order).as_ref()),
            Condition::Not(condition) => condition.holds(order).map(|holds| !holds),
            Condition::All(conditions) => all_of(conditions, order, true),
            Condition::Any(conditions) => all_of(conditions, order, false),
        }
    }

    /// The only values that this field may have in an order that matches, where the condition says so. By these
    /// orders are looked up instead of searched for.
    pub(super) fn pinned(&self, wanted: Field) -> Option<Vec<Value>> {
        match self {
            Condition::Is(field, Test::Eq(value)) if *field == wanted => Some(vec![value.clone()]),
            Condition::Is(field, Test::In(values)) if *field == wanted => Some(values.clone()),
            Condition::All(conditions) => conditions.iter().find_map(|condition| condition.pinned(wanted)),
            Condition::Any(conditions) => {
                let pinned: Option<Vec<_>> =
                    conditions.iter().map(|condition| condition.pinned(wanted)).collect();
                pinned.map(|values| values.into_iter().flatten().collect())
            }
            Condition::Is(..) | Condition::Not(_) => None,
        }
    }
}

/// Kleene's "and" of all conditions, or their "or": the same with every truth value turned over.
fn all_of(conditions: &[Condition], order: &PurchaseOrder, and: bool) -> Option<bool> {
    let mut outcome = Some(and);
    for condition in conditions {
        match condition.holds(order) {
            Some(holds) if holds == and => {}
            Some(_) => return Some(!and),
            None => outcome = None,
        }
    }
    outcome
}

impl Pattern {
    /// Reads a pattern.
    pub(super) fn new(pattern: &str, ignores_case: bool) -> Pattern {
        let mut parts = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            parts.push(match character {
                '%' => Part::Text,
                '_' => Part::Character,
                '\\' => Part::This(characters.next().unwrap_or('\\')),
                character => Part::This(character),
            });
        }
        Pattern { parts, ignores_case }
    }

    /// Whether all of `text` is of this pattern. Goes back to the last `%` alone, so it takes at most as many
    /// steps as text and pattern have characters, multiplied.
    fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let is = |part: Part, character: char| match part {
            Part::Text => false,
            Part::Character => true,
            Part::This(wanted) if self.ignores_case => wanted.to_lowercase().eq(character.to_lowercase()),
            Part::This(wanted) => wanted == character,
        };
        let (mut at, mut next) = (0, 0);
        let mut back: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.parts.get(next) {
                Some(Part::Text) => {
                    next += 1;
                    back = Some((at, next));
                }
                Some(part) if is(*part, text[at]) => (at, next) = (at + 1, next + 1),
                Some(_) | None => {
                    let Some((from, after)) = back else { return false };
                    back = Some((from + 1, after));
                    (at, next) = (from + 1, after);
                }
            }
        }
        self.parts[next..].iter().all(|part| *part == Part::Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_is_sqls() {
        for (pattern, text, expect) in [
            ("A-1", "A-1", true),
            ("A-1", "a-1", false),
            ("A-_", "A-1", true),
            ("A-_", "A-", false),
            ("A-%", "A-", true),
            ("%-1", "A-1-1", true),
            ("%a%b%", "xxaxxbxx", true),
            ("%a%b", "ab-a", false),
            ("100\\%", "100%", true),
            ("100\\%", "1000", false),
            ("", "", true),
            ("", "x", false),
            ("%", "", true),
            ("_", "ä", true),
        ] {
            assert_eq!(Pattern::new(pattern, false).matches(text), expect, "{pattern:?} {text:?}");
        }
        assert!(Pattern::new("a-ö%", true).matches("A-Ö1"));
        // No more steps than characters multiplied, however the pattern is made.
        assert!(!Pattern::new(&"%a".repeat(128), false).matches(&"a".repeat(64)));
    }
}
