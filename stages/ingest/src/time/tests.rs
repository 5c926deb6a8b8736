use super::*;
use jiff::{ToSpan, fmt::rfc2822};
use proptest::prelude::*;

/// 2022-10-19T12:01:00Z.
const NOON: i64 = 1_666_180_860_000_000;

fn times(unit: Option<TimeUnit>, zone: &str, format: &str) -> Result<Times> {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_string());
    Times::new(&TimeConfig { format: given(format), unit, zone: given(zone) })
}

fn by_default() -> Times {
    times(None, "", "").unwrap()
}

#[test]
fn the_form_of_a_time_is_told() {
    let form = |text: &str| by_default().read(text).map(|(_, form)| form);
    for (text, expected) in [
        ("2022-10-19 12:01:00", Form::DateAndTime),
        ("19/Oct/2022:12:01:00 +0000", Form::DateAndTime),
        ("20221019120100", Form::DateAndTime),
        ("1666180860", Form::Number(TimeUnit::S)),
        ("1666180860000", Form::Number(TimeUnit::Ms)),
        ("1666180860000000", Form::Number(TimeUnit::Us)),
        ("1666180860000000000", Form::Number(TimeUnit::Ns)),
        ("/Date(1666180860000)/", Form::Number(TimeUnit::Ms)),
    ] {
        assert_eq!(form(text), Ok(expected), "{text}");
    }
    let in_seconds = times(Some(TimeUnit::S), "", "").unwrap();
    assert_eq!(in_seconds.read("1666180860").map(|(_, form)| form), Ok(Form::Number(TimeUnit::S)));
    let configured = times(None, "", "%Y-%m-%d %H:%M:%S").unwrap();
    assert_eq!(configured.read("2022-10-19 12:01:00"), Ok((NOON, Form::Configured)));
}

#[test]
fn one_moment_in_every_spelling() {
    let times = by_default();
    for text in [
        "2022-10-19T12:01:00Z",
        "2022-10-19t12:01:00z",
        "2022-10-19T12:01:00 Z",
        "2022-10-19 12:01:00 UTC",
        "2022-10-19 12:01:00 gmt",
        "2022-10-19 12:01:00",
        " 2022-10-19 12:01:00\n",
        "2022-10-19  12:01:00.000",
        "2022-10-19T12:01Z",
        "2022-10-19 12:01",
        "2022-10-19T14:01:00+02:00",
        "2022-10-19T14:01:00+0200",
        "2022-10-19T14:01:00+02",
        "2022-10-19 14:01:00 +02:00",
        "2022-10-19 07:01:00 -0500",
        "2022-10-19T17:46+05:45",
        "2022/10/19 12:01:00",
        "2022.10.19 12:01:00",
        "2022-10-19 12:01:00 PM",
        "2022-10-19 12:01pm",
        "20221019T120100Z",
        "20221019T1201Z",
        "20221019T140100.000+0200",
        "20221019 12:01:00",
        "20221019120100",
        "20221019120100000",
        "20221019120100Z",
        "2022-10-19 14:01:00 Europe/Paris",
        "2022-10-19T14:01:00[Europe/Paris]",
        "2022-10-19T14:01:00+02:00[Europe/Paris]",
        "2022-10-19T12:01:00Z[UTC]",
        "2022-10-19T12:01:00[UTC]",
        "Wed, 19 Oct 2022 12:01:00 GMT",
        "Wed, 19 Oct 2022 14:01:00 +0200",
        "19 Oct 2022 12:01",
        "19-Oct-2022 12:01:00",
        "19/Oct/2022:12:01:00 +0000",
        "19/Oct/2022:07:01:00 -0500",
        "19 October 2022, 12:01",
        "Oct 19, 2022 12:01:00",
        "October 19, 2022, 12:01 PM",
        "Wed Oct 19 12:01:00 2022",
        "Wed Oct 19 12:01:00 UTC 2022",
        "Wed Oct 19 14:01:00 +0200 2022",
        "Wed Oct 19 2022 14:01:00 GMT+0200 (Central European Summer Time)",
        "/Date(1666180860000)/",
        "/Date(1666180860000+0200)/",
        "1666180860",
        "+1666180860",
        "1666180860.0",
        "1.66618086E9",
        "1.66618086e12",
        "1666180860000",
        "1666180860000000",
        "1666180860000000000",
    ] {
        assert_eq!(times.microseconds(text), Ok(NOON), "{text}");
    }
}

#[test]
fn fractions_are_cut_to_microseconds() {
    let times = by_default();
    for text in [
        "2022-10-19T12:01:00.184708Z",
        "2022-10-19 12:01:00.184708 UTC",
        "2022-10-19T12:01:00.184708123456Z",
        "2022-10-19T12:01:00,184708999Z",
        "20221019T120100.184708Z",
        "20221019120100184708",
        "1666180860.184708",
        "1666180860.184708999999999999999999",
        "1666180860184.708",
        "1666180860184708",
        "1666180860184708999",
    ] {
        assert_eq!(times.microseconds(text), Ok(NOON + 184_708), "{text}");
    }
    assert_eq!(times.microseconds("2022-10-19T12:01:00.5"), Ok(NOON + 500_000));
    assert_eq!(times.microseconds("2022-10-19T12:01:00,184Z"), Ok(NOON + 184_000));
}

#[test]
fn days_end_where_the_next_begin() {
    let times = by_default();
    let same = |a: &str, b: &str| assert_eq!(times.microseconds(a).unwrap(), times.microseconds(b).unwrap(), "{a}");
    same("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z");
    same("2022-10-19T24:00:00Z", "2022-10-20T00:00:00Z");
    same("2022-10-19T24:00Z", "2022-10-20");
    same("2022-10-19", "2022-10-19T00:00:00Z");
    same("2022-1-9 1:05:00", "2022-01-09T01:05:00Z");
    same("2022-10-19 12:05:00 AM", "2022-10-19T00:05:00Z");
    same("2022-10-19T12", "2022-10-19T12:00:00Z");
    same("1970-01-01", "0");
}

#[test]
fn texts_without_one_plain_meaning_are_no_times() {
    let times = by_default();
    for text in [
        "",
        "yesterday",
        "NaT",
        "nan",
        "None",
        "null",
        "inf",
        "11/15/2019 10:22:32 AM",
        "15/11/2019 10:22:32",
        "19.10.2022 12:01",
        "19-10-2022",
        "19-Oct-22 12:01:00",
        "22-10-19 12:01:00",
        "2022-10-19 12:01:00 EST",
        "2022-10-19 12:01:00 CET",
        "2022-10-19 12:01:00 Europe/Nowhere",
        "2022-10-19 12:01:00[EST]",
        "Wed Oct 19 12:01:00 CEST 2022",
        "Thu, 19 Oct 2022 12:01:00 GMT",
        "1666180860s",
        "1,666,180,860",
        "1666180860,5",
        "20221019",
        "202210191201",
        "2022-10",
        "2022-W42-3",
        "2022-292",
        "2022-13-01",
        "2022-02-29",
        "2022-10-19T25:00:00Z",
        "2022-10-19T24:00:01Z",
        "2022-10-19T12:60:00Z",
        "2022-10-19T12:01:61Z",
        "2022-10-19T12:01:00.Z",
        "2022-10-19T12:01:00+24:00",
        "2022-10-19T12:01:00+2:0",
        "2022-10-19T12:01:00Zulu",
        "2022-10-19T",
        "2022-10-19T12:01:00Z Z",
        "2022-10/19",
        "2022-10-19 13:01 PM",
        "12:01:00",
        "/Date()/",
        "/Date(x)/",
        "/Date(1666180860000",
        "1e",
        "1e999",
        "２０２２-10-19",
    ] {
        assert_eq!(times.microseconds(text), Err(NO_TIME), "{text}");
    }
}

#[test]
fn years_before_1970_and_after_2100_are_refused() {
    let times = by_default();
    for text in [
        "9999-12-31T23:59:59Z",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00+01:00",
        "2101-01-01T00:00:00Z",
        "2100-12-31T24:00:00Z",
        "-1",
        "-1666180860",
        "/Date(-1000)/",
        "4133980800",
        "99999999999",
        "99999999999999999999999999",
        "1e99",
    ] {
        assert_eq!(times.microseconds(text), Err(OUT_OF_RANGE), "{text}");
    }
    assert_eq!(times.microseconds("2100-12-31T23:59:59.999999Z"), Ok(END - 1));
}

#[test]
fn a_unit_holds_for_all_numbers() {
    for (unit, text) in [
        (TimeUnit::S, "1666180860"),
        (TimeUnit::Ms, "1666180860000"),
        (TimeUnit::Us, "1666180860000000"),
        (TimeUnit::Ns, "1666180860000000000"),
    ] {
        let times = times(Some(unit), "", "").unwrap();
        assert_eq!(times.microseconds(text), Ok(NOON));
        assert_eq!(times.microseconds("2022-10-19T12:01:00Z"), Ok(NOON));
    }
    let seconds = times(Some(TimeUnit::S), "", "").unwrap();
    assert_eq!(seconds.microseconds("1666180860000"), Err(OUT_OF_RANGE));
    assert_eq!(seconds.microseconds("20221019"), Ok(20_221_019_000_000));
    assert_eq!(seconds.microseconds("20221019120100"), Err(OUT_OF_RANGE));
    let milliseconds = times(Some(TimeUnit::Ms), "", "").unwrap();
    assert_eq!(milliseconds.microseconds("60000"), Ok(60_000_000));
}

#[test]
fn times_without_a_zone_are_in_the_configured_one() {
    for (zone, hour) in
        [("", 12), ("UTC", 12), ("+02:00", 14), ("+0200", 14), ("-05", 7), ("Europe/Paris", 14), ("EST", 7)]
    {
        let times = times(None, zone, "").unwrap();
        assert_eq!(times.microseconds(&format!("2022-10-19 {hour:02}:01:00")), Ok(NOON), "{zone}");
        assert_eq!(times.microseconds(&format!("20221019{hour:02}0100")), Ok(NOON), "{zone}");
        assert_eq!(times.microseconds("2022-10-19 12:01:00Z"), Ok(NOON), "{zone}");
        assert_eq!(times.microseconds("1666180860"), Ok(NOON), "{zone}");
    }
}

#[test]
fn clocks_that_are_moved_shift_times_forward() {
    let times = times(None, "Europe/Paris", "").unwrap();
    let same = |a: &str, b: &str| assert_eq!(times.microseconds(a).unwrap(), times.microseconds(b).unwrap(), "{a}");
    // 02:30 is there twice, then never.
    same("2022-10-30 02:30:00", "2022-10-30T00:30:00Z");
    same("2022-03-27 02:30:00", "2022-03-27T01:30:00Z");
    same("2022-03-27 02:30:00 America/New_York", "2022-03-27T06:30:00Z");
}

#[test]
fn a_format_is_used_alone() {
    for (format, text) in [
        ("%d/%b/%Y:%H:%M:%S %z", "19/Oct/2022:14:01:00 +0200"),
        ("%m/%d/%Y %I:%M:%S %p", "10/19/2022 12:01:00 PM"),
        ("%d.%m.%Y %H:%M", "19.10.2022 12:01"),
        ("%Y%m%d%H%M", "202210191201"),
        ("%Y-%m-%d %H:%M:%S %Q", "2022-10-19 14:01:00 Europe/Paris"),
        ("%A, %d-%b-%y %T GMT", "Wednesday, 19-Oct-22 12:01:00 GMT"),
        ("%FT%T%.f", "2022-10-19T12:01:00"),
        ("%s", "1666180860"),
        ("%ss", "1666180860s"),
    ] {
        let times = times(None, "", format).unwrap();
        assert_eq!(times.microseconds(text), Ok(NOON), "{format}");
        assert_eq!(times.microseconds("2022-10-19T12:01:00.5+02:00"), Err(NO_TIME), "{format}");
        assert_eq!(times.microseconds(""), Err(NO_TIME));
    }
    let local = times(None, "Europe/Paris", "%d/%m/%Y %H:%M").unwrap();
    assert_eq!(local.microseconds("19/10/2022 14:01"), Ok(NOON));
    let day = times(None, "", "%Y%m%d").unwrap();
    assert_eq!(day.microseconds("20221019"), Ok(NOON - (12 * 3600 + 60) * 1_000_000));
    assert_eq!(day.microseconds("19221019"), Err(OUT_OF_RANGE));
    let fine = times(None, "", "%s.%f").unwrap();
    assert_eq!(fine.microseconds("1666180860.184708"), Ok(NOON + 184_708));
}

#[test]
fn bad_zones_and_formats_name_their_key() {
    for zone in ["Europe/Nowhere", "summer", "+25:00", "+", "\u{7}"] {
        let error = format!("{:#}", times(None, zone, "").unwrap_err());
        assert!(error.starts_with("ingest.log.time.zone: expected a name such as `Europe/Paris`"), "{error}");
        assert!(!error.contains(char::is_control), "{error}");
    }
    for format in ["yyyy-MM-dd", "%H:%M", "%Y-%m-%d %I:%M", "%", "%J", "%Y-%m-%d %Z", "%d/%m", "\u{7}"] {
        let error = format!("{:#}", times(None, "", format).unwrap_err());
        assert!(error.starts_with("ingest.log.time.format: expected a strptime format"), "{error}");
        assert!(!error.contains(char::is_control), "{error}");
    }
}

/// Microseconds of the years accepted.
fn moments() -> impl Strategy<Value = i64> {
    0..END
}

fn zones() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["Europe/Paris", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"])
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), number in "[+-]?[0-9]{0,30}(\\.[0-9]{0,30})?([eE][+-]?[0-9]{0,4})?") {
        for text in [&text, &number] {
            let _ = by_default().microseconds(text);
            let _ = times(None, text, "");
            let _ = times(None, "", text).map(|times| times.microseconds(text));
        }
    }

    #[test]
    fn no_damaged_time_panics(
        text in concat!(
            "((Wed,? )?[0-9]{1,8}[-/. ](Oct|[0-9]{1,2})[-/. ][0-9]{1,4}|20[0-9]{2}-1[0-2]-[012][0-9])",
            "[T: ]([0-9:.,]{0,12}|1[0-9]:[0-5][0-9]:[0-5][0-9])([.,][0-9]{0,9})? ?",
            "(Z|[+-][0-9:]{0,9}|\\[?[A-Z/]{0,8}\\]?|é)?",
        ),
        at in any::<prop::sample::Index>(),
        other in any::<char>(),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len());
        characters[at] = other;
        let damaged: String = characters.into_iter().collect();
        for text in [&text, &damaged] {
            let _ = by_default().microseconds(text);
            if let Some(read) = text::usual(text) {
                prop_assert_eq!(text::read(text), Some(read));
            }
        }
    }

    #[test]
    fn jiffs_texts_are_read_as_jiff_means_them(moment in moments(), zone in zones()) {
        let times = by_default();
        let timestamp = Timestamp::from_microsecond(moment).unwrap();
        let zoned = timestamp.to_zoned_datetime(times.zones.get(zone).unwrap());
        prop_assert_eq!(times.microseconds(&timestamp.to_string()), Ok(moment));
        // RFC 9557, where the offset decides, and its parts.
        prop_assert_eq!(times.microseconds(&zoned.to_string()), Ok(moment));
        for format in [
            "%Y-%m-%d %H:%M:%S%.f %:z",
            "%Y%m%dT%H%M%S%.f%z",
            "%-d %B %Y %-I:%M:%S%.f %p %z",
            "%b %e %Y %T%.f GMT%z",
            "%s.%6f",
        ] {
            let text = strtime::format(format, &zoned).unwrap();
            prop_assert_eq!(times.microseconds(&text), Ok(moment), "{}", text);
        }
        let second = moment.div_euclid(1_000_000) * 1_000_000;
        let text = rfc2822::to_string(&zoned).unwrap();
        prop_assert_eq!(times.microseconds(&text), Ok(second), "{}", text);
        let text = strtime::format("%d/%b/%Y:%H:%M:%S %z", &zoned).unwrap();
        prop_assert_eq!(times.microseconds(&text), Ok(second), "{}", text);
    }

    #[test]
    fn local_times_are_read_as_jiff_means_them(moment in moments(), zone in zones()) {
        let zone_of = by_default().zones.get(zone).unwrap();
        let shown = Offset::UTC.to_datetime(Timestamp::from_microsecond(moment).unwrap());
        let expected = zone_of.to_timestamp(shown).unwrap().as_microsecond();
        prop_assume!((0..END).contains(&expected));
        let local = times(None, zone, "").unwrap();
        prop_assert_eq!(local.microseconds(&shown.to_string()), Ok(expected));
        prop_assert_eq!(by_default().microseconds(&format!("{} {zone}", shown.strftime("%F %T%.f"))), Ok(expected));
        let format = times(None, zone, "%d.%m.%Y %H:%M:%S%.f").unwrap();
        prop_assert_eq!(format.microseconds(&shown.strftime("%d.%m.%Y %H:%M:%S%.f").to_string()), Ok(expected));
    }

    #[test]
    fn numbers_survive(moment in moments()) {
        let in_unit = |unit| times(Some(unit), "", "").unwrap();
        prop_assert_eq!(in_unit(TimeUnit::Us).microseconds(&moment.to_string()), Ok(moment));
        prop_assert_eq!(in_unit(TimeUnit::Ns).microseconds(&format!("{moment}999")), Ok(moment));
        let (seconds, fraction) = (moment / 1_000_000, moment % 1_000_000);
        prop_assert_eq!(in_unit(TimeUnit::S).microseconds(&format!("{seconds}.{fraction:06}")), Ok(moment));
        let milliseconds = moment / 1000;
        prop_assert_eq!(in_unit(TimeUnit::Ms).microseconds(&milliseconds.to_string()), Ok(milliseconds * 1000));
    }

    #[test]
    fn the_size_of_a_number_tells_its_unit(microseconds in 1_000_000_000_000_000..END) {
        let times = by_default();
        prop_assert_eq!(times.microseconds(&microseconds.to_string()), Ok(microseconds));
        prop_assert_eq!(times.microseconds(&format!("{microseconds}000")), Ok(microseconds));
        let (milliseconds, seconds) = (microseconds / 1000, microseconds / 1_000_000);
        prop_assert_eq!(times.microseconds(&milliseconds.to_string()), Ok(milliseconds * 1000));
        prop_assert_eq!(times.microseconds(&format!("/Date({milliseconds})/")), Ok(milliseconds * 1000));
        prop_assert_eq!(times.microseconds(&seconds.to_string()), Ok(seconds * 1_000_000));
    }

    #[test]
    fn dates_are_jiffs(day in 0i32..40_000) {
        let date = civil::date(1970, 1, 1) + i64::from(day).days();
        let (year, month) = (date.year() as u32, date.month() as u32);
        prop_assert_eq!(calendar::days(year, month, date.day() as u32), Some(i64::from(day)));
        prop_assert_eq!(calendar::weekday(i64::from(day)), i64::from(date.weekday().to_sunday_zero_offset()));
        prop_assert_eq!(calendar::days(year, month, date.last_of_month().day() as u32 + 1), None);
    }
}
