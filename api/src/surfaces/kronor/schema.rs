//! The schema: two mutations, two lists, and both lists as subscriptions.
//!
//! What must stay true: one request can ask for a handful of lists and nests a few levels, however it is written.

use std::sync::{Arc, LazyLock};

use async_graphql::{Context, InputObject, Object, Result, Schema, SimpleObject, Subscription};
use futures::{Stream, StreamExt};
use ledger::ids::RecordId;
use ledger::order::{Rejection, Status};

use super::bool_exp::{PurchaseOrdersBoolExp, PurchaseOrdersOrderBy, PurchasesBoolExp, PurchasesOrderBy};
use super::caller::{Caller, wait_token};
use super::filter::{Condition, Field, Test};
use super::find::{Search, find};
use super::purchase_order::{Purchase, PurchaseOrder, is_complete};
use super::refusal::{ErrorType, Refusal};
use super::request::{self, PurchaseOrderInput};
use super::{NAME, live, sca};
use crate::app::App;
use crate::orders::{self, Ask, OrderError, operation};

/// A list or a mutation costs this, a field 1.
const LIST: usize = 100;
/// What a request may cost: the introspection that tools make, or four lists.
const MAX_COMPLEXITY: usize = 450;
/// How deep a request may nest: the introspection that tools make.
const MAX_DEPTH: usize = 16;
/// How deep the parser follows a document.
const MAX_NESTING: usize = 32;
const MAX_DIRECTIVES: usize = 20;

/// The schema's type.
pub(super) type KronorSchema = Schema<QueryRoot, MutationRoot, SubscriptionRoot>;

/// The schema. It holds no state: a request brings the server and its caller along.
pub(super) static SCHEMA: LazyLock<KronorSchema> = LazyLock::new(|| {
    Schema::build(QueryRoot, MutationRoot, SubscriptionRoot)
        .limit_depth(MAX_DEPTH)
        .limit_complexity(MAX_COMPLEXITY)
        .limit_recursive_depth(MAX_NESTING)
        .limit_directives(MAX_DIRECTIVES)
        .finish()
});

/// What there is to read.
pub(super) struct QueryRoot;

/// What can be done. Every operation is named by a key, and answered the same however often it is sent.
pub(super) struct MutationRoot;

/// What can be watched: the answer as it is, then again whenever it changes.
pub(super) struct SubscriptionRoot;

/// A purchase order that was created.
#[derive(SimpleObject)]
pub(super) struct NewPurchaseOrderResult {
    /// Its id: the `idempotencyKey`.
    id: String,
    /// A token, safe to use in a browser, that sees and cancels this purchase order alone.
    wait_token: String,
}

/// Which purchase order to cancel.
#[derive(InputObject)]
pub(super) struct PurchaseOrderCancelInput {
    /// Its `id`.
    purchase_order_id: String,
}

/// What became of a cancellation.
#[derive(SimpleObject)]
pub(super) struct PurchaseOrderCancelResult {
    /// Whether the purchase order is canceled. False: it cannot be any more.
    result: bool,
}

#[Object(name = "mutation_root")]
impl MutationRoot {
    /// Creates a purchase order.
    #[graphql(complexity = "LIST + child_complexity")]
    async fn new_purchase_order(
        &self,
        context: &Context<'_>,
        purchase: PurchaseOrderInput,
    ) -> Result<NewPurchaseOrderResult> {
        Ok(create(context, purchase).await?)
    }

    /// Creates a purchase order. The same as `newPurchaseOrder`, by its current name.
    #[graphql(complexity = "LIST + child_complexity")]
    async fn new_purchase_order_with_invoice(
        &self,
        context: &Context<'_>,
        purchase: PurchaseOrderInput,
    ) -> Result<NewPurchaseOrderResult> {
        Ok(create(context, purchase).await?)
    }

    /// Cancels a purchase order whose checkout is not complete.
    #[graphql(complexity = "LIST + child_complexity")]
    async fn purchase_order_cancel(
        &self,
        context: &Context<'_>,
        cancel: PurchaseOrderCancelInput,
    ) -> Result<PurchaseOrderCancelResult> {
        let result = cancel_order(context, cancel).await?;
        Ok(PurchaseOrderCancelResult { result })
    }
}

#[Object(name = "query_root")]
impl QueryRoot {
    /// Purchase orders, the newest first: at most 100, and of a merchant's newest 2000 orders where `where` names
    /// none by `id`, `merchantReference` or `resultingPurchaseId`.
    #[graphql(complexity = "LIST + child_complexity")]
    async fn purchase_orders(
        &self,
        context: &Context<'_>,
        #[graphql(name = "where")] filter: Option<PurchaseOrdersBoolExp>,
        order_by: Option<Vec<PurchaseOrdersOrderBy>>,
        limit: Option<i32>,
        offset: Option<i32>,
    ) -> Result<Vec<PurchaseOrder>> {
        let (app, caller) = visit(context)?;
        Ok(find(&app, &caller, &orders_search(filter, order_by, limit, offset)?).await?)
    }

    /// The purchases that came of completed checkouts; likewise.
    #[graphql(complexity = "LIST + child_complexity")]
    async fn purchases(
        &self,
        context: &Context<'_>,
        #[graphql(name = "where")] filter: Option<PurchasesBoolExp>,
        order_by: Option<Vec<PurchasesOrderBy>>,
        limit: Option<i32>,
        offset: Option<i32>,
    ) -> Result<Vec<Purchase>> {
        let (app, caller) = visit(context)?;
        let found = find(&app, &caller, &purchases_search(filter, order_by, limit, offset)?).await?;
        Ok(found.into_iter().filter_map(Purchase::of).collect())
    }
}

#[Subscription(name = "subscription_root")]
impl SubscriptionRoot {
    /// Purchase orders, now and whenever one of them changes.
    #[graphql(complexity = "LIST + child_complexity")]
    async fn purchase_orders(
        &self,
        context: &Context<'_>,
        #[graphql(name = "where")] filter: Option<PurchaseOrdersBoolExp>,
        order_by: Option<Vec<PurchaseOrdersOrderBy>>,
        limit: Option<i32>,
        offset: Option<i32>,
    ) -> Result<impl Stream<Item = Result<Vec<PurchaseOrder>>>> {
        let (app, caller) = visit(context)?;
        let search = orders_search(filter, order_by, limit, offset)?;
        Ok(live::answers(app, caller, search, |found| found).map(|answer| Ok(answer?)))
    }

    /// Purchases, now and whenever one of them changes.
    #[graphql(complexity = "LIST + child_complexity")]
    async fn purchases(
        &self,
        context: &Context<'_>,
        #[graphql(name = "where")] filter: Option<PurchasesBoolExp>,
        order_by: Option<Vec<PurchasesOrderBy>>,
        limit: Option<i32>,
        offset: Option<i32>,
    ) -> Result<impl Stream<Item = Result<Vec<Purchase>>>> {
        let (app, caller) = visit(context)?;
        let search = purchases_search(filter, order_by, limit, offset)?;
        let shown = |found: Vec<PurchaseOrder>| found.into_iter().filter_map(Purchase::of).collect();
        Ok(live::answers(app, caller, search, shown).map(|answer| Ok(answer?)))
    }
}

/// The server and the caller that a request came with.
fn visit(context: &Context<'_>) -> Result<(Arc<App>, Caller), Refusal> {
    let app = context.data_opt::<Arc<App>>();
    let app = app.ok_or_else(|| Refusal::internal("a GraphQL request without the server"))?;
    let caller = context.data_opt::<Caller>().ok_or_else(Refusal::unauthenticated)?;
    Ok((Arc::clone(app), caller.clone()))
}

fn orders_search(
    filter: Option<PurchaseOrdersBoolExp>,
    order_by: Option<Vec<PurchaseOrdersOrderBy>>,
    limit: Option<i32>,
    offset: Option<i32>,
) -> Result<Search, Refusal> {
    let condition = filter.map_or(Ok(Condition::All(Vec::new())), PurchaseOrdersBoolExp::condition)?;
    let sorts = order_by.unwrap_or_default().iter().flat_map(PurchaseOrdersOrderBy::sorts).collect();
    Search::new(condition, sorts, limit, offset)
}

fn purchases_search(
    filter: Option<PurchasesBoolExp>,
    order_by: Option<Vec<PurchasesOrderBy>>,
    limit: Option<i32>,
    offset: Option<i32>,
) -> Result<Search, Refusal> {
    let asked = filter.map_or(Ok(Condition::All(Vec::new())), PurchasesBoolExp::condition)?;
    let is_purchase = Condition::Is(Field::PurchaseId, Test::IsNull(false));
    let sorts = order_by.unwrap_or_default().iter().flat_map(PurchasesOrderBy::sorts).collect();
    Search::new(Condition::All(vec![asked, is_purchase]), sorts, limit, offset)
}

async fn create(
    context: &Context<'_>,
    purchase: PurchaseOrderInput,
) -> Result<NewPurchaseOrderResult, Refusal> {
    let (app, caller) = visit(context)?;
    let Caller::Merchant(tenant) = caller else {
        return Err(Refusal::new(ErrorType::Forbidden, "a waitToken creates nothing; send the API key"));
    };
    let id = purchase.idempotency_key.clone();
    let ask = Ask::new(tenant.clone(), Some(id.clone()), &purchase)?;
    let record = RecordId::for_key(&tenant, operation::KRONOR_PURCHASE_ORDER, &id);
    let expires_at =
        ask.at.checked_add(app.config.order_life).map_err(|error| Refusal::internal(&error.to_string()))?;
    let checkout = purchase.checkout(expires_at, &sca::return_url(&app, &tenant, record))?;
    orders::submit(&app, ask, operation::KRONOR_PURCHASE_ORDER, checkout).await?;
    Ok(NewPurchaseOrderResult { id, wait_token: wait_token(&app, &tenant, record) })
}

/// Whether the order is canceled. A checkout that is complete is not: giving a purchase back is another
/// operation of the vendor's.
async fn cancel_order(context: &Context<'_>, cancel: PurchaseOrderCancelInput) -> Result<bool, Refusal> {
    let (app, caller) = visit(context)?;
    let id = cancel.purchase_order_id;
    request::key("cancel.purchaseOrderId", &id)?;
    let tenant = caller.tenant();
    let record = RecordId::for_key(tenant, operation::KRONOR_PURCHASE_ORDER, &id);
    if !caller.may_see(record) {
        return Err(Refusal::not_found());
    }
    let view = orders::order(&app, tenant, record, None).await?;
    if view.order.checkout.surface.name != NAME {
        return Err(Refusal::not_found());
    }
    if is_complete(view.order.status()) && !view.order.cancellation_requested {
        return Ok(false);
    }
    // Named by the order: whoever cancels it again repeats the same operation.
    let ask = Ask::new(tenant.clone(), Some(id.clone()), &id)?;
    match orders::cancel(&app, ask, operation::KRONOR_CANCELLATION, record).await {
        // An authorization that came in between is released by the PSP, which is asked to.
        Ok(_) => Ok(true),
        Err(OrderError::Rejected(Rejection::NotCancelable { status })) => Ok(status == Status::Canceled),
        Err(OrderError::Rejected(Rejection::CancellationPending | Rejection::CapturePending)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
