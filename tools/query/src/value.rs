//! One value as text for people and CSV, and as JSON.

use duckdb::types::{TimeUnit, Value};

/// True if the value is a number.
pub(crate) fn is_number(value: &Value) -> bool {
    number(value).is_some()
}

/// The value as text; `None` where it is missing.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Union(value) => text(value),
        Value::List(_) | Value::Array(_) | Value::Struct(_) | Value::Map(_) => Some(json(value)),
        scalar => Some(scalar_text(scalar)),
    }
}

/// The value as JSON. Every number keeps all its digits; a float that JSON has no number for is a string.
pub(crate) fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Boolean(value) => value.to_string(),
        Value::Union(value) => json(value),
        Value::List(values) | Value::Array(values) => {
            let items: Vec<String> = values.iter().map(json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Struct(members) => object(members.iter().map(|(key, value)| (key.clone(), value))),
        Value::Map(members) => {
            object(members.iter().map(|(key, value)| (text(key).unwrap_or_else(|| "null".into()), value)))
        }
        Value::Float(value) if !value.is_finite() => json_text(&value.to_string()),
        Value::Double(value) if !value.is_finite() => json_text(&value.to_string()),
        scalar => number(scalar).unwrap_or_else(|| json_text(&scalar_text(scalar))),
    }
}

fn scalar_text(value: &Value) -> String {
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Text(text) | Value::Enum(text) => text.clone(),
        Value::Timestamp(unit, since) => timestamp(nanoseconds(*unit, *since)),
        Value::Date32(days) => date(i64::from(*days)),
        Value::Time64(unit, since) => time_of_day(nanoseconds(*unit, *since)),
        Value::Interval { months, days, nanos } => {
            let sign = if *nanos < 0 { "-" } else { "" };
            let clock = time_of_day(i128::from(*nanos).abs());
            format!("{months} months {days} days {sign}{clock}")
        }
        Value::Blob(bytes) | Value::Geometry(bytes) => bytes.iter().map(|byte| format!("\\x{byte:02X}")).collect(),
        other => number(other).unwrap_or_else(|| format!("{other:?}")),
    }
}

/// The digits of a number; `None` for anything else.
fn number(value: &Value) -> Option<String> {
    Some(match value {
        Value::TinyInt(value) => value.to_string(),
        Value::SmallInt(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::BigInt(value) => value.to_string(),
        Value::HugeInt(value) => value.to_string(),
        Value::UTinyInt(value) => value.to_string(),
        Value::USmallInt(value) => value.to_string(),
        Value::UInt(value) => value.to_string(),
        Value::UBigInt(value) => value.to_string(),
        Value::UHugeInt(value) => value.to_string(),
        // Debug keeps the point of a whole float and the exponent of a large one.
        Value::Float(value) => format!("{value:?}"),
        Value::Double(value) => format!("{value:?}"),
        Value::Decimal(value) => value.to_string(),
        _ => return None,
    })
}

/// A JSON string.
pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn object<'a>(members: impl Iterator<Item = (String, &'a Value)>) -> String {
    let members: Vec<String> = members.map(|(key, value)| format!("{}:{}", json_text(&key), json(value))).collect();
    format!("{{{}}}", members.join(","))
}

fn nanoseconds(unit: TimeUnit, count: i64) -> i128 {
    let scale = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    i128::from(count) * scale
}

const NANOSECONDS_OF_A_DAY: i128 = 86_400 * 1_000_000_000;

/// `2026-01-31 23:59:59.5` from nanoseconds since 1970.
fn timestamp(nanoseconds: i128) -> String {
    let days = nanoseconds.div_euclid(NANOSECONDS_OF_A_DAY);
    let clock = time_of_day(nanoseconds.rem_euclid(NANOSECONDS_OF_A_DAY));
    // A 64-bit count of seconds holds fewer days than an i64.
    format!("{} {clock}", date(days as i64))
}

/// `23:59:59.5` from nanoseconds since midnight.
fn time_of_day(nanoseconds: i128) -> String {
    let (seconds, fraction) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let clock = format!("{h:02}:{m:02}:{s:02}.{fraction:09}");
    clock.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// `2026-01-31` from days since 1970 in the proleptic Gregorian calendar.
///
/// Counted in eras of 400 years that begin on 1 March, so that the leap day is the last of its year.
fn date(days: i64) -> String {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_a_calendar() {
        let cases = [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59.999999"),
            (951_782_400_000_000, "2000-02-29 00:00:00"),
            (1_709_251_199_500_000, "2024-02-29 23:59:59.5"),
            (4_107_542_400_000_000, "2100-03-01 00:00:00"),
            (-62_135_596_800_000_000, "0001-01-01 00:00:00"),
        ];
        for (microseconds, expected) in cases {
            let value = Value::Timestamp(TimeUnit::Microsecond, microseconds);
            assert_eq!(text(&value).as_deref(), Some(expected));
        }
    }

    #[test]
    fn json_keeps_digits_and_structure() {
        let list = Value::List(vec![Value::Int(1), Value::Null, Value::Double(0.1)]);
        assert_eq!(json(&list), "[1,null,0.1]");
        assert_eq!(text(&list).as_deref(), Some("[1,null,0.1]"));
        assert_eq!(json(&Value::HugeInt(i128::MAX)), "170141183460469231731687303715884105727");
        assert_eq!(json(&Value::Float(0.1)), "0.1");
        assert_eq!(json(&Value::Double(f64::NAN)), "\"NaN\"");
        assert_eq!(json(&Value::Text("a\"b\n".into())), r#""a\"b\n""#);
        assert_eq!(text(&Value::Null), None);
        assert_eq!(text(&Value::Blob(vec![0xAB])).as_deref(), Some("\\xAB"));
    }
}
