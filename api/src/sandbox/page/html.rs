//! The pages as HTML. Every value goes through [`esc`]; there is no script, and one style sheet whose hash is all
//! that the content security policy allows.

use data_encoding::BASE64;
use sha2::{Digest, Sha256};

use super::super::cards::TEST_CARDS;
use super::super::doors::{Order, Trail};
use super::super::scenario;

const STYLE: &str = "\
:root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--ink:#1a1f29;--soft:#5a6472;--line:#d5dae1;--edge:#7b8696;--go:#1d5fd1;--bad:#b3261e}\
@media(prefers-color-scheme:dark){:root{--bg:#14171c;--card:#1e232b;--ink:#eceff4;--soft:#a3adba;--line:#3a424e;--edge:#7d8999;--go:#5b94f5;--bad:#ff8a80}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:34rem;margin:2rem auto;padding:1.5rem;background:var(--card);border:1px solid var(--line);border-radius:12px}\
h1{font-size:1.4rem;margin:.2rem 0 1rem}\
.tag{color:var(--soft);font-size:.85rem;margin:0}span.tag{white-space:nowrap}\
dl{display:grid;grid-template-columns:auto 1fr;align-items:baseline;gap:.2rem 1rem;margin:0 0 1.2rem}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
.amount{font-size:1.3rem;font-weight:600}\
label{display:block;margin:.8rem 0 .2rem}\
input{width:100%;padding:.6rem;font:inherit;color:inherit;background:transparent;border:1px solid var(--edge);border-radius:8px}\
::placeholder{color:var(--soft);opacity:1}\
[aria-invalid]{border-color:var(--bad)}\
.pair{display:grid;grid-template-columns:1fr 1fr;gap:0 1rem}\
.buttons{display:flex;gap:.8rem;margin-top:1.2rem;flex-wrap:wrap}.buttons:empty{display:none}\
button,.button{padding:.7rem 1.4rem;font:inherit;font-weight:600;border-radius:8px;border:1px solid var(--edge);background:transparent;color:inherit;cursor:pointer;text-decoration:none}\
button.go,.button.go{background:var(--go);border-color:var(--go);color:#fff}\
@media(prefers-color-scheme:dark){button.go,.button.go{color:#0b1220}}\
:focus-visible{outline:3px solid var(--go);outline-offset:2px}\
.alert{border-left:4px solid var(--bad);padding:.5rem .8rem;margin:0 0 1rem}\
details{margin-top:1.5rem}summary{cursor:pointer}\
.cards{gap:0;font-size:.9rem;margin:0}.cards dt{color:inherit;white-space:nowrap;font-variant-numeric:tabular-nums;padding-right:1rem}\
.cards>*{padding:.35rem 0;border-top:1px solid var(--line);height:100%}\
@media(max-width:26rem){main{margin:0;border-width:0 0 1px;border-radius:0;padding:1rem}button,.button{flex:1 1 auto;text-align:center}\
.cards{display:block}.cards dt{font-weight:600;padding-bottom:0}.cards dd{border:0;padding-top:0}}";

/// `text` with everything that means something in HTML made harmless, in content and in quoted attributes.
pub(super) fn esc(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// What the pages may do: nothing but their own style and forms to `form_action`.
pub(super) fn content_security_policy(form_action: &str) -> String {
    let style = BASE64.encode(&Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action {form_action}; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

/// `19.99 EUR`.
pub(super) fn money(order: &Order, trail: &Trail) -> String {
    let currency = &order.amount.currency;
    let digits = order.amount.value.to_string();
    match trail.exponent {
        Some(0) => format!("{digits} {currency}"),
        Some(exponent) => {
            let padded = format!("{digits:0>width$}", width = exponent + 1);
            let (whole, rest) = padded.split_at(padded.len() - exponent);
            format!("{whole}.{rest} {currency}")
        }
        None => format!("{digits} minor units of {currency}"),
    }
}

/// A page with a title and a body, which is HTML already.
pub(super) fn page(title: &str, refresh_seconds: Option<u32>, body: &str) -> String {
    let refresh = refresh_seconds
        .map(|seconds| format!("<meta http-equiv=\"refresh\" content=\"{seconds}\">"))
        .unwrap_or_default();
    let title = esc(title);
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\">{refresh}<title>{title} – sandbox</title>\
         <style>{STYLE}</style></head><body><main><p class=\"tag\">Sandbox PSP: no real money moves here</p>\
         <h1>{title}</h1>{body}</main></body></html>"
    )
}

/// What is being paid.
pub(super) fn summary(order: &Order, trail: &Trail) -> String {
    format!(
        "<dl><dt>Order</dt><dd>{}</dd><dt>Amount</dt><dd class=\"amount\">{}</dd></dl>",
        esc(&order.merchant_reference),
        esc(&money(order, trail))
    )
}

/// What went wrong before the card form is shown again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Alert<'a> {
    /// With what was typed.
    Input(&'a str),
    /// With the payment, for the PSP's reason.
    Failed(&'a str),
}

impl Alert<'_> {
    fn text(self) -> String {
        match self {
            Alert::Input(text) => text.to_owned(),
            Alert::Failed(reason) => {
                let what = match reason {
                    scenario::CARD_DECLINED => "The card was declined",
                    scenario::CHALLENGE_FAILED => "Your bank did not confirm the payment",
                    _ => "The payment failed",
                };
                format!("{what} ({reason}). You can try again, with this card or another.")
            }
        }
    }
}

/// The page with the card form.
pub(super) fn card_form(
    order: &Order,
    trail: &Trail,
    token: &str,
    attempt: u32,
    alert: Option<Alert<'_>>,
) -> String {
    // Whoever cannot see the page hears the alert as the description of the field that is focused.
    let state = match alert {
        None => "",
        Some(Alert::Failed(_)) => " autofocus aria-describedby=\"alert\"",
        Some(Alert::Input(_)) => " autofocus aria-describedby=\"alert\" aria-invalid=\"true\"",
    };
    let alert = alert
        .map(|alert| format!("<p class=\"alert\" id=\"alert\" role=\"alert\">{}</p>", esc(&alert.text())));
    let method = order.attempt(attempt).and_then(|attempt| attempt.payment_method.as_ref());
    let stands_in = method.filter(|method| method.kind != "card").map(|method| {
        format!("<p>This page stands in for <b>{}</b>. Use a test card.</p>", esc(&method.kind))
    });
    let rows: String = TEST_CARDS
        .iter()
        .map(|card| format!("<dt>{}</dt><dd>{}</dd>", esc(&spaced(card.number)), esc(card.does)))
        .collect();
    let body = format!(
        "{summary}{alert}{stands_in}<form method=\"post\" action=\"/sandbox/pay/{id}?token={token}\" autocomplete=\"off\">\
         <input type=\"hidden\" name=\"token\" value=\"{token}\">\
         <input type=\"hidden\" name=\"attempt\" value=\"{attempt}\">\
         <label for=\"number\">Card number</label>\
         <input id=\"number\" name=\"number\" inputmode=\"numeric\" autocomplete=\"off\" required maxlength=\"30\" \
         placeholder=\"4242 4242 4242 4242\"{state}>\
         <div class=\"pair\"><div><label for=\"expiry\">Expiry (MM/YY)</label>\
         <input id=\"expiry\" name=\"expiry\" autocomplete=\"off\" required maxlength=\"7\" value=\"12/39\"></div>\
         <div><label for=\"cvc\">CVC</label>\
         <input id=\"cvc\" name=\"cvc\" inputmode=\"numeric\" autocomplete=\"off\" required maxlength=\"4\" \
         value=\"123\"></div></div>\
         <label for=\"name\">Name on the card</label>\
         <input id=\"name\" name=\"name\" autocomplete=\"off\" maxlength=\"100\">\
         <div class=\"buttons\"><button class=\"go\" name=\"action\" value=\"pay\">Pay {amount}</button>\
         <button name=\"action\" value=\"cancel\" formnovalidate>Cancel</button></div></form>\
         <details open><summary>Test cards</summary><p>Only these numbers work; never type a real one. Any expiry, \
         CVC and name will do.</p><dl class=\"cards\">{rows}</dl></details>",
        summary = summary(order, trail),
        alert = alert.unwrap_or_default(),
        stands_in = stands_in.unwrap_or_default(),
        id = esc(&order.tracking_number),
        token = esc(token),
        amount = esc(&money(order, trail)),
    );
    page("Pay", None, &body)
}

/// The page with the 3-D Secure challenge.
pub(super) fn challenge(order: &Order, trail: &Trail, token: &str, payment: &str) -> String {
    let body = format!(
        "{}<p>Your bank would ask here whether it is really you (3-D Secure).</p>\
         <form method=\"post\" action=\"/sandbox/challenge/{}\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\"><input type=\"hidden\" name=\"payment\" value=\"{}\">\
         <div class=\"buttons\"><button class=\"go\" name=\"answer\" value=\"pass\">Pass</button>\
         <button name=\"answer\" value=\"fail\">Fail</button></div></form>",
        summary(order, trail),
        esc(&order.tracking_number),
        esc(token),
        esc(payment)
    );
    page("Confirm your payment", None, &body)
}

/// The page that tells how it ended, with ways on: text and URL.
pub(super) fn outcome(
    order: &Order,
    trail: &Trail,
    title: &str,
    text: &str,
    links: &[(&str, String)],
) -> String {
    let links: String = links
        .iter()
        .map(|(text, url)| {
            format!("<a class=\"button\" rel=\"noreferrer\" href=\"{}\">{}</a>", esc(url), esc(text))
        })
        .collect();
    let body = format!(
        "{}<p role=\"status\">{} <span class=\"tag\">Status: {}</span></p><div class=\"buttons\">{links}</div>",
        summary(order, trail),
        esc(text),
        esc(&order.status)
    );
    page(title, None, &body)
}

/// The page of a buyer whose outcome is not known yet; it loads itself again.
pub(super) fn waiting(order: &Order, trail: &Trail) -> String {
    let body = format!(
        "{}<p role=\"status\">Waiting for the outcome of your payment. This page refreshes by itself. \
         <span class=\"tag\">Status: {}</span></p>",
        summary(order, trail),
        esc(&order.status)
    );
    page("Please wait", Some(2), &body)
}

/// In groups of four, as they stand on the card.
fn spaced(number: &str) -> String {
    let mut shown = String::new();
    for (index, digit) in number.chars().enumerate() {
        if index > 0 && index % 4 == 0 {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn order(reference: &str, value: i64) -> Order {
        let order: Value = json!({
            "order_id": "o", "tracking_number": "trk_o", "status": "processing", "capture": "automatic",
            "amount": {"value": value, "currency": "EUR"}, "merchant_reference": reference,
            "attempts": [{"attempt": 1, "status": "processing", "payment_method": {"type": "<i>pal"}}],
        });
        serde_json::from_value(order).unwrap()
    }

    fn trail(exponent: Option<usize>) -> Trail {
        Trail { exponent, ..Trail::default() }
    }

    #[test]
    fn nothing_that_a_shop_or_a_buyer_wrote_becomes_markup() {
        assert_eq!(esc(r#"<a href="x" id='y'>&"#), "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;");
        let evil = r#""><script>alert(1)</script>"#;
        let order = order(evil, 1999);
        let trail = trail(Some(2));
        for html in [
            card_form(&order, &trail, evil, 1, Some(Alert::Input(evil))),
            card_form(&order, &trail, evil, 1, Some(Alert::Failed(evil))),
            challenge(&order, &trail, evil, evil),
            outcome(&order, &trail, evil, evil, &[(evil, evil.to_owned())]),
            waiting(&order, &trail),
        ] {
            assert!(!html.contains("<script"), "{html}");
            assert!(!html.contains("<i>pal"), "{html}");
            assert!(html.contains("&lt;script&gt;"), "{html}");
        }
    }

    #[test]
    fn an_amount_is_shown_with_its_currencys_digits() {
        for (value, exponent, expect) in [
            (1999, Some(2), "19.99 EUR"),
            (5, Some(2), "0.05 EUR"),
            (1999, Some(0), "1999 EUR"),
            (1999, Some(3), "1.999 EUR"),
            (1999, None, "1999 minor units of EUR"),
        ] {
            assert_eq!(money(&order("A", value), &trail(exponent)), expect);
        }
    }

    #[test]
    fn the_policy_allows_no_script_and_only_this_style() {
        let policy = content_security_policy("'self'");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"), "{policy}");
        assert!(!STYLE.contains('<'));
    }
}
