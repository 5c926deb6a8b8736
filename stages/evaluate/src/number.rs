//! Numbers as people read them.

use ranking::significance::Interval;

use crate::compare::PValue;

/// Three decimals; `∞` and `–` for infinite and undefined.
pub(crate) fn value(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(value) if value.is_infinite() => if value > 0.0 { "∞" } else { "−∞" }.into(),
        Some(value) => format!("{:.3}", unless_zero(value)).replace('-', "−"),
    }
}

/// 0 for what three decimals write as 0, so that it has no sign.
fn unless_zero(value: f64) -> f64 {
    if value.abs() < 0.0005 { 0.0 } else { value }
}

/// `[0.412, 0.533]`; empty where there is none.
pub(crate) fn interval(interval: Option<Interval>) -> String {
    interval.map_or(String::new(), |Interval { low, high }| format!("[{}, {}]", value(Some(low)), value(Some(high))))
}

/// A share as `98.7 %`; what one decimal writes as 0 has no sign.
pub(crate) fn percent(share: f64) -> String {
    let percent = if share.abs() < 0.0005 { 0.0 } else { 100.0 * share };
    format!("{percent:.1} %")
}

/// A share's interval, `[96.1 %, 101.2 %]`.
pub(crate) fn percent_interval(Interval { low, high }: Interval) -> String {
    format!("[{}, {}]", percent(low), percent(high))
}

/// A difference with its sign; 0 has none.
pub(crate) fn signed(difference: f64) -> String {
    match unless_zero(difference) {
        0.0 => "0.000".into(),
        difference if difference.is_infinite() => value(Some(difference)),
        difference => format!("{difference:+.3}").replace('-', "−"),
    }
}

/// A difference's interval, with signs.
pub(crate) fn signed_interval(interval: Interval) -> String {
    format!("[{}, {}]", signed(interval.low), signed(interval.high))
}

/// A p-value to two significant digits with its relation: `= 0.012`, `≤ 0.000070` at the floor, `< 0.0001`.
pub(crate) fn p_relation(p: PValue) -> String {
    let digits = p_value(p);
    if digits.starts_with(['<', '≤']) { digits } else { format!("= {digits}") }
}

/// A p-value of a randomisation test to two significant digits.
pub(crate) fn p_value(p: PValue) -> String {
    match p.at_floor {
        true => format!("≤ {}", two_digits(p.value)),
        false => p_value_t(p.value),
    }
}

/// A p-value to two significant digits, down to 0.0001.
pub(crate) fn p_value_t(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".into() } else { two_digits(p) }
}

fn two_digits(p: f64) -> String {
    // As 1.2e-3, whose exponent is that of the rounded number.
    let scientific = format!("{p:.1e}");
    let exponent = scientific.split_once("e-").and_then(|(_, exponent)| exponent.parse().ok());
    let decimals = (1 + exponent.unwrap_or(0)).max(2);
    format!("{p:.decimals$}")
}

/// A count in groups of three digits.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            // Narrow, and no place to break a line.
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A time span: `1 h 02 min`, `3 min 20 s`, `4.2 s`.
pub(crate) fn seconds(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// Milliseconds to two significant digits or more: `0.034`, `1.2`, `340`.
pub(crate) fn milliseconds(milliseconds: f64) -> String {
    let decimals = (1 - milliseconds.max(1e-3).log10().floor() as i32).max(0) as usize;
    format!("{milliseconds:.decimals$}")
}

/// The size of files in KiB, MiB or GiB.
pub(crate) fn size(bytes: u64) -> String {
    let kib = bytes as f64 / 1024.0;
    match kib {
        kib if kib < 1024.0 => format!("{kib:.0} KiB"),
        kib if kib < 1024.0 * 1024.0 => format!("{:.1} MiB", kib / 1024.0),
        kib => format!("{:.1} GiB", kib / (1024.0 * 1024.0)),
    }
}

/// Memory in MiB or GiB.
pub(crate) fn memory(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(value(Some(0.12345)), "0.123");
        assert_eq!(value(Some(f64::INFINITY)), "∞");
        assert_eq!(value(None), "–");
        assert_eq!(percent_interval(Interval { low: 0.9612, high: 1.0 }), "[96.1 %, 100.0 %]");
        assert_eq!([-0.0, 0.0004].map(percent), ["0.0 %", "0.0 %"]);
        assert_eq!([0.0341, 0.5, 1.23, 23.4, 340.0].map(milliseconds), ["0.034", "0.50", "1.2", "23", "340"]);
        assert_eq!(signed(-0.05), "−0.050");
        assert_eq!([0.0004, -0.0004, -0.0, -0.0006].map(signed), ["0.000", "0.000", "0.000", "−0.001"]);
        assert_eq!([-0.0001, -0.25].map(|tau| value(Some(tau))), ["0.000", "−0.250"]);
        assert_eq!(signed(f64::NEG_INFINITY), "−∞");
        let p = |value, at_floor| PValue { value, at_floor };
        assert_eq!([1e-9, 0.00012, 0.0123, 0.5, 1.0].map(p_value_t), ["< 0.0001", "0.00012", "0.012", "0.50", "1.00"]);
        assert_eq!([p_relation(p(0.00002, false)), p_relation(p(0.5, false))], ["< 0.0001", "= 0.50"]);
        assert_eq!(p_relation(p(1.0 / 100_001.0, true)), "≤ 0.000010");
        assert_eq!(p_relation(p(7.0 / 100_001.0, true)), "≤ 0.000070");
        assert_eq!([count(7), count(1234), count(1_234_567)], ["7", "1\u{202f}234", "1\u{202f}234\u{202f}567"]);
        assert_eq!([seconds(3.25), seconds(200.0)], ["3.2 s", "3 min 20 s"]);
        assert_eq!(seconds(3720.0), "1 h 02 min");
        assert_eq!([memory(5 << 20), memory(3 << 29)], ["5 MiB", "1.5 GiB"]);
        assert_eq!([size(2048), size(5 << 18), size(3 << 29)], ["2 KiB", "1.2 MiB", "1.5 GiB"]);
    }
}
