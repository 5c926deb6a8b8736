//! Times of the log.

/// Seconds in a day.
pub(crate) const DAY: u32 = 86_400;
/// The first day of every log, 2025-01-01, in days since 1970-01-01.
const FIRST_DAY: u64 = 20_089;

/// The date of day `day` of the log, from 0, as `YYYY-MM-DD`.
pub(crate) fn date(day: usize) -> String {
    let mut left = FIRST_DAY + day as u64;
    let mut year = 1970;
    while left >= days_of_year(year) {
        left -= days_of_year(year);
        year += 1;
    }
    let february = days_of_year(year) - 337;
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < days {
            break;
        }
        left -= days;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

/// A moment of day `day` in UTC, after RFC 3339; `second` is below [`DAY`].
pub(crate) fn timestamp(day: usize, second: u32) -> String {
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{}T{hour:02}:{minute:02}:{:02}Z", date(day), second % 60)
}

fn days_of_year(year: u64) -> u64 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    365 + u64::from(leap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_calendar() {
        let cases = [
            (0, "2025-01-01"),
            (30, "2025-01-31"),
            (31, "2025-02-01"),
            (58, "2025-02-28"),
            (59, "2025-03-01"),
            (364, "2025-12-31"),
            (365, "2026-01-01"),
            (3 * 365 + 59, "2028-02-29"),
            (4 * 365 + 1, "2029-01-01"),
        ];
        for (day, expected) in cases {
            assert_eq!(date(day), expected);
        }
    }

    #[test]
    fn moments_are_rfc_3339() {
        assert_eq!(timestamp(0, 0), "2025-01-01T00:00:00Z");
        assert_eq!(timestamp(1, DAY - 1), "2025-01-02T23:59:59Z");
        assert_eq!(timestamp(0, 3_723), "2025-01-01T01:02:03Z");
    }
}
