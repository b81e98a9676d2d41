//! Small pages for buyers on their way between a shop and its PSP.
//!
//! Every value that goes into one passes through [`escaped`]. A page has one style sheet, whose hash stands in its content
//! security policy, and nothing else but what that policy names. No cache keeps it, and no other site learns its address,
//! since addresses of such pages carry tokens.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use data_encoding::BASE64;
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
a,button{display:inline-block;padding:.7rem 1.4rem;font:inherit;font-weight:600;border:0;border-radius:8px;background:var(--go);color:var(--on);text-decoration:none;cursor:pointer}\
:focus-visible{outline:3px solid var(--go);outline-offset:2px}\
@media(max-width:26rem){main{margin:0;border-width:0 0 1px;border-radius:0;padding:1rem}a,button{display:block;width:100%;text-align:center}}";

/// A page before it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Text; also the heading.
    pub title: &'a str,
    /// HTML.
    pub body: &'a str,
    /// After how many seconds the page asks again by itself.
    pub refresh_seconds: Option<u32>,
    /// What the content security policy allows besides the style: `form-action`, and `script-src` where there is one.
    pub policy: &'a str,
}

impl Page<'_> {
    /// The page with this HTTP status.
    pub fn respond(self, status: StatusCode) -> Response {
        let refresh = self.refresh_seconds;
        let refresh = refresh.map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"));
        let (refresh, title, body) = (refresh.unwrap_or_default(), escaped(self.title), self.body);
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"robots\" content=\"noindex\">{refresh}<title>{title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1>{body}</main></body></html>"
        );
        let style = BASE64.encode(&Sha256::digest(STYLE.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; {}; base-uri 'none'; frame-ancestors 'none'",
            self.policy
        );
        let mut headers = confidential();
        // A policy that is no header value allows nothing.
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        (status, headers, Html(html)).into_response()
    }
}

/// The headers of an answer whose address nobody else may learn, and that nobody may keep.
pub fn confidential() -> HeaderMap {
    HeaderMap::from_iter([
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ])
}

/// `text` with everything that means something in HTML made harmless, in content and in quoted attributes.
pub fn escaped(text: &str) -> String {
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
        assert_eq!(
            escaped("<a href='x' title=\"y\">&"),
            "&lt;a href=&#39;x&#39; title=&quot;y&quot;&gt;&amp;"
        );
        assert!(!STYLE.contains('<'));
    }
}
