//! Parsing of single values. An error is a short reason without the value, so that rejects can be counted by reason; the
//! value is in the reject's content.

use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;

/// The largest position accepted.
const MAX_POSITION: i32 = 10_000;

/// A whole number; `3.0` is one.
fn whole(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let number: f64 = text.parse().ok()?;
    let exact = number.fract() == 0.0 && number.abs() < 2f64.powi(53);
    exact.then_some(number as i64)
}

/// A position on the result page, from 1, of a log that counts from `first`.
pub(crate) fn position(text: &str, first: i32) -> Result<i32, &'static str> {
    let found = whole(text).ok_or("position is not a whole number")?;
    let from_one = found.saturating_add(1 - i64::from(first));
    if (1..=i64::from(MAX_POSITION)).contains(&from_one) {
        Ok(from_one as i32)
    } else {
        Err("position is outside of the page")
    }
}

/// True if the result was clicked.
pub(crate) fn clicked(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "1.0" | "yes" | "y" => Ok(true),
        "false" | "f" | "0" | "0.0" | "no" | "n" => Ok(false),
        _ => Err("clicked is neither true nor false"),
    }
}

/// Seconds on the document.
pub(crate) fn dwell_seconds(text: &str) -> Result<f64, &'static str> {
    let seconds: Option<f64> = text.parse().ok();
    seconds.filter(|seconds| seconds.is_finite() && *seconds >= 0.0).ok_or("dwell_seconds is not a number of seconds")
}

/// Relevance from 0 to 4.
pub(crate) fn grade(text: &str) -> Result<i32, String> {
    let found = whole(text).ok_or_else(|| format!("expected a whole grade, found `{text}`"))?;
    if (0..=4).contains(&found) {
        Ok(found as i32)
    } else {
        Err(format!("expected a grade from 0 to 4, found {found}"))
    }
}

/// Microseconds since 1970, from RFC 3339, a number of seconds or milliseconds, or `/Date(milliseconds)/`.
pub(crate) fn time(text: &str) -> Result<i64, &'static str> {
    let bad = "shown_at is not a time";
    let inner = text.strip_prefix("/Date(");
    if let Some(inner) = inner.and_then(|rest| rest.strip_suffix(")/")) {
        // An offset after the number does not change the moment.
        let end = inner.rfind(['+', '-']).filter(|&at| at > 0).unwrap_or(inner.len());
        let milliseconds: i64 = inner[..end].parse().map_err(|_| bad)?;
        return milliseconds.checked_mul(1000).ok_or(bad);
    }
    if let Ok(number) = text.parse::<i64>() {
        return unit(number as f64).and_then(|unit| number.checked_mul(unit)).ok_or(bad);
    }
    if let Ok(number) = text.parse::<f64>() {
        return unit(number).map(|unit| (number * unit as f64).round() as i64).ok_or(bad);
    }
    string_to_timestamp_nanos(text).map(|nanoseconds| nanoseconds.div_euclid(1000)).map_err(|_| bad)
}

/// Microseconds in the unit of a bare number: seconds up to the year 5138, milliseconds above.
fn unit(number: f64) -> Option<i64> {
    match number.abs() {
        size if size < 1e11 => Some(1_000_000),
        size if size < 1e14 => Some(1_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn positions_count_from_one() {
        assert_eq!(position("0.0", 0), Ok(1));
        assert_eq!(position("3", 1), Ok(3));
        assert!(position("0", 1).is_err());
        assert!(position("1.5", 0).is_err());
        assert!(position("x", 0).is_err());
        assert!(position("nan", 0).is_err());
        assert!(position("9223372036854775807", 0).is_err());
        assert!(position("1e300", 0).is_err());
    }

    #[test]
    fn clicks_are_read_in_every_spelling() {
        for yes in ["true", "True", "1", "t", "yes", "Y"] {
            assert_eq!(clicked(yes), Ok(true), "{yes}");
        }
        for no in ["false", "FALSE", "0", "f", "no", "n"] {
            assert_eq!(clicked(no), Ok(false), "{no}");
        }
        assert!(clicked("2").is_err());
    }

    #[test]
    fn one_moment_in_every_spelling() {
        let moment = 1_300_000_000_000_000;
        for text in [
            "1300000000",
            "1300000000.0",
            "1300000000000",
            "2011-03-13T07:06:40Z",
            "2011-03-13 07:06:40",
            "2011-03-13T08:06:40+01:00",
            "/Date(1300000000000)/",
            "/Date(1300000000000+0100)/",
        ] {
            assert_eq!(time(text), Ok(moment), "{text}");
        }
        assert_eq!(time("/Date(-1000)/"), Ok(-1_000_000));
        for bad in ["yesterday", "/Date()/", "/Date(x)/", "1e15", "inf", ""] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn grades_end_at_four() {
        assert_eq!(grade("4"), Ok(4));
        assert_eq!(grade("2.0"), Ok(2));
        for bad in ["5", "-1", "high", "1.5"] {
            assert!(grade(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = (position(&text, 1), clicked(&text), dwell_seconds(&text), grade(&text), time(&text));
        }

        #[test]
        fn milliseconds_survive(ms in 100_000_000_000i64..99_000_000_000_000) {
            prop_assert_eq!(time(&ms.to_string()), Ok(ms * 1000));
            prop_assert_eq!(time(&format!("/Date({ms})/")), Ok(ms * 1000));
        }
    }
}
