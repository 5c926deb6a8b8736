//! Numbers as people read them.

use ranking::significance::Interval;

/// Three decimals; `∞` and `–` for infinite and undefined.
pub(crate) fn value(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(value) if value.is_infinite() => if value > 0.0 { "∞" } else { "−∞" }.into(),
        Some(value) => format!("{value:.3}"),
    }
}

/// `[0.412, 0.533]`; empty where there is none.
pub(crate) fn interval(interval: Option<Interval>) -> String {
    interval.map_or(String::new(), |Interval { low, high }| format!("[{}, {}]", value(Some(low)), value(Some(high))))
}

/// A difference with its sign.
pub(crate) fn signed(value: f64) -> String {
    format!("{value:+.3}").replace('-', "−")
}

/// A difference's interval, with signs.
pub(crate) fn signed_interval(interval: Interval) -> String {
    format!("[{}, {}]", signed(interval.low), signed(interval.high))
}

/// A p-value to two significant digits, with its relation: `= 0.012`, `< 0.0001`.
pub(crate) fn p_relation(p: f64) -> String {
    let digits = p_value(p);
    if digits.starts_with('<') { digits } else { format!("= {digits}") }
}

/// A p-value to two significant digits.
pub(crate) fn p_value(p: f64) -> String {
    match p {
        p if p < 0.0001 => "< 0.0001".into(),
        p if p < 0.001 => format!("{p:.4}"),
        p if p < 0.1 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}

/// A count in groups of three digits.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(' ');
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
        assert_eq!(signed(-0.05), "−0.050");
        assert_eq!([p_value(1e-9), p_value(0.00012)], ["< 0.0001", "0.0001"]);
        assert_eq!([p_relation(1e-9), p_relation(0.5)], ["< 0.0001", "= 0.50"]);
        assert_eq!([p_value(0.0123), p_value(0.5)], ["0.012", "0.50"]);
        assert_eq!([count(7), count(1234), count(1_234_567)], ["7", "1 234", "1 234 567"]);
        assert_eq!([seconds(3.25), seconds(200.0)], ["3.2 s", "3 min 20 s"]);
        assert_eq!(seconds(3720.0), "1 h 02 min");
        assert_eq!([memory(5 << 20), memory(3 << 29)], ["5 MiB", "1.5 GiB"]);
    }
}
