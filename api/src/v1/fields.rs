//! Checks that several bodies share. Each names the field at fault by its JSON pointer.

use jiff::{Timestamp, Unit};

use crate::cards::looks_like_a_card_number;
use crate::http::{Code, Problem};

/// A text of so many characters.
pub fn text(pointer: &str, value: &str, least: usize, most: usize) -> Result<String, Problem> {
    if (least..=most).contains(&value.chars().count()) {
        Ok(value.to_owned())
    } else {
        Err(Problem::at(Code::InvalidField, pointer, format!("{least} to {most} characters")))
    }
}

/// A text of so many characters, if it is there.
pub fn maybe_text(
    pointer: &str,
    value: Option<&String>,
    least: usize,
    most: usize,
) -> Result<Option<String>, Problem> {
    value.map(|value| text(pointer, value, least, most)).transpose()
}

/// A text for people, of so many characters, if it is there. People put card numbers into such fields.
pub fn maybe_prose(
    pointer: &str,
    value: Option<&String>,
    least: usize,
    most: usize,
) -> Result<Option<String>, Problem> {
    no_card_number(pointer, value.map_or("", String::as_str))?;
    maybe_text(pointer, value, least, most)
}

/// An http(s) URL of up to 2048 characters, if it is there.
pub fn maybe_url(pointer: &str, value: Option<&String>) -> Result<Option<String>, Problem> {
    let Some(value) = maybe_text(pointer, value, 1, 2048)? else { return Ok(None) };
    let uri: Option<axum::http::Uri> = value.parse().ok();
    let is_web = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
    });
    if is_web { Ok(Some(value)) } else { Err(Problem::at(Code::InvalidField, pointer, "not an http(s) URL")) }
}

/// An RFC 3339 time, in whole milliseconds.
pub fn moment(pointer: &str, text: &str) -> Result<Timestamp, Problem> {
    let at: Option<Timestamp> = text.parse().ok();
    at.and_then(|at| at.round(Unit::Millisecond).ok())
        .ok_or_else(|| Problem::at(Code::InvalidField, pointer, "not a time as in RFC 3339"))
}

/// A text that is no card number: those never get past this point.
pub fn no_card_number(pointer: &str, value: &str) -> Result<(), Problem> {
    if looks_like_a_card_number(value) {
        return Err(Problem::at(Code::CardNumberRefused, pointer, "send the PSP's token, never the card"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_recognized_and_tokens_are_not() {
        for card in [
            "4242424242424242",
            "4242 4242-4242 4242",
            "378282246310005",
            "4222222222222",
            "tok_4242424242424242",
        ] {
            assert!(looks_like_a_card_number(card), "{card}");
        }
        for token in ["tok_success", "4242424242424241", "42424242", "", "tok4242424242424242"] {
            assert!(!looks_like_a_card_number(token), "{token}");
        }
    }

    #[test]
    fn only_web_addresses_are_urls() {
        let ok = |url: &str| maybe_url("", Some(&url.to_owned())).is_ok();
        assert!(ok("https://shop.example/thanks?order=1#top"));
        assert!(ok("http://localhost:3000"));
        for bad in ["", "shop.example", "javascript:alert(1)", "ftp://a/b", "https://", "https://a b", "/x"] {
            assert!(!ok(bad), "{bad}");
        }
        assert!(!ok(&format!("https://a/{}", "x".repeat(2048))));
    }
}
