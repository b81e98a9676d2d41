//! A real Chromium, driven as a buyer uses it: addresses, buttons by their words, fields by their labels.
//!
//! Everything waits for what it names and nothing waits for time. Whatever a page complains about on the console
//! counts: a test ends with [`Browser::assert_clean`].

mod driver;
mod shop;

pub use shop::{Shop, Visit};

use reqwest::Url;
use serde_json::{Value, json};

use self::driver::Driver;
use crate::eventually;

/// WebDriver's name for a reference to an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window and an empty profile, gone when dropped.
#[derive(Debug)]
pub struct Browser {
    driver: Driver,
}

impl Browser {
    /// Starts one; `None`, with a message, on a machine that cannot have one.
    pub async fn start() -> Option<Self> {
        Some(Browser { driver: Driver::start().await? })
    }

    /// Goes to an address and waits until the page is there.
    pub async fn open(&self, url: &str) {
        self.driver.post("/url", json!({"url": url})).await;
    }

    /// Presses the browser's own *back*.
    pub async fn back(&self) {
        self.driver.post("/back", json!({})).await;
    }

    /// Presses the browser's own *reload*.
    pub async fn reload(&self) {
        self.driver.post("/refresh", json!({})).await;
    }

    /// The present address.
    pub async fn address(&self) -> Url {
        let address = self.driver.get("/url").await;
        Url::parse(address.as_str().expect("an address")).expect("a URL")
    }

    /// Waits until the address begins with `prefix`, and returns it.
    pub async fn arrives_at(&self, prefix: &str) -> Url {
        eventually(&format!("the address {prefix}"), async || {
            let address = self.address().await;
            address.as_str().starts_with(prefix).then_some(address)
        })
        .await
    }

    /// Waits until the page shows these words, and returns all that it shows.
    pub async fn shows(&self, words: &str) -> String {
        eventually(&format!("the words {words:?}"), async || {
            let text = self.text().await;
            text.contains(words).then_some(text)
        })
        .await
    }

    /// What the page shows.
    pub async fn text(&self) -> String {
        let script = json!({"script": "return document.body.innerText", "args": []});
        // A page that is being replaced while it is asked shows nothing.
        let text = self.driver.try_post("/execute/sync", script).await.unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Whether the page has such an element now.
    pub async fn has(&self, selector: &str) -> bool {
        self.script(&format!("return document.querySelector({}) !== null", json!(selector))).await == true
    }

    /// Types into the field with this label, instead of what was there.
    pub async fn fill(&self, label: &str, text: &str) {
        let field = self.element(&format!("//input[@id=//label[normalize-space()='{label}']/@for]")).await;
        self.driver.post(&format!("/element/{field}/clear"), json!({})).await;
        self.driver.post(&format!("/element/{field}/value"), json!({"text": text})).await;
    }

    /// Presses the button or link whose words begin so, and waits until the page that follows is there.
    pub async fn press(&self, words: &str) {
        let button = self.button(words).await;
        self.driver.post(&format!("/element/{button}/click"), json!({})).await;
    }

    /// Presses it twice, as fast as a mouse does.
    pub async fn press_twice(&self, words: &str) {
        let button = self.button(words).await;
        let (down, up) =
            (json!({"type": "pointerDown", "button": 0}), json!({"type": "pointerUp", "button": 0}));
        let there = json!({"type": "pointerMove", "x": 0, "y": 0, "origin": {ELEMENT: button}});
        let mouse = json!({"type": "pointer", "id": "mouse", "actions": [there, down, up, down, up]});
        self.driver.post("/actions", json!({"actions": [mouse]})).await;
    }

    async fn button(&self, words: &str) -> String {
        self.element(&format!("//*[self::button or self::a][starts-with(normalize-space(), '{words}')]"))
            .await
    }

    /// Waits for the element at an XPath.
    async fn element(&self, path: &str) -> String {
        eventually(path, async || {
            let wanted = json!({"using": "xpath", "value": path});
            let found = self.driver.try_post("/element", wanted).await.ok()?;
            Some(found[ELEMENT].as_str()?.to_owned())
        })
        .await
    }

    /// The value of a script that runs beside the page, where its content security policy does not reach.
    pub async fn script(&self, script: &str) -> Value {
        self.driver.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// A command of the Chrome DevTools Protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.driver.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// Makes the window look like a telephone's, so many CSS pixels wide.
    pub async fn narrow_to(&self, width: u32) {
        let screen = json!({"width": width, "height": 640, "deviceScaleFactor": 2, "mobile": true});
        self.devtools("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// Lets pages run scripts, or not.
    pub async fn allow_scripts(&self, allowed: bool) {
        self.devtools("Emulation.setScriptExecutionDisabled", json!({"value": !allowed})).await;
    }

    /// How many CSS pixels of the page lie beyond the window's right edge.
    pub async fn hidden_to_the_right(&self) -> i64 {
        let root = "document.documentElement";
        let width = self.script(&format!("return {root}.scrollWidth - {root}.clientWidth")).await;
        width.as_i64().expect("a number of pixels")
    }

    /// Panics if anything was written to the console, such as a script's error or a breach of the content security
    /// policy, except for lines that contain one of `expected`; and if any URL that was asked for, or told to another
    /// site, has one of `secrets` in it.
    pub async fn assert_clean(&self, expected: &[&str], secrets: &[&str]) {
        let console = self.log("browser").await;
        let console = console.iter().filter_map(|entry| entry["message"].as_str());
        let complaints: Vec<&str> =
            console.filter(|message| !expected.iter().any(|words| message.contains(words))).collect();
        assert!(complaints.is_empty(), "on the console: {complaints:#?}");
        let urls = self.urls().await;
        assert!(!urls.is_empty(), "the browser asked for nothing");
        for url in urls {
            // As it stands, and without what may separate groups of digits.
            let joined = url.replace("%20", "").replace(['+', '-'], "");
            let told = secrets.iter().find(|secret| url.contains(**secret) || joined.contains(**secret));
            assert!(told.is_none(), "{told:?} is in {url}");
        }
    }

    /// Every URL that the browser has asked for, and every `Referer` that it sent.
    async fn urls(&self) -> Vec<String> {
        let mut urls = Vec::new();
        for entry in self.log("performance").await {
            let message = entry["message"].as_str().unwrap_or_default();
            let event: Value = serde_json::from_str(message).expect("JSON in the browser's log");
            let request = &event["message"]["params"]["request"];
            let places = [&request["url"], &request["headers"]["Referer"]];
            urls.extend(places.iter().filter_map(|url| Some(url.as_str()?.to_owned())));
        }
        urls
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.driver.post("/se/log", json!({"type": kind})).await;
        log.as_array().expect("a list").clone()
    }
}
