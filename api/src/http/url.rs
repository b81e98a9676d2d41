//! The one check of an address that a buyer's browser may be sent to.

use reqwest::Url;

/// An http(s) URL of a host; nothing else is ever followed. How long it may be, and what characters it may have, is
/// for each caller to say.
pub fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_web_is_followed() {
        assert!(web_url("https://shop.example/ok?a=1#b").is_some());
        assert!(web_url("http://127.0.0.1:1/").is_some());
        for bad in [
            "",
            "shop.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc",
            "ftp://a/",
            "https://",
        ] {
            assert!(web_url(bad).is_none(), "{bad}");
        }
    }
}
