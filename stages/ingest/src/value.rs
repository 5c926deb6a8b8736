//! Parsing of single values. An error is a short reason without the value, so that rejects can be counted by reason;
//! the value is in the reject's content.

use std::borrow::Cow;
use std::collections::BTreeMap;

use pipeline::config::{ClickedValue, DwellUnit};

/// The largest position accepted.
const MAX_POSITION: i32 = 10_000;

/// The longest dwell time accepted, in seconds; longer ones are no times.
const MAX_DWELL_SECONDS: f64 = 1e9;

/// The highest grade.
const TOP_GRADE: i32 = 4;

/// Characters of a value that a message shows.
const SHOWN_CHARS: usize = 40;

/// An id; a whole number that was written as a float, such as `12345.0`, is that number, every other text stands for
/// itself.
pub(crate) fn id(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(whole_part(text).unwrap_or(text))
}

/// A value as it is compared where the exact text is not known: as an id, in small letters.
pub(crate) fn folded(text: &str) -> String {
    id(text.trim_ascii()).to_ascii_lowercase()
}

/// The digits before the dot of `12345.0`, with their sign; `None` for any other text.
fn whole_part(text: &str) -> Option<&str> {
    let (whole, zeros) = text.split_once('.')?;
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    let float = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (float && !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0')).then_some(whole)
}

/// An id with leading zeros up to `width` characters; as it is if it has that many.
pub(crate) fn padded(id: &str, width: usize) -> Cow<'_, str> {
    if id.len() >= width && id.chars().count() >= width { Cow::Borrowed(id) } else { format!("{id:0>width$}").into() }
}

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
    let found = whole(text.trim_ascii()).ok_or("position is not a whole number")?;
    let from_one = found.saturating_add(1 - i64::from(first));
    if (1..=i64::from(MAX_POSITION)).contains(&from_one) {
        Ok(from_one as i32)
    } else {
        Err("position is outside of the page")
    }
}

/// What the values of the clicked field mean: `ingest.log.clicked_values`.
#[derive(Debug)]
pub(crate) struct ClickedValues {
    exact: BTreeMap<String, ClickedValue>,
    /// The same by names in lower case; the first of names that differ in case alone.
    folded: BTreeMap<String, ClickedValue>,
    other: Option<ClickedValue>,
}

impl ClickedValues {
    /// The meanings of an empty map, or of one that names a missing value alone, are those of true/false, 1/0, t/f, yes/no and y/n.
    pub(crate) fn new(map: &BTreeMap<String, ClickedValue>) -> Self {
        let mut folded = BTreeMap::new();
        for (name, &value) in map {
            folded.entry(self::folded(name)).or_insert(value);
        }
        ClickedValues { exact: map.clone(), folded, other: map.get("*").copied() }
    }

    /// True if values are flags or numbers of clicks.
    pub(crate) fn are_flags(&self) -> bool {
        self.exact.keys().all(String::is_empty)
    }

    /// The meaning of a missing value, which the map names by an empty text.
    pub(crate) fn missing(&self) -> Option<ClickedValue> {
        self.exact.get("").copied()
    }

    /// The meaning of a value: by its exact text, then by the text in another case or as a whole number (`1.0` is `1`),
    /// then that of `*`.
    pub(crate) fn read(&self, text: &str) -> Result<ClickedValue, &'static str> {
        let text = text.trim_ascii();
        if let Some(&value) = self.exact.get(text) {
            return Ok(value);
        }
        if self.are_flags() {
            return flag(text)
                .ok_or("clicked is neither true nor false; say what its values mean in ingest.log.clicked_values");
        }
        let known = self.folded.get(&folded(text)).copied();
        known.or(self.other).ok_or("clicked is a value without an entry in ingest.log.clicked_values")
    }
}

/// The meaning of a flag or of a number of clicks.
fn flag(text: &str) -> Option<ClickedValue> {
    const YES: [&str; 5] = ["true", "t", "1", "yes", "y"];
    const NO: [&str; 5] = ["false", "f", "0", "no", "n"];
    // The usual spellings of writers first, without a look at the others.
    match text {
        "0" | "false" => return Some(ClickedValue::Shown),
        "1" | "true" => return Some(ClickedValue::Clicked),
        _ => {}
    }
    let is = |names: [&str; 5]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    match whole(text) {
        Some(0) => Some(ClickedValue::Shown),
        Some(clicks) => (clicks > 0).then_some(ClickedValue::Clicked),
        None if is(YES) => Some(ClickedValue::Clicked),
        None => is(NO).then_some(ClickedValue::Shown),
    }
}

/// True for a number of clicks above 1.
pub(crate) fn is_count(text: &str) -> bool {
    !matches!(text, "0" | "1" | "true" | "false") && whole(text.trim_ascii()).is_some_and(|clicks| clicks > 1)
}

/// Seconds on the document; seconds are the unit of a log without one.
pub(crate) fn dwell_seconds(text: &str, unit: Option<DwellUnit>) -> Result<f64, &'static str> {
    let number: Option<f64> = text.trim_ascii().parse().ok();
    let number = number.filter(|number| number.is_finite()).ok_or("dwell_seconds is not a number")?;
    let seconds = match unit {
        Some(DwellUnit::Ms) => number / 1000.0,
        Some(DwellUnit::S) | None => number,
    };
    match seconds {
        seconds if seconds < 0.0 => Err("dwell_seconds is negative"),
        seconds if seconds > MAX_DWELL_SECONDS => Err("dwell_seconds is over 30 years"),
        // `-0` is 0.
        seconds => Ok(seconds.abs()),
    }
}

/// The grades of a judgment file: `ingest.judgments.grade_map`.
#[derive(Debug)]
pub(crate) struct Grades {
    exact: BTreeMap<String, i32>,
    numbers: Vec<(f64, i32)>,
}

impl Grades {
    /// Grades without an entry are read as whole numbers.
    pub(crate) fn new(map: &BTreeMap<String, i32>) -> Self {
        let numbers = map.iter().filter_map(|(name, &grade)| Some((number(name)?, grade))).collect();
        Grades { exact: map.clone(), numbers }
    }

    /// Relevance from 0 to 4: of the entry with this text, of the entry that is the same number, or the whole number as
    /// it is, a negative number being 0.
    ///
    /// # Errors
    /// What was expected and found, and the entry to write.
    pub(crate) fn read(&self, text: &str) -> Result<i32, String> {
        let text = text.trim_ascii();
        if let Some(&grade) = self.exact.get(text) {
            return Ok(grade);
        }
        let Some(found) = number(text) else { return Err(unknown_grade(text, 1)) };
        if let Some(&(_, grade)) = self.numbers.iter().find(|(number, _)| *number == found) {
            return Ok(grade);
        }
        match found {
            found if found < 0.0 => Ok(0),
            found if found > f64::from(TOP_GRADE) => Err(unknown_grade(text, TOP_GRADE)),
            found if found.fract() == 0.0 => Ok(found as i32),
            _ => Err(unknown_grade(text, 1)),
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim_ascii().parse().ok().filter(|number: &f64| number.is_finite())
}

fn unknown_grade(text: &str, example: i32) -> String {
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    let cut = if shown.len() < text.len() { "..." } else { "" };
    let shown = shown.escape_debug();
    let found = if text.is_empty() { "\"\"".to_string() } else { format!("{shown}{cut}") };
    format!(
        "expected a grade from 0 to {TOP_GRADE}, found {found}; \
         map it, such as ingest.judgments.grade_map = {{ \"{shown}{cut}\" = {example} }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClickedValue::{Clicked, Ignored, Shown};
    use proptest::prelude::*;

    #[test]
    fn a_whole_float_is_an_integers_id() {
        for (written, read) in [("12345.0", "12345"), ("-7.00", "-7"), ("0.0", "0"), ("007.0", "007")] {
            assert_eq!(id(written), read);
            assert_eq!(id(read), read);
        }
        let big = "123456789012345678901234567890";
        assert_eq!(id(&format!("{big}.0")), big);
        let untouched =
            ["0x1F.0", "1e5", "1.5", "007", ".0", "5.", "-.0", "1.0.0", "d1.0", "", "-", " 1.0", "+1.0", "１.0"];
        for text in untouched.into_iter().chain([big]) {
            assert_eq!(id(text), text);
            assert!(matches!(id(text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn ids_are_filled_up_to_their_width() {
        for (id, width, full) in [("7", 3, "007"), ("1234", 3, "1234"), ("é", 2, "0é"), ("éé", 2, "éé"), ("x", 0, "x")]
        {
            assert_eq!(padded(id, width), full);
        }
    }

    #[test]
    fn positions_count_from_one() {
        assert_eq!(position("0.0", 0), Ok(1));
        assert_eq!(position("3", 1), Ok(3));
        assert_eq!(position(" 3", 1), Ok(3));
        assert!(position("0", 1).is_err());
        assert!(position("1.5", 0).is_err());
        assert!(position("x", 0).is_err());
        assert!(position("nan", 0).is_err());
        assert!(position("9223372036854775807", 0).is_err());
        assert!(position("1e300", 0).is_err());
    }

    #[test]
    fn clicks_are_read_in_every_spelling() {
        let values = ClickedValues::new(&BTreeMap::new());
        for yes in ["true", "True", "TRUE", "1", "1.0", "t", "yes", "Y", "2", "17.0", "1.00", " true "] {
            assert_eq!(values.read(yes), Ok(Clicked), "{yes}");
        }
        for no in ["false", "FALSE", "0", "0.0", "f", "no", "N", "-0.0"] {
            assert_eq!(values.read(no), Ok(Shown), "{no}");
        }
        for bad in ["-1", "0.5", "click", "", "nan", "inf", "*"] {
            assert!(values.read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn clicks_are_read_as_the_configuration_has_them() {
        let map = |entries: &[(&str, ClickedValue)]| entries.iter().map(|&(k, v)| (k.to_string(), v)).collect();
        let values = ClickedValues::new(&map(&[("click", Clicked), ("Click", Ignored), ("impression", Shown)]));
        assert_eq!(values.read("click"), Ok(Clicked));
        assert_eq!(values.read("Click"), Ok(Ignored));
        assert_eq!(values.read("IMPRESSION"), Ok(Shown));
        for bad in ["1", "true", "*", "", "purchase"] {
            assert!(values.read(bad).is_err(), "{bad}");
        }
        let values = ClickedValues::new(&map(&[("1", Clicked), ("0.0", Shown), ("*", Ignored)]));
        assert_eq!(values.read("1.0"), Ok(Clicked));
        assert_eq!(values.read("0"), Ok(Shown));
        assert_eq!(values.read("2"), Ok(Ignored));
        assert_eq!(values.read("anything"), Ok(Ignored));
    }

    #[test]
    fn dwell_times_are_seconds() {
        assert_eq!(dwell_seconds("12.5", None), Ok(12.5));
        assert_eq!(dwell_seconds("12", Some(DwellUnit::S)), Ok(12.0));
        assert_eq!(dwell_seconds("12500", Some(DwellUnit::Ms)), Ok(12.5));
        assert!(dwell_seconds("-0", None).unwrap().is_sign_positive());
        assert_eq!(dwell_seconds("1e9", None), Ok(1e9));
        assert_eq!(dwell_seconds("-1", None), Err("dwell_seconds is negative"));
        assert!(dwell_seconds("1e12", Some(DwellUnit::Ms)).is_ok());
        for bad in ["1.1e9", "nan", "inf", "-inf", "", "x", "12s", "NULL"] {
            assert!(dwell_seconds(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn grades_end_at_four() {
        let grades = Grades::new(&BTreeMap::new());
        for (text, grade) in [("4", 4), ("2.0", 2), ("0", 0), ("-0", 0), ("-1", 0), ("-2.5", 0), (" 3 ", 3)] {
            assert_eq!(grades.read(text), Ok(grade), "{text}");
        }
        for bad in ["5", "4.5", "high", "1.5", "nan", "inf", "-inf", "1e300", ""] {
            assert!(grades.read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn grades_are_read_as_the_configuration_has_them() {
        let map = [("0.5", 1), ("-2", 3), ("5", 4), ("high", 4), ("1.0", 2)];
        let grades = Grades::new(&map.into_iter().map(|(name, grade)| (name.to_string(), grade)).collect());
        for (text, grade) in [("0.50", 1), (".5", 1), ("-2.0", 3), ("5", 4), ("high", 4), ("1", 2), ("2", 2), ("-1", 0)]
        {
            assert_eq!(grades.read(text), Ok(grade), "{text}");
        }
        assert!(grades.read("HIGH").is_err());
    }

    #[test]
    fn an_unknown_grade_names_the_entry_to_write() {
        let grades = Grades::new(&BTreeMap::new());
        let expected =
            "expected a grade from 0 to 4, found 0.5; map it, such as ingest.judgments.grade_map = { \"0.5\" = 1 }";
        assert_eq!(grades.read("0.5").unwrap_err(), expected);
        let expected =
            "expected a grade from 0 to 4, found 7; map it, such as ingest.judgments.grade_map = { \"7\" = 4 }";
        assert_eq!(grades.read("7").unwrap_err(), expected);
        let long = grades.read(&"a\u{7}".repeat(1000)).unwrap_err();
        assert!(long.len() < 500 && !long.contains(char::is_control), "{long}");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), width in 0usize..40) {
            let map = BTreeMap::from([(text.clone(), Clicked)]);
            let _ = (position(&text, 1), dwell_seconds(&text, Some(DwellUnit::Ms)));
            let _ = (ClickedValues::new(&BTreeMap::new()).read(&text), Grades::new(&BTreeMap::new()).read(&text));
            prop_assert!(padded(&text, width).chars().count() >= width);
            let read = id(&text);
            prop_assert_eq!(id(&read), read.as_ref());
            prop_assert!(ClickedValues::new(&map).read(&text).is_ok() || text != text.trim_ascii());
        }

        #[test]
        fn a_whole_float_equals_its_integer(number in any::<i64>(), zeros in 1usize..5) {
            let float = format!("{number}.{}", "0".repeat(zeros));
            prop_assert_eq!(id(&float), number.to_string());
        }
    }
}
