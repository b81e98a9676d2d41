//! The test cards of the hosted page. The numbers are public: they stand in `docs/src/guides/sandbox.md`.

/// A card that can be typed into the hosted page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TestCard {
    /// Digits only.
    pub(super) number: &'static str,
    /// The token that a shop would send for it.
    pub(super) token: &'static str,
    /// What it does, for the buyer who chooses one.
    pub(super) does: &'static str,
}

const fn card(number: &'static str, token: &'static str, does: &'static str) -> TestCard {
    TestCard { number, token, does }
}

/// Every test card, in the order in which the page shows them.
pub(super) const TEST_CARDS: [TestCard; 9] = [
    card("4242424242424242", "tok_success", "Succeeds"),
    card("4000002500003155", "tok_3ds", "Asks for a 3-D Secure challenge, then does what you choose there"),
    card("4000008400001629", "tok_3ds_failed", "Asks for a 3-D Secure challenge that always fails"),
    card("4000000000000002", "tok_declined", "Is declined"),
    card("4000000000000077", "tok_delayed", "Is authorized at once and captured a little later"),
    card("4000000000000259", "tok_duplicate_webhooks", "Succeeds; every webhook comes several times"),
    card("4000000000001976", "tok_reordered_webhooks", "Succeeds; the webhooks come in the wrong order"),
    card("4000000000005423", "tok_late_webhook", "Stays silent until the order has expired, then captures"),
    card("4111111111111111", "tok_success", "Succeeds, too"),
];

/// Why a card was not accepted. Says nothing of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CardRefused {
    /// Not a card number, or one with a typing error.
    Invalid,
    /// A card number, but none of the test cards. It may be somebody's.
    NotATestCard,
}

/// The token for a number as a buyer types it, with spaces or hyphens.
pub(super) fn token_of(typed: &str) -> Result<&'static str, CardRefused> {
    let digits: String = typed.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    if !is_card_number(&digits) {
        return Err(CardRefused::Invalid);
    }
    let card = TEST_CARDS.iter().find(|card| card.number == digits);
    card.map(|card| card.token).ok_or(CardRefused::NotATestCard)
}

/// 12 to 19 digits that pass Luhn's check (ISO/IEC 7812-1).
fn is_card_number(digits: &str) -> bool {
    if !(12..=19).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) if digit > 4 => 2 * digit - 9,
            (_, digit) => 2 * digit,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_card_is_a_valid_number_and_leads_to_its_own_token() {
        for card in &TEST_CARDS {
            assert!(is_card_number(card.number), "{card:?}");
            assert_eq!(token_of(card.number), Ok(card.token));
        }
    }

    #[test]
    fn the_guide_lists_the_same_cards() {
        let guide = include_str!("../../../docs/src/guides/sandbox.md");
        let listed: Vec<(String, String)> = guide
            .lines()
            .filter_map(|line| line.strip_prefix("| `tok_")?.split_once("` | "))
            .map(|(token, rest)| {
                let number = rest.split('|').next().unwrap_or_default().replace(' ', "");
                (number, format!("tok_{token}"))
            })
            .collect();
        let known: Vec<(String, String)> =
            TEST_CARDS.iter().map(|card| (card.number.to_owned(), card.token.to_owned())).collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn a_number_may_be_typed_with_spaces_and_no_other_card_is_taken() {
        assert_eq!(token_of(" 4242 4242 4242 4242 "), Ok("tok_success"));
        assert_eq!(token_of("4242-4242-4242-4242"), Ok("tok_success"));
        assert_eq!(token_of("4012 8888 8888 1881"), Err(CardRefused::NotATestCard));
        for typo in ["4242424242424241", "", "4242", "4242x42424242424", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"] {
            assert_eq!(token_of(typo), Err(CardRefused::Invalid), "{typo}");
        }
    }
}
