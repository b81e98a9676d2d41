//! The pages as HTML. Every value goes through [`esc`]; there is no script, and one style sheet whose hash is all that
//! the content security policy allows.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use data_encoding::BASE64;
use ledger::order::Checkout;
use sha2::{Digest, Sha256};

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--ink:#1a1f29;--soft:#5a6472;--line:#d5dae1;--go:#1d5fd1;--on:#fff}\
@media(prefers-color-scheme:dark){:root{--bg:#14171c;--card:#1e232b;--ink:#eceff4;--soft:#a3adba;--line:#3a424e;--go:#5b94f5;--on:#0b1220}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:34rem;margin:2rem auto;padding:1.5rem;background:var(--card);border:1px solid var(--line);border-radius:12px}\
h1{font-size:1.4rem;margin:.2rem 0 1rem}\
dl{display:grid;grid-template-columns:auto 1fr;align-items:baseline;gap:.2rem 1rem;margin:0 0 1.2rem}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
.amount{font-size:1.3rem;font-weight:600}\
a{display:inline-block;padding:.7rem 1.4rem;font-weight:600;border-radius:8px;background:var(--go);color:var(--on);text-decoration:none}\
:focus-visible{outline:3px solid var(--go);outline-offset:2px}\
@media(max-width:26rem){main{margin:0;border-width:0 0 1px;border-radius:0;padding:1rem}a{display:block;text-align:center}}";

/// After how many seconds a page that waits asks again.
const REFRESH_SECONDS: u32 = 2;

/// The way to the challenge.
pub(super) fn challenge(checkout: &Checkout, onward: &str) -> Response {
    let body = format!(
        "{}<p>Please confirm this purchase with your bank or BankID.</p>\
         <p><a id=\"continue\" href=\"{}\" rel=\"noreferrer\">Continue to authentication</a></p>",
        summary(checkout),
        esc(onward)
    );
    page(StatusCode::OK, "Confirm your purchase", None, &body)
}

/// Nothing is known yet.
pub(super) fn waiting(checkout: &Checkout) -> Response {
    let body = format!("{}<p>This page goes on by itself in a moment.</p>", summary(checkout));
    page(StatusCode::OK, "One moment", Some(REFRESH_SECONDS), &body)
}

/// What became of it, for a buyer who has nowhere to go back to.
pub(super) fn outcome(checkout: &Checkout, is_complete: bool) -> Response {
    let (title, text) = match is_complete {
        true => ("Thank you", "Your purchase is confirmed. You can close this page."),
        false => ("Not confirmed", "The purchase was not confirmed. You can close this page."),
    };
    page(StatusCode::OK, title, None, &format!("{}<p>{text}</p>", summary(checkout)))
}

/// The PSP's HTML, shut off from this site.
pub(super) fn foreign(html: String) -> Response {
    let mut headers = confidential();
    let policy = "sandbox allow-forms allow-scripts allow-popups; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    (headers, Html(html)).into_response()
}

/// A page with a title and a body, which is HTML already.
pub(super) fn page(status: StatusCode, title: &str, refresh_seconds: Option<u32>, body: &str) -> Response {
    let refresh = refresh_seconds
        .map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"))
        .unwrap_or_default();
    let title = esc(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\">{refresh}<title>{title}</title><style>{STYLE}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    let style = BASE64.encode(&Sha256::digest(STYLE.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut headers = confidential();
    // Base64 is ASCII, so this cannot fail; if it did, nothing would be allowed.
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    (status, headers, Html(html)).into_response()
}

/// URLs here carry tokens: no cache keeps them and no other site is told them.
pub(super) fn confidential() -> HeaderMap {
    HeaderMap::from_iter([
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ])
}

fn summary(checkout: &Checkout) -> String {
    format!(
        "<dl><dt>Order</dt><dd>{}</dd><dt>Amount</dt><dd class=\"amount\">{}</dd></dl>",
        esc(&checkout.merchant_reference),
        esc(&checkout.amount.to_string())
    )
}

/// `text` with everything that means something in HTML made harmless, in content and in quoted attributes.
fn esc(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            character => safe.push(character),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_place_in_the_page() {
        assert_eq!(esc("<a href='x' title=\"y\">&"), "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;");
        assert!(!STYLE.contains('<'));
    }
}
