//! How long to wait before a server is asked again.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest wait that grows by itself.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// The wait after some failures in a row: doubled with each, up to a minute.
pub(crate) fn backoff(first: Duration, failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    first.saturating_mul(factor).min(LONGEST_BACKOFF)
}

/// The wait that a `Retry-After` header asks for, as seconds or as a date (RFC 9110, 10.2.3), up to an hour; `None` if it is
/// neither.
pub(crate) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let asked = match header.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => http_date(header)?.duration_since(now).unwrap_or_default(),
    };
    Some(asked.min(LONGEST_ASKED))
}

/// A date such as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let (_, date) = text.split_once(", ")?;
    let mut parts = date.strip_suffix(" GMT")?.split([' ', ':']);
    let mut number = || parts.next()?.parse::<u64>().ok();
    let day = number()?;
    let named = date.split(' ').nth(1)?;
    let month = (0..12).find(|&month| MONTHS[3 * month..3 * month + 3] == *named)? as u64 + 1;
    // The month's name, which is no number.
    number();
    let (year, hour, minute, second) = (number()?, number()?, number()?, number()?);
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Days from 1 January 1970 to a later date; years that begin in March put the leap day last.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let before_year = 365 * year + year / 4 - year / 100 + year / 400;
    let before_month = (153 * month + 2) / 5;
    // 719468 days lie between 1 March of year 0 and 1 January 1970; both counts start at 1 March, days at 1.
    before_year + before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_a_minute() {
        let first = Duration::from_millis(500);
        let waits: Vec<u128> = (1..=9).map(|failures| backoff(first, failures).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000]);
        assert_eq!(backoff(first, u32::MAX), LONGEST_BACKOFF);
        assert_eq!(backoff(Duration::ZERO, 5), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777 - 90);
        let asked = |header: &str| retry_after(header, now);
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked(" 0.25 "), Some(Duration::from_millis(250)));
        assert_eq!(asked("86400"), Some(LONGEST_ASKED));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(asked("Sun, 06 Nov 1993 08:49:37 GMT"), Some(Duration::ZERO));
        for neither in ["", "soon", "-1", "NaN", "inf", "Sun, 06 Nuv 1994 08:49:37 GMT", "Sun, 06 Nov 1994"] {
            assert_eq!(asked(neither), None, "{neither}");
        }
    }

    #[test]
    fn dates_are_counted_over_leap_years() {
        // As `date -u -d 2000-02-29 +%s` and the like say.
        for (date, seconds) in [((1970, 1, 1), 0), ((2000, 2, 29), 951_782_400), ((2026, 11, 26), 1_795_651_200)] {
            assert_eq!(days_since_1970(date.0, date.1, date.2) * 86_400, seconds);
        }
    }
}
