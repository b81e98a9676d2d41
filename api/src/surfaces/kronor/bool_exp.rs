//! The input types of `where` and `orderBy`, in Hasura's shape, and the conditions that they stand for.
//!
//! A comparison with an explicit `null` is refused: a client that forgot a variable must not be answered with
//! everything there is.

use async_graphql::{InputObject, InputType, MaybeUndefined};

use super::filter::{Condition, Field, Pattern, Test, Value};
use super::find::Sort;
use super::refusal::Refusal;
use super::words::{Bigint, Country, Direction, Language, StatusWord, Timestamptz};

/// How many values a `where` may compare with, and how many conditions it may hold.
const MAX_COMPARISONS: usize = 200;
const MAX_PATTERN: usize = 256;

/// Comparisons of values that have an order.
#[derive(InputObject)]
#[graphql(
    concrete(name = "IntComparisonExp", params(i32)),
    concrete(name = "BigintComparisonExp", params(Bigint)),
    concrete(name = "TimestamptzComparisonExp", params(Timestamptz))
)]
pub(super) struct OrderedComparisonExp<T: InputType> {
    /// Equal to.
    #[graphql(name = "_eq")]
    eq: MaybeUndefined<T>,
    /// Not equal to.
    #[graphql(name = "_neq")]
    neq: MaybeUndefined<T>,
    /// One of.
    #[graphql(name = "_in")]
    one_of: MaybeUndefined<Vec<T>>,
    /// None of.
    #[graphql(name = "_nin")]
    none_of: MaybeUndefined<Vec<T>>,
    /// Greater than.
    #[graphql(name = "_gt")]
    gt: MaybeUndefined<T>,
    /// Greater than or equal to.
    #[graphql(name = "_gte")]
    gte: MaybeUndefined<T>,
    /// Less than.
    #[graphql(name = "_lt")]
    lt: MaybeUndefined<T>,
    /// Less than or equal to.
    #[graphql(name = "_lte")]
    lte: MaybeUndefined<T>,
    /// Whether there is nothing.
    #[graphql(name = "_is_null")]
    is_null: MaybeUndefined<bool>,
}

/// Comparisons of words.
#[derive(InputObject)]
#[graphql(
    concrete(name = "CountryComparisonExp", params(Country)),
    concrete(name = "LanguageComparisonExp", params(Language)),
    concrete(name = "PurchaseOrderStatusEnumComparisonExp", params(StatusWord))
)]
pub(super) struct WordComparisonExp<T: InputType> {
    /// Equal to.
    #[graphql(name = "_eq")]
    eq: MaybeUndefined<T>,
    /// Not equal to.
    #[graphql(name = "_neq")]
    neq: MaybeUndefined<T>,
    /// One of.
    #[graphql(name = "_in")]
    one_of: MaybeUndefined<Vec<T>>,
    /// None of.
    #[graphql(name = "_nin")]
    none_of: MaybeUndefined<Vec<T>>,
    /// Whether there is nothing.
    #[graphql(name = "_is_null")]
    is_null: MaybeUndefined<bool>,
}

/// Comparisons of texts.
#[derive(InputObject)]
pub(super) struct StringComparisonExp {
    /// Equal to.
    #[graphql(name = "_eq")]
    eq: MaybeUndefined<String>,
    /// Not equal to.
    #[graphql(name = "_neq")]
    neq: MaybeUndefined<String>,
    /// One of.
    #[graphql(name = "_in")]
    one_of: MaybeUndefined<Vec<String>>,
    /// None of.
    #[graphql(name = "_nin")]
    none_of: MaybeUndefined<Vec<String>>,
    /// Greater than, by code points.
    #[graphql(name = "_gt")]
    gt: MaybeUndefined<String>,
    /// Greater than or equal to, by code points.
    #[graphql(name = "_gte")]
    gte: MaybeUndefined<String>,
    /// Less than, by code points.
    #[graphql(name = "_lt")]
    lt: MaybeUndefined<String>,
    /// Less than or equal to, by code points.
    #[graphql(name = "_lte")]
    lte: MaybeUndefined<String>,
    /// Of this pattern: `%` is any text, `_` any character.
    #[graphql(name = "_like")]
    like: MaybeUndefined<String>,
    /// Not of this pattern.
    #[graphql(name = "_nlike")]
    nlike: MaybeUndefined<String>,
    /// Of this pattern, in any case of letters.
    #[graphql(name = "_ilike")]
    ilike: MaybeUndefined<String>,
    /// Not of this pattern, in any case of letters.
    #[graphql(name = "_nilike")]
    nilike: MaybeUndefined<String>,
    /// Whether there is nothing.
    #[graphql(name = "_is_null")]
    is_null: MaybeUndefined<bool>,
}

/// Conditions on a status that an order is in.
#[derive(InputObject)]
pub(super) struct PurchaseOrderStatusBoolExp {
    /// Which status.
    status: Option<WordComparisonExp<StatusWord>>,
    /// Since when.
    entered_at: Option<OrderedComparisonExp<Timestamptz>>,
}

/// Which purchase orders. Several fields are several conditions, each of which must hold.
#[derive(InputObject)]
pub(super) struct PurchaseOrdersBoolExp {
    /// Each of these.
    #[graphql(name = "_and")]
    and: Option<Vec<PurchaseOrdersBoolExp>>,
    /// One of these.
    #[graphql(name = "_or")]
    or: Option<Vec<PurchaseOrdersBoolExp>>,
    /// Not this.
    #[graphql(name = "_not")]
    not: Option<Box<PurchaseOrdersBoolExp>>,
    /// By the `idempotencyKey`.
    id: Option<StringComparisonExp>,
    /// By when it was created.
    created_at: Option<OrderedComparisonExp<Timestamptz>>,
    /// By the merchant's own name.
    merchant_reference: Option<StringComparisonExp>,
    /// By country.
    purchase_country: Option<WordComparisonExp<Country>>,
    /// By language.
    purchase_language: Option<WordComparisonExp<Language>>,
    /// By the tax in the total.
    purchase_tax_amount: Option<OrderedComparisonExp<i32>>,
    /// By the total.
    purchase_total_amount: Option<OrderedComparisonExp<i32>>,
    /// By the purchase that came of it.
    resulting_purchase_id: Option<OrderedComparisonExp<Bigint>>,
    /// By a status that it is in.
    status: Option<PurchaseOrderStatusBoolExp>,
}

/// Which purchases. Several fields are several conditions, each of which must hold.
#[derive(InputObject)]
pub(super) struct PurchasesBoolExp {
    /// Each of these.
    #[graphql(name = "_and")]
    and: Option<Vec<PurchasesBoolExp>>,
    /// One of these.
    #[graphql(name = "_or")]
    or: Option<Vec<PurchasesBoolExp>>,
    /// Not this.
    #[graphql(name = "_not")]
    not: Option<Box<PurchasesBoolExp>>,
    /// By the purchase's number.
    id: Option<OrderedComparisonExp<Bigint>>,
    /// By the `id` of its purchase order.
    purchase_order_id: Option<StringComparisonExp>,
    /// By when the checkout was completed.
    created_at: Option<OrderedComparisonExp<Timestamptz>>,
    /// By the merchant's own name.
    merchant_reference: Option<StringComparisonExp>,
    /// By country.
    purchase_country: Option<WordComparisonExp<Country>>,
    /// By language.
    purchase_language: Option<WordComparisonExp<Language>>,
    /// By the tax in the total.
    purchase_tax_amount: Option<OrderedComparisonExp<i32>>,
    /// By the total.
    purchase_total_amount: Option<OrderedComparisonExp<i32>>,
    /// By a status that it is in.
    status: Option<PurchaseOrderStatusBoolExp>,
}

/// What purchase orders are sorted by.
#[derive(InputObject)]
pub(super) struct PurchaseOrdersOrderBy {
    id: Option<Direction>,
    created_at: Option<Direction>,
    merchant_reference: Option<Direction>,
    purchase_country: Option<Direction>,
    purchase_language: Option<Direction>,
    purchase_tax_amount: Option<Direction>,
    purchase_total_amount: Option<Direction>,
    resulting_purchase_id: Option<Direction>,
}

/// What purchases are sorted by.
#[derive(InputObject)]
pub(super) struct PurchasesOrderBy {
    id: Option<Direction>,
    purchase_order_id: Option<Direction>,
    created_at: Option<Direction>,
    merchant_reference: Option<Direction>,
    purchase_country: Option<Direction>,
    purchase_language: Option<Direction>,
    purchase_tax_amount: Option<Direction>,
    purchase_total_amount: Option<Direction>,
}

impl PurchaseOrdersBoolExp {
    /// The condition that it stands for.
    pub(super) fn condition(self) -> Result<Condition, Refusal> {
        self.read(&mut Room::new())
    }

    fn read(self, room: &mut Room) -> Result<Condition, Refusal> {
        room.take()?;
        let mut all = Vec::new();
        if let Some(conditions) = self.and {
            all.push(Condition::All(each(conditions, |condition| condition.read(room))?));
        }
        if let Some(conditions) = self.or {
            all.push(Condition::Any(each(conditions, |condition| condition.read(room))?));
        }
        if let Some(condition) = self.not {
            all.push(Condition::Not(Box::new(condition.read(room)?)));
        }
        text(Field::Id, self.id, room, &mut all)?;
        ordered(Field::CreatedAt, self.created_at, room, &mut all)?;
        text(Field::MerchantReference, self.merchant_reference, room, &mut all)?;
        word(Field::Country, self.purchase_country, room, &mut all)?;
        word(Field::Language, self.purchase_language, room, &mut all)?;
        ordered(Field::Tax, self.purchase_tax_amount, room, &mut all)?;
        ordered(Field::Total, self.purchase_total_amount, room, &mut all)?;
        ordered(Field::PurchaseId, self.resulting_purchase_id, room, &mut all)?;
        status(self.status, room, &mut all)?;
        Ok(Condition::All(all))
    }
}

impl PurchasesBoolExp {
    /// The condition that it stands for.
    pub(super) fn condition(self) -> Result<Condition, Refusal> {
        self.read(&mut Room::new())
    }

    fn read(self, room: &mut Room) -> Result<Condition, Refusal> {
        room.take()?;
        let mut all = Vec::new();
        if let Some(conditions) = self.and {
            all.push(Condition::All(each(conditions, |condition| condition.read(room))?));
        }
        if let Some(conditions) = self.or {
            all.push(Condition::Any(each(conditions, |condition| condition.read(room))?));
        }
        if let Some(condition) = self.not {
            all.push(Condition::Not(Box::new(condition.read(room)?)));
        }
        ordered(Field::PurchaseId, self.id, room, &mut all)?;
        text(Field::Id, self.purchase_order_id, room, &mut all)?;
        ordered(Field::CompletedAt, self.created_at, room, &mut all)?;
        text(Field::MerchantReference, self.merchant_reference, room, &mut all)?;
        word(Field::Country, self.purchase_country, room, &mut all)?;
        word(Field::Language, self.purchase_language, room, &mut all)?;
        ordered(Field::Tax, self.purchase_tax_amount, room, &mut all)?;
        ordered(Field::Total, self.purchase_total_amount, room, &mut all)?;
        status(self.status, room, &mut all)?;
        Ok(Condition::All(all))
    }
}

impl PurchaseOrdersOrderBy {
    /// What to sort by, in the order of the fields above.
    pub(super) fn sorts(&self) -> Vec<Sort> {
        sorts(&[
            (Field::Id, self.id),
            (Field::CreatedAt, self.created_at),
            (Field::MerchantReference, self.merchant_reference),
            (Field::Country, self.purchase_country),
            (Field::Language, self.purchase_language),
            (Field::Tax, self.purchase_tax_amount),
            (Field::Total, self.purchase_total_amount),
            (Field::PurchaseId, self.resulting_purchase_id),
        ])
    }
}

impl PurchasesOrderBy {
    /// What to sort by, in the order of the fields above.
    pub(super) fn sorts(&self) -> Vec<Sort> {
        sorts(&[
            (Field::PurchaseId, self.id),
            (Field::Id, self.purchase_order_id),
            (Field::CompletedAt, self.created_at),
            (Field::MerchantReference, self.merchant_reference),
            (Field::Country, self.purchase_country),
            (Field::Language, self.purchase_language),
            (Field::Tax, self.purchase_tax_amount),
            (Field::Total, self.purchase_total_amount),
        ])
    }
}

fn sorts(fields: &[(Field, Option<Direction>)]) -> Vec<Sort> {
    let given = fields.iter().filter_map(|(field, direction)| Some((*field, (*direction)?)));
    given.map(|(field, direction)| Sort { field, descending: direction.is_descending() }).collect()
}

fn each<T>(
    conditions: Vec<T>,
    read: impl FnMut(T) -> Result<Condition, Refusal>,
) -> Result<Vec<Condition>, Refusal> {
    conditions.into_iter().map(read).collect()
}

/// How much more a `where` may hold. Each order is held against all of it.
struct Room(usize);

impl Room {
    fn new() -> Self {
        Room(MAX_COMPARISONS)
    }

    fn take(&mut self) -> Result<(), Refusal> {
        let too_large =
            || Refusal::input("where", format!("more than {MAX_COMPARISONS} conditions and values"));
        self.0 = self.0.checked_sub(1).ok_or_else(too_large)?;
        Ok(())
    }
}

/// Adds the comparisons of one field to `all`.
struct Reading<'a> {
    field: Field,
    room: &'a mut Room,
    all: &'a mut Vec<Condition>,
}

impl Reading<'_> {
    fn given<T>(&self, name: &str, value: MaybeUndefined<T>) -> Result<Option<T>, Refusal> {
        match value {
            MaybeUndefined::Undefined => Ok(None),
            MaybeUndefined::Value(value) => Ok(Some(value)),
            MaybeUndefined::Null => {
                Err(Refusal::input("where", format!("{name}: null; to ask for nothing there is _is_null")))
            }
        }
    }

    fn one<T: Into<Value>>(
        &mut self,
        name: &str,
        value: MaybeUndefined<T>,
        test: impl FnOnce(Value) -> Test,
    ) -> Result<(), Refusal> {
        let Some(value) = self.given(name, value)? else { return Ok(()) };
        self.room.take()?;
        self.all.push(Condition::Is(self.field, test(value.into())));
        Ok(())
    }

    fn many<T: Into<Value>>(
        &mut self,
        name: &str,
        values: MaybeUndefined<Vec<T>>,
        test: impl FnOnce(Vec<Value>) -> Test,
    ) -> Result<(), Refusal> {
        let Some(values) = self.given(name, values)? else { return Ok(()) };
        for _ in &values {
            self.room.take()?;
        }
        self.all.push(Condition::Is(self.field, test(values.into_iter().map(T::into).collect())));
        Ok(())
    }

    fn is_null(&mut self, value: MaybeUndefined<bool>) -> Result<(), Refusal> {
        if let Some(is_null) = self.given("_is_null", value)? {
            self.room.take()?;
            self.all.push(Condition::Is(self.field, Test::IsNull(is_null)));
        }
        Ok(())
    }

    fn like(
        &mut self,
        name: &str,
        pattern: MaybeUndefined<String>,
        ignores_case: bool,
    ) -> Result<Option<Condition>, Refusal> {
        let Some(pattern) = self.given(name, pattern)? else { return Ok(None) };
        self.room.take()?;
        if pattern.chars().count() > MAX_PATTERN {
            return Err(Refusal::input("where", format!("{name}: longer than {MAX_PATTERN} characters")));
        }
        Ok(Some(Condition::Is(self.field, Test::Like(Pattern::new(&pattern, ignores_case)))))
    }
}

fn text(
    field: Field,
    given: Option<StringComparisonExp>,
    room: &mut Room,
    all: &mut Vec<Condition>,
) -> Result<(), Refusal> {
    let Some(given) = given else { return Ok(()) };
    let mut reading = Reading { field, room, all };
    reading.one("_eq", given.eq, Test::Eq)?;
    reading.one("_neq", given.neq, Test::Neq)?;
    reading.many("_in", given.one_of, Test::In)?;
    reading.many("_nin", given.none_of, Test::Nin)?;
    reading.one("_gt", given.gt, Test::Gt)?;
    reading.one("_gte", given.gte, Test::Gte)?;
    reading.one("_lt", given.lt, Test::Lt)?;
    reading.one("_lte", given.lte, Test::Lte)?;
    let like = [
        (reading.like("_like", given.like, false)?, false),
        (reading.like("_nlike", given.nlike, false)?, true),
        (reading.like("_ilike", given.ilike, true)?, false),
        (reading.like("_nilike", given.nilike, true)?, true),
    ];
    for (condition, is_negated) in like {
        let Some(condition) = condition else { continue };
        reading.all.push(if is_negated { Condition::Not(Box::new(condition)) } else { condition });
    }
    reading.is_null(given.is_null)
}

fn ordered<T: InputType + Into<Value>>(
    field: Field,
    given: Option<OrderedComparisonExp<T>>,
    room: &mut Room,
    all: &mut Vec<Condition>,
) -> Result<(), Refusal> {
    let Some(given) = given else { return Ok(()) };
    let mut reading = Reading { field, room, all };
    reading.one("_eq", given.eq, Test::Eq)?;
    reading.one("_neq", given.neq, Test::Neq)?;
    reading.many("_in", given.one_of, Test::In)?;
    reading.many("_nin", given.none_of, Test::Nin)?;
    reading.one("_gt", given.gt, Test::Gt)?;
    reading.one("_gte", given.gte, Test::Gte)?;
    reading.one("_lt", given.lt, Test::Lt)?;
    reading.one("_lte", given.lte, Test::Lte)?;
    reading.is_null(given.is_null)
}

fn word<T: InputType + Into<Value>>(
    field: Field,
    given: Option<WordComparisonExp<T>>,
    room: &mut Room,
    all: &mut Vec<Condition>,
) -> Result<(), Refusal> {
    let Some(given) = given else { return Ok(()) };
    let mut reading = Reading { field, room, all };
    reading.one("_eq", given.eq, Test::Eq)?;
    reading.one("_neq", given.neq, Test::Neq)?;
    reading.many("_in", given.one_of, Test::In)?;
    reading.many("_nin", given.none_of, Test::Nin)?;
    reading.is_null(given.is_null)
}

fn status(
    given: Option<PurchaseOrderStatusBoolExp>,
    room: &mut Room,
    all: &mut Vec<Condition>,
) -> Result<(), Refusal> {
    let Some(given) = given else { return Ok(()) };
    word(Field::Status, given.status, room, all)?;
    ordered(Field::EnteredAt, given.entered_at, room, all)
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Value::Number(number.into())
    }
}

impl From<Bigint> for Value {
    fn from(Bigint(number): Bigint) -> Self {
        Value::Number(number)
    }
}

impl From<Timestamptz> for Value {
    fn from(Timestamptz(at): Timestamptz) -> Self {
        Value::Time(at)
    }
}

impl From<Country> for Value {
    fn from(country: Country) -> Self {
        Value::Text(country.as_str().to_owned())
    }
}

impl From<Language> for Value {
    fn from(language: Language) -> Self {
        Value::Text(language.as_str().to_owned())
    }
}

impl From<StatusWord> for Value {
    fn from(word: StatusWord) -> Self {
        Value::Text(word.as_str().to_owned())
    }
}
