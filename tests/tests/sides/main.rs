//! One order, seen from several sides: whatever surface it came in by and whatever PSP moves its money, the native API
//! and the surface agree on it to the minor unit, at every step.

mod psp;
mod surface;

use daybook_tests::{Client, Setup, World, eventually};
use serde_json::Value;

use self::psp::Psp;
use self::surface::{Made, Surface};

daybook_tests::in_each_world!(
    super::setup();
    an_order_of_each_surface_is_one_and_the_same_natively,
    what_stripe_reports_is_told_by_each_surface,
    what_adyen_reports_is_told_by_each_surface,
);

/// A hosted page that nobody serves, and no waiting for the PSP.
fn setup() -> Setup {
    let config = "payment_page_url = \"https://pay.example/{tracking_number}?token={token}\"\n\
                  [akinon]\npsp_wait_ms = 0\n";
    Setup { config: config.to_owned(), ..Setup::default() }
}

/// How an order's money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capture {
    /// By the PSP itself.
    ByThePsp,
    /// By the PSP, once the merchant asks for it.
    OnRequest,
    /// Elsewhere; the merchant confirms it.
    Outside,
}

/// Each surface, how money is taken there, and its words for: processing, authorized, captured, partially refunded,
/// refunded.
const SURFACES: [(Surface, Capture, [&str; 5]); 6] = [
    (
        Surface::Azotte,
        Capture::ByThePsp,
        ["CHECK_OUT_PROCESSING", "-", "CHECK_OUT_DONE", "CHECK_OUT_DONE", "CHECK_OUT_DONE"],
    ),
    (Surface::AkinonSale, Capture::ByThePsp, ["PENDING", "-", "RESOLVED", "RESOLVED", "RESOLVED"]),
    (Surface::AkinonAuth, Capture::OnRequest, ["PENDING", "RESOLVED", "RESOLVED", "RESOLVED", "RESOLVED"]),
    (Surface::OrkestaPay, Capture::ByThePsp, ["CREATED", "-", "COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"]),
    (Surface::Carat, Capture::Outside, ["NOV", "-", "CON", "CON", "EST"]),
    (
        Surface::Kronor,
        Capture::OnRequest,
        ["PRE_FLIGHT_SCORING", "WAITING_FOR_CAPTURE", "CAPTURE_DONE", "CAPTURE_DONE", "CAPTURE_DONE"],
    ),
];

async fn an_order_of_each_surface_is_one_and_the_same_natively(world: World) {
    each_surface_agrees(&world, Psp::Standard).await;
}

async fn what_stripe_reports_is_told_by_each_surface(world: World) {
    each_surface_agrees(&world, Psp::Stripe).await;
}

async fn what_adyen_reports_is_told_by_each_surface(world: World) {
    each_surface_agrees(&world, Psp::Adyen).await;
}

/// Takes an order of each surface from its first call to its last refund; the refunds are told by the PSP alone.
async fn each_surface_agrees(world: &World, psp: Psp) {
    let shop = world.shop();
    for (surface, capture, [processing, authorized, captured, partially_refunded, refunded]) in SURFACES {
        let made = surface.make(&shop).await;
        let all = made.amount_minor;
        let part = all / 3 + 1;
        let agree = async |status: &str, captured: i64, refunded: i64, word: &str| {
            agree(&shop, &made, Stand { status, captured, refunded, word }).await;
        };
        agree("processing", 0, 0, processing).await;
        match capture {
            Capture::ByThePsp => psp.captured(&shop, &made, None).await,
            Capture::OnRequest => {
                psp.authorized(&shop, &made).await;
                agree("authorized", 0, 0, authorized).await;
                let asked = made.ask_for_capture(&shop).await;
                psp.captured(&shop, &made, Some(&asked)).await;
            }
            Capture::Outside => made.confirm(&shop).await,
        }
        agree("captured", all, 0, captured).await;
        psp.refunded(&shop, &made, part).await;
        agree("partially_refunded", all, part, partially_refunded).await;
        psp.refunded(&shop, &made, all - part).await;
        agree("refunded", all, all, refunded).await;
        assert_eq!(shop.anomalies(&made.order).await, Vec::<String>::new(), "{surface:?}");
    }
    world.log().await.assert_nothing_is_there_twice();
}

/// What both sides are to say.
#[derive(Debug, Clone, Copy)]
struct Stand<'a> {
    /// In the native API's words.
    status: &'a str,
    captured: i64,
    refunded: i64,
    /// In the surface's.
    word: &'a str,
}

async fn agree(shop: &Client, made: &Made, stand: Stand<'_>) {
    let context = format!("{:?} {stand:?}", made.surface);
    shop.wait_for(&made.order, stand.status).await;
    let (captured, refunded) = (stand.captured, stand.refunded);

    let balance = shop.balance(&made.order).await;
    let figures = ["/captured", "/refunded", "/refund_pending", "/balance"].map(|name| balance.number(name));
    assert_eq!(figures, [captured, refunded, 0, captured - refunded], "{context}");

    let order = shop.get(&format!("/v1/orders/{}", made.order)).await.expect(200).json();
    assert_eq!(order["amount"], made.amount(made.amount_minor), "{context}");
    let reference = order["merchant_reference"].as_str().expect("a reference");
    let listed = shop.request(reqwest::Method::GET, "/v1/orders").query(&[("reference", reference)]);
    let listed = daybook_tests::Reply::to(listed).await.expect(200).json();
    let listed = listed["orders"].as_array().expect("orders").clone();
    assert_eq!(listed.len(), 1, "{context}: {listed:?}");
    assert_eq!((&listed[0]["order_id"], &listed[0]["status"]), (&order["order_id"], &order["status"]));

    let history = shop.history(&made.order).await.json();
    let last = history["entries"].as_array().and_then(|entries| entries.last()).expect("entries").clone();
    assert_eq!(last["status"], stand.status, "{context}");
    assert_eq!(last["balance"], captured - refunded, "{context}");
    assert_eq!(moved(&history), (captured, refunded), "{context}: {history}");

    let told = eventually(&context, async || {
        let told = made.told(shop).await;
        (told.word == stand.word).then_some(told)
    })
    .await;
    assert_eq!(told.amount_minor.unwrap_or(made.amount_minor), made.amount_minor, "{context}");
    assert_eq!(told.balance_minor.unwrap_or(captured - refunded), captured - refunded, "{context}");
}

/// What the history's events captured and refunded, added up.
fn moved(history: &Value) -> (i64, i64) {
    let entries = history["entries"].as_array().expect("entries");
    let events = entries.iter().flat_map(|entry| entry["events"].as_array().expect("events"));
    let sum = |kind: &str| -> i64 {
        let of_kind = events.clone().filter(|event| event["type"] == kind);
        of_kind.map(|event| event["amount"]["value"].as_i64().expect("an amount")).sum()
    };
    (sum("payment_captured"), sum("refund_settled"))
}
