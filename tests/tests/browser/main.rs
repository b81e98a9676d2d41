//! The pages that buyers see, in a real Chromium: pay, decline, cancel, pass and fail the challenge, and come back.

mod hosted_page;
mod vendors;

use daybook_tests::browser::{Browser, Shop, Visit};
use daybook_tests::{Client, Kind, Setup, World};

/// The sandbox's test cards, as a buyer types them.
const GOOD: &str = "4242 4242 4242 4242";
const DECLINED: &str = "4000 0000 0000 0002";
const CHALLENGED: &str = "4000 0025 0000 3155";
/// A card number that is none of the sandbox's.
const SOMEBODYS: &str = "5555 5555 5555 4444";

/// Makes one test of each story on the embedded journal and one on the newest nats-server.
#[macro_export]
macro_rules! in_a_browser {
    ($($story:ident),+ $(,)?) => {
        mod embedded { $($crate::in_a_browser! { @test $story, Embedded })+ }
        mod jetstream_newest { $($crate::in_a_browser! { @test $story, JetStreamNewest })+ }
    };
    (@test $story:ident, $kind:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $story() {
            if let Some(scene) = $crate::Scene::set(daybook_tests::Kind::$kind).await {
                super::$story(&scene).await;
            }
        }
    };
}

/// A demo server, a shop to come back to, and a buyer's browser.
struct Scene {
    world: World,
    shop: Shop,
    browser: Browser,
}

impl Scene {
    /// None, with a message, on a machine that cannot have a browser.
    async fn set(kind: Kind) -> Option<Self> {
        let browser = Browser::start().await?;
        let (world, shop) = (World::with(kind, Setup::demo()).await, Shop::open().await);
        Some(Scene { world, shop, browser })
    }

    fn merchant(&self) -> Client {
        self.world.shop()
    }

    /// Pays on the page that is open.
    async fn pay(&self, card: &str) {
        self.browser.fill("Card number", card).await;
        self.browser.press("Pay").await;
    }

    /// The buyer's only visit to the shop so far, after arriving there.
    async fn return_to(&self, path: &str) -> Visit {
        self.browser.arrives_at(&self.shop.url(path)).await;
        self.browser.shows("Back at the shop").await;
        let visits = self.shop.visits();
        assert_eq!(visits.len(), 1, "{visits:?}");
        assert_eq!(visits[0].referer, None, "the page's address carries a token, and is told to nobody");
        visits[0].clone()
    }

    /// Nothing was on the console but `expected`, and no card number was in a URL.
    async fn assert_clean(&self, expected: &[&str]) {
        let digits = [GOOD, DECLINED, CHALLENGED, SOMEBODYS].map(|card| card.replace(' ', ""));
        self.browser.assert_clean(expected, &digits.each_ref().map(String::as_str)).await;
    }

    /// Nothing of this page lies beyond the edge of a small telephone.
    async fn assert_fits(&self, page: &str) {
        self.browser.narrow_to(320).await;
        assert_eq!(self.browser.hidden_to_the_right().await, 0, "{page}");
    }
}

fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
}
