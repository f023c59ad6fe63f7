//! Dates and times of RFC 3339, checked without being converted: Python makes its own objects of
//! the text.

/// Whether the text is a `full-date`, leap days included.
///
/// The year 0000 is refused: RFC 3339 has it, Python's calendar begins with 0001.
pub(super) fn is_date(text: &[u8]) -> bool {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return false };
    let (Some(century), Some(rest)) = (two(*y1, *y2), two(*y3, *y4)) else { return false };
    let (Some(month), Some(day)) = (two(*m1, *m2), two(*d1, *d2)) else { return false };
    let year = century * 100 + rest;
    year >= 1 && day >= 1 && day <= days_of(year, month)
}

/// Whether the text is a `date-time`: `2024-02-29T23:59:59.25+01:00`.
///
/// A leap second (`:60`) is refused: no Python `datetime` can hold it.
pub(super) fn is_datetime(text: &[u8]) -> bool {
    let Some((date, [b'T' | b't', time @ ..])) = text.split_at_checked(10) else { return false };
    let Some((clock, rest)) = time.split_at_checked(8) else { return false };
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock else { return false };
    is_date(date)
        && two(*h1, *h2).is_some_and(|hour| hour < 24)
        && two(*m1, *m2).is_some_and(|minute| minute < 60)
        && two(*s1, *s2).is_some_and(|second| second < 60)
        && fraction(rest).is_some_and(is_offset)
}

/// What follows the fraction, where there is one; `None` for a dot without digits.
fn fraction(text: &[u8]) -> Option<&[u8]> {
    let [b'.', digits @ ..] = text else { return Some(text) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 { None } else { digits.get(length..) }
}

fn is_offset(text: &[u8]) -> bool {
    match text {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            two(*h1, *h2).is_some_and(|hour| hour < 24)
                && two(*m1, *m2).is_some_and(|minute| minute < 60)
        }
        _ => false,
    }
}

fn two(tens: u8, ones: u8) -> Option<u32> {
    (tens.is_ascii_digit() && ones.is_ascii_digit())
        .then(|| u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
}

fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_of(year: u32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_29th_of_february_exists_in_leap_years_only() {
        assert!(is_date(b"2024-02-29") && is_date(b"2000-02-29"));
        assert!(!is_date(b"2023-02-29") && !is_date(b"1900-02-29"));
    }

    #[test]
    fn a_date_has_its_digits_and_hyphens_and_a_day_of_the_calendar() {
        for text in [
            "",
            "2024-1-01",
            "2024-00-10",
            "2024-13-10",
            "2024-04-31",
            "2024-01-00",
            "0000-01-01",
            "2024/01/01",
            "20240101",
            "+2024-01-01",
            "2024-01-01 ",
        ] {
            assert!(!is_date(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn a_datetime_has_a_time_and_an_offset() {
        for text in ["2024-01-01T00:00:00Z", "2024-01-01t23:59:59.123456789-23:59"] {
            assert!(is_datetime(text.as_bytes()), "{text}");
        }
        for text in [
            "2024-01-01",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:60:00Z",
            "2024-12-31T23:59:60Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+01:60",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00ZZ",
            "2023-02-29T00:00:00Z",
        ] {
            assert!(!is_datetime(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_checks_panic(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = (is_date(&text), is_datetime(&text));
        }

        #[test]
        fn every_day_up_to_the_28th_is_a_date(
            year in 1..=9999_u32, month in 1..=12_u32, day in 1..=28_u32,
        ) {
            let text = format!("{year:04}-{month:02}-{day:02}");
            prop_assert!(is_date(text.as_bytes()));
        }
    }
}
