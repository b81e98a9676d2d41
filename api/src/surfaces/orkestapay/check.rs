//! Checks of single values. Each names the field at fault.

use jiff::Timestamp;

use super::refusal::Refusal;
use crate::cards;
use crate::http::url::web_url;

const MAX_EMAIL: usize = 254;
const MAX_LOCALE: usize = 16;
const MAX_URL: usize = 2048;

/// A text of 1 to `longest` characters for one line, without anything that could be a card number.
pub(super) fn text(field: &str, text: String, longest: usize) -> Result<String, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::invalid(field, "empty"));
    }
    if text.chars().count() > longest {
        return Err(Refusal::invalid(field, format!("longer than {longest} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::invalid(field, "has control characters"));
    }
    if cards::looks_like_a_card_number(&text) {
        return Err(Refusal::card_number(field));
    }
    Ok(text)
}

/// An http(s) URL that can stand in a `Location` header as it is.
pub(super) fn url(field: &str, url: String) -> Result<String, Refusal> {
    let url = text(field, url, MAX_URL)?;
    let is_web =
        web_url(&url).is_some() && ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
    if is_web && url.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(url)
    } else {
        Err(Refusal::invalid(field, "not an http(s) URL, with everything beyond ASCII percent-encoded"))
    }
}

/// An e-mail address, as far as its form tells.
pub(super) fn email(field: &str, email: String) -> Result<String, Refusal> {
    let email = text(field, email, MAX_EMAIL)?;
    let (local, domain) = email.split_once('@').unwrap_or_default();
    let is_address = !local.is_empty() && !domain.is_empty() && !domain.contains('@');
    if is_address && !email.contains(char::is_whitespace) {
        Ok(email)
    } else {
        Err(Refusal::invalid(field, "not an e-mail address"))
    }
}

/// Such as `ES_LATAM`; the vendor names no list.
pub(super) fn locale(locale: String) -> Result<String, Refusal> {
    let alphabet = |b: u8| b.is_ascii_alphabetic() || b == b'_' || b == b'-';
    if (2..=MAX_LOCALE).contains(&locale.len()) && locale.bytes().all(alphabet) {
        Ok(locale)
    } else {
        Err(Refusal::invalid("locale", format!("not 2 to {MAX_LOCALE} letters, _ and -, such as ES_LATAM")))
    }
}

/// A time in milliseconds since 1970.
pub(super) fn moment(field: &str, text: &str) -> Result<Timestamp, Refusal> {
    let at = text.parse().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    at.ok_or_else(|| Refusal::invalid(field, "not a time in milliseconds since 1970"))
}
