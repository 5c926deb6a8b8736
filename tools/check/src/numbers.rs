//! Numbers as people read them.

use pipeline::counted;

/// A size in bytes.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 999.5 => counted(format!("{bytes:.0}"), "byte"),
        bytes if bytes < 999.5e3 => format!("{} kB", digits(bytes / 1e3)),
        bytes if bytes < 999.5e6 => format!("{} MB", digits(bytes / 1e6)),
        bytes => format!("{} GB", digits(bytes / 1e9)),
    }
}

/// A time in seconds.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 59.5 => format!("{} s", digits(seconds.max(1.0).round())),
        seconds if seconds < 119.5 * 60.0 => counted(digits(seconds / 60.0), "minute"),
        seconds if seconds < 47.5 * 3600.0 => counted(digits(seconds / 3600.0), "hour"),
        seconds => format!("{} days", digits(seconds / 86400.0)),
    }
}

/// A count.
pub(crate) fn count(count: f64) -> String {
    match count {
        count if count < 9999.5 => format!("{count:.0}"),
        count if count < 999.5e3 => format!("{} thousand", digits(count / 1e3)),
        count if count < 999.5e6 => format!("{} million", digits(count / 1e6)),
        count => format!("{} billion", digits(count / 1e9)),
    }
}

/// A number with two digits, or those before the point.
fn digits(number: f64) -> String {
    if number < 9.95 && number.fract() != 0.0 { format!("{number:.1}") } else { format!("{number:.0}") }
}

/// A share in per cent.
pub(crate) fn share(part: u64, all: u64) -> String {
    format!("{:.1} %", 100.0 * part as f64 / all.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_digits_are_enough() {
        let sizes = [0.0, 999.0, 40_544.0, 999_600.0, 2.34e6, 3.2e9].map(bytes);
        assert_eq!(sizes, ["0 bytes", "999 bytes", "41 kB", "1.0 MB", "2.3 MB", "3.2 GB"]);
        let times = [0.2, 59.4, 60.0, 90.0, 3590.0, 7200.0, 864_000.0].map(duration);
        assert_eq!(times, ["1 s", "59 s", "1 minute", "1.5 minutes", "60 minutes", "2 hours", "10 days"]);
        assert_eq!([812.0, 9999.0, 12_345.0, 6.84e6].map(count), ["812", "9999", "12 thousand", "6.8 million"]);
        assert_eq!(share(1, 3), "33.3 %");
    }
}
