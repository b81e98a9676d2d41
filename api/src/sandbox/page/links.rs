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

/// What `form-action` of the content security policy has to allow: this site, and the web where the shop wants its
/// buyers back. It holds for every redirect that follows, and where the shop redirects to, nobody here knows.
pub(super) fn form_action(order: &Order) -> &'static str {
    let urls = order.return_urls.clone().unwrap_or_default();
    let urls = [urls.success, urls.failure, urls.cancel].into_iter().flatten();
    let schemes: Vec<String> =
        urls.filter_map(|url| web_url(&url)).map(|url| url.scheme().to_owned()).collect();
    if schemes.is_empty() {
        "'self'"
    } else if schemes.iter().all(|scheme| scheme == "https") {
        "'self' https:"
    } else {
        "'self' http: https:"
    }
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
    fn the_policy_lets_a_shop_redirect_its_buyers_onward() {
        for (urls, expect) in [
            (json!(null), "'self'"),
            (json!({"success": "ftp://shop.example/a"}), "'self'"),
            (json!({"success": "https://shop.example/a", "failure": "https://[::1]/d"}), "'self' https:"),
            (
                json!({"success": "https://shop.example/a", "cancel": "http://shop.example/"}),
                "'self' http: https:",
            ),
        ] {
            assert_eq!(form_action(&order(urls)), expect);
        }
    }
}
