//! Wall-clock time as the wire wants it: RFC 3339 in UTC, to the millisecond.

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use parking_lot::Mutex;

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

/// Now, as `2026-01-31T12:00:00.000Z`.
pub fn timestamp() -> String {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format_timestamp(elapsed.as_secs(), elapsed.subsec_millis())
}

/// Milliseconds since 1970.
pub fn now_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// Milliseconds since 1970, as [`timestamp`] writes now.
pub fn timestamp_of(millis: u64) -> String {
    format_timestamp(millis / 1000, (millis % 1000) as u32)
}

/// Now, as the `Date` header wants it (RFC 9110, section 5.6.7).
pub fn http_date() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// The `Date` of answers, written once a second. It follows the clock also where that is set back.
#[derive(Debug)]
pub(crate) struct Date(Mutex<(u64, HeaderValue)>);

impl Date {
    pub(crate) fn new() -> Self {
        let date = Self(Mutex::new((u64::MAX, HeaderValue::from_static(""))));
        date.update(SystemTime::now());
        date
    }

    pub(crate) fn value(&self) -> HeaderValue {
        self.0.lock().1.clone()
    }

    /// Sets it to the time, where that is in another second.
    pub(crate) fn update(&self, now: SystemTime) {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        let mut date = self.0.lock();
        if date.0 != second
            && let Ok(value) = HeaderValue::try_from(httpdate::fmt_http_date(now))
        {
            *date = (second, value);
        }
    }
}

/// Seconds and milliseconds since 1970 as RFC 3339. Civil date from days: Hinnant, `chrono-Compatible Low-Level Date
/// Algorithms`, `civil_from_days`.
fn format_timestamp(seconds: u64, millis: u32) -> String {
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let second_of_day = seconds % 86_400;
    let (hour, minute, second) =
        (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_date_follows_a_clock_that_is_set_back() {
        let date = Date::new();
        let later = UNIX_EPOCH + Duration::from_secs(1_000_000_000);

        date.update(later);
        assert_eq!(date.value(), "Sun, 09 Sep 2001 01:46:40 GMT");
        date.update(later - Duration::from_secs(3600));
        assert_eq!(date.value(), "Sun, 09 Sep 2001 00:46:40 GMT");
    }

    #[test]
    fn known_instants_are_written_as_rfc_3339() {
        assert_eq!(format_timestamp(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(format_timestamp(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(format_timestamp(1_735_689_599, 999), "2024-12-31T23:59:59.999Z");
    }
}
