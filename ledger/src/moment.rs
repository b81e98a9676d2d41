//! Moments as text.

use jiff::Timestamp;
use jiff::tz::Offset;

/// RFC 3339 in UTC with milliseconds, `2026-11-20T10:00:00.123Z`; what is finer is cut off. The same as `{at:.3}`, without
/// a formatter: a commit has two such texts, and each is compared with its canonical form when it is read.
pub fn with_milliseconds(at: Timestamp) -> String {
    let moment = Offset::UTC.to_datetime(at);
    let Ok(year) = u16::try_from(moment.year()) else {
        return format!("{at:.3}");
    };
    let mut text = *b"0000-00-00T00:00:00.000Z";
    put(&mut text[0..4], year);
    put(&mut text[5..7], moment.month().unsigned_abs().into());
    put(&mut text[8..10], moment.day().unsigned_abs().into());
    put(&mut text[11..13], moment.hour().unsigned_abs().into());
    put(&mut text[14..16], moment.minute().unsigned_abs().into());
    put(&mut text[17..19], moment.second().unsigned_abs().into());
    put(&mut text[20..23], moment.millisecond().unsigned_abs());
    String::from_utf8_lossy(&text).into_owned()
}

/// Fills `digits` with those of `value`.
fn put(digits: &mut [u8], mut value: u16) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_time_are_spelled_as_everywhere() {
        for at in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
            assert_eq!(with_milliseconds(at), format!("{at:.3}"));
        }
    }

    proptest! {
        #[test]
        fn every_moment_is_spelled_as_everywhere(nanoseconds in Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond()) {
            let at = Timestamp::from_nanosecond(nanoseconds).unwrap();
            prop_assert_eq!(with_milliseconds(at), format!("{at:.3}"));
        }
    }
}
