//! Times of events as logs write them.

use crate::run::{csv, report, results};

/// The time of a search, in microseconds, as the stage reads `text`; `-` if it has none.
fn read(text: &str, overrides: &[&str]) -> String {
    let log = format!(
        "search_id,query,doc_id,position,clicked,shown_at\nk1,tea,d1,1,0,\"{text}\"\nk1,tea,d2,2,1,\"{text}\"\n"
    );
    let mut all = vec!["ingest.clean.max_bad_value_fraction=1"];
    all.extend(overrides);
    results(&csv(&log).output(&all), &["shown_at"])[0].clone()
}

#[test]
fn numbers_tell_their_unit_by_their_size() {
    for text in
        ["1772352005", "1772352005000", "1772352005000000", "1772352005000000000", "1772352005.0", "1.772352005e9"]
    {
        assert_eq!(read(text, &[]), "1772352005000000", "{text}");
    }
    assert_eq!(read("1772352005.25", &[]), "1772352005250000");
    assert_eq!(read("1772352005123", &[]), "1772352005123000");
}

#[test]
fn a_unit_holds_for_numbers_of_any_size() {
    for (unit, text) in [("s", "5"), ("ms", "5000"), ("us", "5000000"), ("ns", "5000000000")] {
        assert_eq!(read(text, &[&format!("ingest.log.time.unit={unit}")]), "5000000", "{unit}");
    }
    let world = csv("search_id,query,doc_id,position,clicked,shown_at\nk1,tea,d1,1,0,5\n");
    world.misconfigured(&["ingest.log.time.unit=minutes"], "ingest.log.time.unit");
}

#[test]
fn the_usual_forms_are_read() {
    for text in [
        "2026-03-01T08:00:05Z",
        "2026-03-01T08:00:05.000+00:00",
        "2026-03-01 08:00:05",
        "2026-03-01 08:00:05.000000 UTC",
        "2026-03-01T10:00:05+0200",
        "20260301T080005Z",
        "2026/03/01 08:00:05",
        "Sun, 01 Mar 2026 08:00:05 GMT",
        "01/Mar/2026:09:00:05 +0100",
        "Sun Mar  1 08:00:05 2026",
        "Mar 1, 2026 8:00:05 AM",
        "2026-03-01T09:00:05+01:00[Europe/Paris]",
        "/Date(1772352005000)/",
    ] {
        assert_eq!(read(text, &[]), "1772352005000000", "{text}");
    }
    assert_eq!(read("2026-03-01", &[]), "1772323200000000");
}

#[test]
fn what_has_two_meanings_or_none_is_no_time() {
    for text in [
        "03/01/2026",
        "yesterday",
        "2026-02-30 08:00:00",
        "2026-03-01 25:00:00",
        "08:00:05",
        "true",
        "2026-03-01 08:00 EST",
    ] {
        assert_eq!(read(text, &[]), "-", "{text}");
    }
}

#[test]
fn years_that_no_log_is_from_are_no_times() {
    for text in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31 23:59:59", "2101-01-01", "-5"] {
        assert_eq!(read(text, &[]), "-", "{text}");
    }
    assert_eq!(read("1970-01-01T00:00:00Z", &[]), "0");
    assert_eq!(read("2100-12-31T23:59:59Z", &[]), "4133980799000000");
    let mut log = String::from("search_id,query,doc_id,position,clicked,shown_at\n");
    for search in 10..40 {
        let year = if search == 39 { "0001" } else { "2026" };
        log += &format!("k{search},tea,d1,1,0,{year}-03-01 08:00:00\n");
    }
    let stage = csv(&log).output(&[]);
    let expected = ["kept 70 20", "value 1 0 shown_at dropped: shown_at is outside of the years 1970 to 2100"];
    assert_eq!(report(&stage, "log"), expected);
}

#[test]
fn a_format_is_read_as_it_says() {
    for (format, text) in [
        ("%d.%m.%Y %H:%M:%S", "01.03.2026 08:00:05"),
        ("%m/%d/%y %I:%M:%S %p", "03/01/26 08:00:05 AM"),
        ("%d/%b/%Y:%H:%M:%S %z", "01/Mar/2026:10:00:05 +0200"),
        ("%s", "1772352005"),
    ] {
        assert_eq!(read(text, &[&format!("ingest.log.time.format=\"{format}\"")]), "1772352005000000", "{format}");
    }
    // Times of another format are none.
    assert_eq!(read("2026-03-01T08:00:05Z", &["ingest.log.time.format=\"%d.%m.%Y %H:%M:%S\""]), "-");
}

#[test]
fn formats_and_zones_that_do_not_exist_are_refused() {
    let world = csv("search_id,query,doc_id,position,clicked,shown_at\nk1,tea,d1,1,0,5\n");
    world.misconfigured(
        &["ingest.log.time.format=\"%d.%m.\""],
        "ingest.log.time.format: expected a strptime format with date and \
        time, such as `%d/%b/%Y:%H:%M:%S %z`, found \"%d.%m.\"",
    );
    world.misconfigured(
        &["ingest.log.time.zone=\"Mars/One\""],
        "ingest.log.time.zone: expected a name such as `Europe/Paris` or an \
        offset such as `+02:00`, found \"Mars/One\"",
    );
}

#[test]
fn times_without_a_zone_are_in_the_zone_of_the_log() {
    for (zone, expected) in [
        ("UTC", "1772352005000000"),
        ("Europe/Paris", "1772348405000000"),
        ("+05:30", "1772332205000000"),
        ("America/New_York", "1772370005000000"),
    ] {
        let zone = format!("ingest.log.time.zone=\"{zone}\"");
        assert_eq!(read("2026-03-01 08:00:05", &[&zone]), expected, "{zone}");
        assert_eq!(read("2026-03-01 08:00:05Z", &[&zone]), "1772352005000000", "{zone}");
        assert_eq!(read("1772352005", &[&zone]), "1772352005000000", "{zone}");
    }
    let format = "ingest.log.time.format=\"%d.%m.%Y %H:%M\"";
    assert_eq!(read("01.07.2026 10:00", &[format, "ingest.log.time.zone=\"Europe/Paris\""]), "1782892800000000");
}

#[test]
fn a_log_whose_times_cannot_be_read_says_so() {
    let log = "search_id,query,doc_id,position,clicked,shown_at\nk1,tea,d1,1,0,3 days ago\nk1,tea,d2,2,1,2 days ago\n";
    csv(log).refuses(
        &[],
        "log: 2 of 2 values of shown_at cannot be read, such as `2 days ago`: shown_at is not a time; say how \
        they are written in ingest.log.time.format or unit, or raise ingest.clean.max_bad_value_fraction = 0.1",
    );
}

#[test]
fn times_that_no_log_is_from_are_said_aloud() {
    let log = |time: &str| {
        format!("search_id,query,doc_id,position,clicked,shown_at\nk1,tea,d1,1,0,{time}\nk1,tea,d2,2,1,{time}\n")
    };
    csv(&log("45352.41")).warns(&[], "log: 2 of 2 times before 1990; correct ingest.log.columns.shown_at");
    for (time, overrides) in [("1772352005", &[][..]), ("45352", &["ingest.log.time.unit=s"])] {
        let (code, stderr) = csv(&log(time)).run(overrides);
        assert!(code == 0 && !stderr.contains("before 1990"), "{stderr}");
    }
}
