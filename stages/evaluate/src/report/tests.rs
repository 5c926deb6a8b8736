use super::*;
use crate::report::charts::{Series, bars, differences, lines};

fn estimate(system: &str, value: Option<f64>) -> Estimate {
    Estimate {
        system: system.into(),
        metric: "pnr".into(),
        slice: ALL.into(),
        value,
        interval: None,
        ties: None,
        judged: None,
        queries: 3,
    }
}

#[test]
fn text_cannot_become_markup() {
    assert_eq!(escape("<a href='x'>\"&\""), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;");
    let cells = table(&["<i>"], &[vec!["<i>\n<u>".to_string()]], 1);
    assert!(!cells.contains("<i>") && !cells.contains("<u>"), "{cells}");
}

#[test]
fn charts_survive_undefined_infinite_and_empty_values() {
    let estimates = [estimate("a", None), estimate("b", Some(f64::INFINITY)), estimate("c", Some(0.0))];
    let refs: Vec<&Estimate> = estimates.iter().collect();
    let one = Series { class: "trend", name: None, points: vec![(1.0, 0.0)] };
    let none = Series { class: "trend", name: None, points: Vec::new() };
    let svgs = [
        bars("x", &refs),
        bars("x", &[]),
        lines("x", "y", &[one]),
        lines("x", "y", &[none]),
        differences("x", &[]),
        differences("x", &[0.0, 0.0]),
    ];
    for svg in svgs {
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn wide_losses_get_a_logarithmic_axis() {
    let line = |high: f64| {
        let points = vec![(1.0, high), (2.0, 0.1)];
        lines("x", "loss", &[Series { class: "trend", name: None, points }])
    };
    assert!(line(8.0).contains("logarithmic"));
    assert!(!line(1.0).contains("logarithmic"));
}
