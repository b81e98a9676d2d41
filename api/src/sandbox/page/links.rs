//! Where the buyer's browser goes afterwards.

use reqwest::Url;

use super::super::doors::Order;

/// The shop's URL with `order_id` and `status` added; its own parameters and fragment stay. `None` if it is not
/// an http(s) URL.
pub(super) fn with_result(return_url: &str, order: &Order) -> Option<String> {
    let mut url = web_url(return_url)?;
    url.query_pairs_mut().append_pair("order_id", &order.order_id).append_pair("status", &order.status);
    Some(url.into())
}

/// What `form-action` of the content security policy has to allow, since it holds for redirects as well: this
/// site and the shop's.
pub(super) fn form_action(order: &Order) -> String {
    let urls = order.return_urls.clone().unwrap_or_default();
    let mut sources = vec!["'self'".to_owned()];
    for url in [urls.success, urls.failure, urls.cancel].into_iter().flatten() {
        let Some(url) = web_url(&url) else { continue };
        // The policy's grammar has no IPv6 addresses; the scheme alone is the next best.
        let is_ipv6 = url.host_str().is_some_and(|host| host.starts_with('['));
        let source = if is_ipv6 { format!("{}:", url.scheme()) } else { url.origin().ascii_serialization() };
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    sources.join(" ")
}

fn web_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn order(return_urls: Value) -> Order {
        let order = json!({
            "order_id": "o-1", "tracking_number": "trk_o", "status": "captured", "capture": "automatic",
            "amount": {"value": 1, "currency": "EUR"}, "merchant_reference": "A", "return_urls": return_urls,
        });
        serde_json::from_value(order).unwrap()
    }

    #[test]
    fn the_shops_own_parameters_survive() {
        for (url, expect) in [
            ("https://shop.example/ok", "https://shop.example/ok?order_id=o-1&status=captured"),
            (
                "https://shop.example/ok?cart=7&x=%20a",
                "https://shop.example/ok?cart=7&x=%20a&order_id=o-1&status=captured",
            ),
            ("https://shop.example/ok?#done", "https://shop.example/ok?order_id=o-1&status=captured#done"),
            ("http://shop.example:81", "http://shop.example:81/?order_id=o-1&status=captured"),
        ] {
            assert_eq!(with_result(url, &order(json!(null))).as_deref(), Some(expect));
        }
    }

    #[test]
    fn only_web_urls_are_followed() {
        for url in ["javascript:alert(1)", "data:text/html,x", "/relative", "", "ftp://shop.example/"] {
            assert_eq!(with_result(url, &order(json!(null))), None, "{url}");
        }
    }

    #[test]
    fn the_policy_allows_this_site_and_the_shops_origins() {
        let urls = json!({"success": "https://shop.example/a?b;c", "failure": "https://shop.example/d",
            "cancel": "http://[::1]:3000/e"});
        assert_eq!(form_action(&order(urls)), "'self' https://shop.example http:");
        assert_eq!(form_action(&order(json!(null))), "'self'");
    }
}
