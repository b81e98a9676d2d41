//! Card numbers, for the moment between a request's bytes and the token that stands for them.
//!
//! A number is read, turned into a token, and gone: [`CardNumber`] cannot be printed, serialized, compared or
//! cloned, and nothing here puts one into an error. There is no vault, so only the sandbox's test numbers have
//! a token; any other number is refused.

use std::borrow::Cow;
use std::fmt;

use ledger::order::Card;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

/// The sandbox's test cards: number, the token it stands for, brand.
pub const TEST_CARDS: &[(&str, &str, &str)] = &[
    ("4242424242424242", "tok_success", "visa"),
    ("4000002500003155", "tok_3ds", "visa"),
    ("4000008400001629", "tok_3ds_failed", "visa"),
    ("4000000000000002", "tok_declined", "visa"),
    ("4000000000000077", "tok_delayed", "visa"),
    ("4000000000000259", "tok_duplicate_webhooks", "visa"),
    ("4000000000001976", "tok_reordered_webhooks", "visa"),
    ("4000000000005423", "tok_late_webhook", "visa"),
    // The number of many vendors' examples, so that these work as they stand.
    ("4111111111111111", "tok_success", "visa"),
];

/// Fewest and most digits of a card number (ISO/IEC 7812).
const DIGITS: std::ops::RangeInclusive<usize> = 12..=19;

/// A card number: 12 to 19 digits with a valid check digit. Deliberately without `Debug`, `Display`, `Clone`
/// and `Serialize`.
pub struct CardNumber(String);

/// A card without its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedCard {
    /// What stands for the number.
    pub token: String,
    /// What may be shown of it; the holder is for the caller to add.
    pub card: Card,
}

/// Why a text is not a card number that can be used here. Never says which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Other characters than digits, spaces and hyphens, or too few or too many digits.
    #[error("a card number has 12 to 19 digits")]
    Malformed,
    /// The check digit is wrong: a typing error.
    #[error("the card number's check digit is wrong")]
    CheckDigit,
    /// No vault is configured that could keep a real card.
    #[error("only the sandbox's test card numbers are accepted here: no card vault is configured")]
    NoVault,
}

impl CardNumber {
    /// Reads a number; spaces and hyphens between the digits are left out.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        if !DIGITS.contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(CardError::Malformed);
        }
        if !has_valid_check_digit(digits.as_bytes()) {
            return Err(CardError::CheckDigit);
        }
        Ok(CardNumber(digits))
    }

    /// Gives the number up for its token.
    pub fn tokenize(self) -> Result<TokenizedCard, CardError> {
        let (number, token, brand) =
            TEST_CARDS.iter().find(|(number, ..)| *number == self.0).ok_or(CardError::NoVault)?;
        let last_four = number[number.len() - 4..].to_owned();
        let card = Card { brand: (*brand).to_owned(), last_four, holder: None };
        Ok(TokenizedCard { token: (*token).to_owned(), card })
    }
}

/// A text that may hold a card number and must therefore never be shown: neither printed nor serialized, and a
/// value of another type is refused without repeating it.
pub struct Secret(String);

impl Secret {
    /// The text, for reading it once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(text.to_owned()))
            }

            // The default methods would repeat the number in their message.
            fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
                Err(E::custom("invalid type: number, expected a string"))
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
                Err(E::custom("invalid type: number, expected a string"))
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
                Err(E::custom("invalid type: number, expected a string"))
            }
        }
        // Not `deserialize_str`, by which the format refuses a number itself, and repeats it.
        deserializer.deserialize_any(Text)
    }
}

/// Whether `text` holds what could be a card number: where a token or a name is expected, such a text is refused.
///
/// Digits with a letter beside them are part of something else: one random id in a few hundred has a stretch that
/// passes the check, and a caller's UUIDs must not be refused now and then.
pub fn looks_like_a_card_number(text: &str) -> bool {
    runs(text).any(|run| {
        let beside = [text[..run.start].chars().next_back(), text[run.end..].chars().next()];
        let stands_alone = !beside.into_iter().flatten().any(char::is_alphabetic);
        let digits: Vec<u8> = text[run].bytes().filter(u8::is_ascii_digit).collect();
        stands_alone && DIGITS.contains(&digits.len()) && is_issued(&digits) && has_valid_check_digit(&digits)
    })
}

/// `text` with everything that could be a card number left out, for error messages that quote their input.
pub fn redacted(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut end = 0;
    for run in runs(text) {
        shown.push_str(&text[end..run.start]);
        shown.push_str("[redacted]");
        end = run.end;
    }
    if end == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[end..]);
    Cow::Owned(shown)
}

/// The stretches of `text` that hold 12 digits or more with nothing but single spaces or hyphens between them.
fn runs(text: &str) -> impl Iterator<Item = std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let mut next = 0;
    std::iter::from_fn(move || {
        while next < bytes.len() {
            if !bytes[next].is_ascii_digit() {
                next += 1;
                continue;
            }
            let start = next;
            let mut end = start;
            let mut count = 0;
            while let Some(byte) = bytes.get(next) {
                let joins =
                    matches!(byte, b' ' | b'-') && bytes.get(next + 1).is_some_and(u8::is_ascii_digit);
                if byte.is_ascii_digit() {
                    count += 1;
                    end = next + 1;
                } else if !joins {
                    break;
                }
                next += 1;
            }
            if count >= *DIGITS.start() {
                return Some(start..end);
            }
        }
        None
    })
}

/// Whether an issuer of payment cards has numbers that begin like this. One number in ten passes the check digit,
/// and shops make numbers of the time: milliseconds begin with 1, dates with 20, and no card does.
fn is_issued(digits: &[u8]) -> bool {
    let head = digits.iter().take(4).fold(0, |head, digit| head * 10 + u32::from(digit - b'0'));
    matches!(head, 2200..=2720 | 3000..=6999 | 9792)
}

/// Luhn's check (ISO/IEC 7812-1, annex B).
fn has_valid_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => digit * 2 - 9,
            (_, digit) => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_card_becomes_its_token_brand_and_last_four() {
        for (number, token, brand) in TEST_CARDS {
            let tokenized = CardNumber::parse(number).and_then(CardNumber::tokenize).unwrap();
            assert_eq!(tokenized.token, *token);
            assert_eq!(tokenized.card.brand, *brand);
            assert_eq!(tokenized.card.last_four, number[number.len() - 4..]);
            assert_eq!(tokenized.card.holder, None);
        }
    }

    #[test]
    fn the_guide_lists_the_same_cards() {
        let guide = include_str!("../../docs/src/guides/azotte.md");
        let rows = guide.lines().filter(|line| line.contains("| `tok_"));
        let listed: Vec<(String, &str)> = rows
            .map(|row| {
                let mut cells = row.split('|').skip(1).map(str::trim);
                let number = cells.next().unwrap_or_default().replace(' ', "");
                (number, cells.next().unwrap_or_default().trim_matches('`'))
            })
            .collect();
        let mut known: Vec<_> =
            TEST_CARDS.iter().map(|(number, token, _)| ((*number).to_owned(), *token)).collect();
        // The guide shows the two that succeed side by side.
        let second = known.pop().unwrap();
        known.insert(1, second);
        assert_eq!(listed, known);
    }

    #[track_caller]
    fn check(text: &str, expect: Result<&str, CardError>) {
        let token = CardNumber::parse(text).and_then(CardNumber::tokenize).map(|t| t.token);
        assert_eq!(token, expect.map(str::to_owned), "{text}");
    }

    #[test]
    fn any_other_number_is_refused_with_its_reason() {
        check("4242 4242 4242 4242", Ok("tok_success"));
        check("4242-4242-4242-4242", Ok("tok_success"));
        check("4242424242424241", Err(CardError::CheckDigit));
        check("5555555555554444", Err(CardError::NoVault));
        check("42424242424", Err(CardError::Malformed));
        check("42424242424242424242", Err(CardError::Malformed));
        check("4242x4242x4242x4242", Err(CardError::Malformed));
        check("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", Err(CardError::Malformed));
        check("", Err(CardError::Malformed));
    }

    #[test]
    fn a_message_that_quotes_a_card_number_is_cleaned() {
        let quoted = r#"invalid type: string "4242 4242 4242 4242", expected u32 at line 1"#;
        assert_eq!(redacted(quoted), r#"invalid type: string "[redacted]", expected u32 at line 1"#);
        assert_eq!(redacted("4111111111111112 and 12-34"), "[redacted] and 12-34");
        assert!(matches!(redacted("line 1 column 17"), Cow::Borrowed(_)));
        assert!(looks_like_a_card_number("card 4242-4242-4242-4242."));
        for harmless in
            ["tok_success", "4242424242424241", "2026-11-20", "1763632800008", "20261120000007", ""]
        {
            assert!(!looks_like_a_card_number(harmless), "{harmless}");
        }
    }

    #[test]
    fn an_id_that_happens_to_pass_the_check_is_not_taken_for_a_card() {
        for text in ["4111111111111111", "cor_4111111111111111", "my card: 4111 1111-1111 1111!"] {
            assert!(looks_like_a_card_number(text), "{text}");
        }
        for id in ["cor_a4111111111111111", "4111111111111111f0", "e4242424242424242-4242-4242-4242"] {
            assert!(!looks_like_a_card_number(id), "{id}");
        }
    }

    #[test]
    fn a_number_in_the_wrong_type_is_not_repeated() {
        let error = serde_json::from_str::<Secret>("4242424242424242").err().unwrap();
        assert!(!error.to_string().contains("4242"), "{error}");
    }
}
