//! URLs: which ones are followed, and how the outcome of an authentication is put on them.

use reqwest::Url;

use crate::http::url;

const MAX_URL: usize = 2048;

/// An http(s) URL of a host, of up to 2048 characters; nothing else is ever followed.
pub(super) fn web_url(text: &str) -> Option<Url> {
    if text.len() > MAX_URL || text.contains(char::is_whitespace) {
        return None;
    }
    url::web_url(text)
}

/// Whether `url` is of one of these origins, such as `https://shop.example`.
pub(super) fn is_of(url: &Url, origins: &[&str]) -> bool {
    origins.iter().filter_map(|origin| web_url(origin)).any(|origin| origin.origin() == url.origin())
}

/// `url` with these parameters: its own ones stay, except those of the same names.
pub(super) fn with_parameters(mut url: Url, parameters: &[(&str, String)]) -> String {
    let is_ours = |name: &str| parameters.iter().any(|(ours, _)| *ours == name);
    let own: Vec<(String, String)> =
        url.query_pairs().into_owned().filter(|(name, _)| !is_ours(name)).collect();
    url.query_pairs_mut().clear().extend_pairs(own).extend_pairs(parameters);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_merchants_own_parameters_survive() {
        let given = [("status", "REJECTED".to_owned()), ("reference", "A 1&x=ä".to_owned())];
        for (url, expect) in [
            ("https://shop.example/ok", "https://shop.example/ok?status=REJECTED&reference=A+1%26x%3D%C3%A4"),
            (
                "https://shop.example/ok?cart=7&status=WAITING_FOR_CAPTURE#done",
                "https://shop.example/ok?cart=7&status=REJECTED&reference=A+1%26x%3D%C3%A4#done",
            ),
        ] {
            assert_eq!(with_parameters(web_url(url).unwrap(), &given), expect);
        }
    }

    #[test]
    fn only_web_urls_of_the_merchants_origins_are_followed() {
        for url in [
            "javascript:alert(1)",
            "data:text/html,x",
            "//shop.example",
            "ftp://a/b",
            "https://",
            "https://a b",
        ] {
            assert!(web_url(url).is_none(), "{url}");
        }
        assert!(web_url(&format!("https://a/{}", "x".repeat(2048))).is_none());
        let origins = ["https://shop.example", "http://localhost:3000"];
        for (url, expect) in [
            ("https://shop.example/thanks?x=1", true),
            ("http://localhost:3000", true),
            ("http://shop.example/", false),
            ("https://shop.example:8443/", false),
            ("https://shop.example.evil/", false),
            ("https://shop.example@evil/", false),
        ] {
            assert_eq!(is_of(&web_url(url).unwrap(), &origins), expect, "{url}");
        }
    }
}
