//! Which rows of a log are one search.

use crate::run::{csv, report, results};

const ROW: [&str; 4] = ["search_id", "session_id", "doc_id", "clicked"];

#[test]
fn search_ids_count_within_their_session() {
    // Each visitor's searches are numbered from 1.
    let mut log = String::from("search_id,session_id,query,doc_id,position,clicked\n");
    for visitor in ["ann", "bob"] {
        for search in 1..=2 {
            log += &format!("{search},{visitor},tea {search},d1,1,0\n");
            log += &format!("{search},{visitor},tea {search},d2,2,{search}\n");
        }
    }
    let stage = csv(&log).output(&[]);
    let expected = [
        "ann/1 ann d1 false",
        "ann/1 ann d2 true",
        "ann/2 ann d1 false",
        "ann/2 ann d2 true",
        "bob/1 bob d1 false",
        "bob/1 bob d2 true",
        "bob/2 bob d1 false",
        "bob/2 bob d2 true",
    ];
    assert_eq!(results(&stage, &ROW), expected);
    assert_eq!(report(&stage, "log"), ["kept 48 24"]);
}

#[test]
fn one_id_for_two_queries_is_two_searches() {
    let log = "search_id,session_id,query,doc_id,position,clicked\n\
        1,ann,tea,d1,1,0\n1,ann,tea,d2,2,1\n1,ann,pot,d1,1,1\n1,ann,pot,d2,2,0\n";
    let stage = csv(log).output(&[]);
    // printf tea | sha256sum, printf pot | sha256sum
    let (tea, pot) = ("1/a9f74d1ec36ebdeb", "1/74a51c3ce9ff0255");
    let expected = [
        format!("{pot} ann d1 true"),
        format!("{pot} ann d2 false"),
        format!("{tea} ann d1 false"),
        format!("{tea} ann d2 true"),
    ];
    assert_eq!(results(&stage, &ROW), expected);
}

#[test]
fn a_click_of_another_session_is_of_the_page_that_shows_the_document() {
    // The id is used once, and the session changed while the page was open.
    let log = "search_id,session_id,query,doc_id,position,clicked\n\
        late,monday,tea,d1,1,0\nlate,monday,tea,d2,2,0\nlate,tuesday,tea,d2,2,1\n";
    let stage = csv(log).output(&[]);
    let expected = ["monday/late monday d1 false", "monday/late monday d2 true"];
    assert_eq!(results(&stage, &ROW), expected);
}

#[test]
fn a_query_asked_again_later_is_another_search() {
    let log = "session_id,query,doc_id,position,clicked,shown_at\n\
        ann,tea,d1,1,1,2026-03-01T08:00:00Z\n\
        ann,tea,d2,2,0,2026-03-01T08:00:00Z\n\
        ann,tea,d3,11,0,2026-03-01T08:20:00Z\n\
        ann,tea,d1,1,0,2026-03-08T08:00:00Z\n\
        ann,tea,d2,2,1,2026-03-08T08:00:00Z\n\
        ann,tea,d1,1,0,2026-03-08T08:45:00Z\n";
    let world = csv(log);
    let stage = world.output(&[]);
    let first = "ann/a9f74d1ec36ebdeb";
    let expected = [
        format!("{first} ann d1 true"),
        format!("{first} ann d2 false"),
        format!("{first} ann d3 false"),
        format!("{first}/2 ann d1 false"),
        format!("{first}/2 ann d2 true"),
        format!("{first}/3 ann d1 false"),
    ];
    assert_eq!(results(&stage, &ROW), expected);
    assert_eq!(report(&stage, "log"), ["kept 46 22"]);

    // A longer gap joins the last two.
    let stage = world.output(&["ingest.log.session_gap_minutes=60"]);
    assert_eq!(results(&stage, &ROW)[3..], [format!("{first}/2 ann d1 false"), format!("{first}/2 ann d2 true"),]);
    assert_eq!(report(&stage, "log"), ["kept 45 22", "merged 1 0 result of a search logged again"]);
    world.misconfigured(&["ingest.log.session_gap_minutes=0"], "ingest.log.session_gap_minutes: expected");
}

#[test]
fn queries_between_others_stay_one_search() {
    let log = "session_id,query,doc_id,position,clicked,shown_at\n\
        ann,tea,d1,1,0,2026-03-01T08:00:00Z\n\
        ann,pot,d1,1,1,2026-03-01T08:01:00Z\n\
        ann,tea,d2,2,1,2026-03-01T08:02:00Z\n";
    let stage = csv(log).output(&[]);
    let expected =
        ["ann/74a51c3ce9ff0255 ann d1 true", "ann/a9f74d1ec36ebdeb ann d1 false", "ann/a9f74d1ec36ebdeb ann d2 true"];
    assert_eq!(results(&stage, &ROW), expected);
}

#[test]
fn a_log_that_is_one_session_is_refused() {
    let mut log = String::from("session_id,query,doc_id,position,clicked\n");
    for query in 0..30 {
        log += &format!("web-1,tea {query},d1,1,0\nweb-1,tea {query},d2,2,1\n");
    }
    let world = csv(&log);
    world.refuses(
        &[],
        "log: expected many sessions, found 60 of 100 results in session `web-1`, which is more than \
        ingest.clean.max_session_fraction = 0.5; map a session id in ingest.log.columns that changes from visit to \
        visit",
    );
    assert_eq!(report(&world.output(&["ingest.clean.max_session_fraction=0.6"]), "log"), ["kept 100 50"]);
}

#[test]
fn robots_are_left_out_and_counted() {
    let mut log = String::from("session_id,query,doc_id,position,clicked\n");
    for query in 0..4 {
        log += &format!("crawler,tea {query},d1,1,1\n");
    }
    let world = csv(&log);
    let stage = world.output(&["ingest.clean.max_searches_per_session=3"]);
    assert_eq!(results(&stage, &ROW).len(), 0);
    assert_eq!(report(&stage, "log"), ["kept 40 20", "left_out 4 4 session of a robot"]);
    assert_eq!(report(&world.output(&["ingest.clean.max_searches_per_session=4"]), "log"), ["kept 44 24"]);
}

#[test]
fn rows_without_a_search_id_are_searches_of_their_visitor() {
    let log = "search_id,session_id,user_id,query,doc_id,position,clicked\n\
        7,ann,,tea,d1,1,0\n,bob,,tea,d1,1,0\n,bob,,tea,d2,2,1\n,,carl,tea,d1,1,1\n9,,,tea,d3,1,0\n";
    let stage = csv(log).output(&["ingest.privacy.user_ids=plain"]);
    let expected = [
        "7 ann d1 false",
        "9 9 d3 false",
        "bob/a9f74d1ec36ebdeb bob d1 false",
        "bob/a9f74d1ec36ebdeb bob d2 true",
        "carl/a9f74d1ec36ebdeb carl d1 true",
    ];
    assert_eq!(results(&stage, &ROW), expected);
}

#[test]
fn a_session_that_some_rows_name_holds_for_their_search() {
    let log = "search_id,session_id,query,doc_id,position,clicked\n\
        7,ann,tea,d1,1,0\n7,,tea,d2,2,1\n7,-,tea,d3,3,0\n";
    let stage = csv(log).output(&[]);
    assert_eq!(results(&stage, &ROW), ["7 ann d1 false", "7 ann d2 true", "7 ann d3 false"]);
}

#[test]
fn rows_without_any_id_are_one_search_at_one_time() {
    let log = "search_id,query,doc_id,position,clicked,shown_at\n\
        ,tea,d1,1,0,2026-03-01T08:00:00Z\n,tea,d2,2,1,2026-03-01T08:00:00Z\n,tea,d1,1,1,2026-03-01T08:00:05Z\n";
    let stage = csv(log).output(&[]);
    let expected = [
        "a9f74d1ec36ebdeb/1772352000000000 d1 false",
        "a9f74d1ec36ebdeb/1772352000000000 d2 true",
        "a9f74d1ec36ebdeb/1772352005000000 d1 true",
    ];
    assert_eq!(results(&stage, &["search_id", "doc_id", "clicked"]), expected);
    assert_eq!(report(&stage, "log"), ["kept 43 22"]);
}

#[test]
fn the_next_page_of_a_search_has_the_positions_after_the_first() {
    let log = "search_id,query,doc_id,position,clicked\n\
        7,tea,d3,11,1\n7,tea,d1,1,0\n7,tea,d2,2,0\n7,tea,d1,11,0\n";
    let stage = csv(log).output(&[]);
    // A document on both pages has its higher place.
    let expected = ["7 d1 1", "7 d2 2", "7 d3 11"];
    assert_eq!(results(&stage, &["search_id", "doc_id", "position"]), expected);
}
