//! Query texts: what looks alike is one query, and what is too long is counted.

use crate::run::{csv, jsonl, report, results, rows};

#[test]
fn queries_that_look_alike_are_one_query() {
    let spellings = [
        "Καλός",
        "ΚΑΛΌΣ",
        "καλό\u{200b}ς",
        "\u{feff}καλός",
        "καλ\u{ad}ός",
        "\u{202a}καλός\u{202c}",
        " καλός\u{a0}",
        "καλο\u{301}ς",
        "καλόσ",
    ];
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for (search, spelling) in (10..).zip(spellings) {
        log += &format!("k{search},{spelling},d1,1,0\nk{search},{spelling},d2,2,1\n");
    }
    let stage = csv(&log).output(&[]);
    let mut queries = rows(&stage, "queries", &["searches", "query"]);
    queries.retain(|row| !row.contains("filler"));
    assert_eq!(queries, ["9 καλόσ"]);
    assert_eq!(rows(&stage, "pairs", &["doc_id", "impressions"]).len(), 22);
}

#[test]
fn more_spellings_of_one_query() {
    for (spelling, query) in [
        ("Straße 7", "strasse 7"),
        ("İstanbul", "istanbul"),
        ("ＴＥＡ　ｐｏｔ", "tea pot"),
        ("ﬁne tea", "fine tea"),
        ("tea\u{2003}\u{2009}pot", "tea pot"),
        ("te\u{2060}a\u{180e} pot", "tea pot"),
        ("شـاي", "شاي"),
    ] {
        let log = format!("search_id,query,doc_id,position,clicked\nk1,{spelling},d1,1,0\nk1,{spelling},d2,2,1\n");
        let queries = rows(&csv(&log).output(&[]), "queries", &["query"]);
        assert!(queries.contains(&query.to_string()), "{spelling}: {queries:?}");
    }
}

#[test]
fn what_differs_to_the_eye_stays_apart() {
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for query in ["resume", "résumé", "c", "c++", "c#", "tea", "te a", "12", "1 2"] {
        log += &format!("k-{query},{query},d1,1,0\n");
    }
    let stage = csv(&log).output(&[]);
    assert_eq!(rows(&stage, "queries", &["query"]).len(), 19);
}

#[test]
fn a_query_of_invisible_characters_is_empty() {
    let log = "search_id,query,doc_id,position,clicked\n\
        k1,\u{200b},d1,1,0\nk2,\u{feff}\u{ad},d1,1,1\nk3,\" \t \",d1,1,0\nk4,\u{a0},d1,1,0\n";
    let stage = csv(log).output(&[]);
    assert_eq!(results(&stage, &["search_id"]).len(), 0);
    assert_eq!(report(&stage, "log"), ["kept 40 20", "left_out 4 1 empty query"]);
}

#[test]
fn the_split_of_a_query_does_not_depend_on_its_spelling() {
    let columns = ["search_id", "query", "doc_id", "position", "clicked"];
    let log = r#"{"search_id": "k1", "query": "Tea\u200b POT", "doc_id": "d1", "position": 1, "clicked": 1}"#;
    let one = jsonl(&columns, log).output(&[]);
    let log = r#"{"search_id": "k1", "query": "tea  pot", "doc_id": "d1", "position": 1, "clicked": 1}"#;
    let other = jsonl(&columns, log).output(&[]);
    let columns = ["query_id", "query", "split"];
    assert_eq!(rows(&one, "queries", &columns), rows(&other, "queries", &columns));
}

#[test]
fn queries_that_are_too_long_are_counted_aloud() {
    let question = "which of these pots keeps tea warm for longest ".repeat(5);
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for search in 0..9 {
        log += &format!("k{search},{question}{search},d1,1,0\n");
    }
    let world = csv(&log);
    let stage = world.output(&[]);
    assert_eq!(report(&stage, "log"), ["kept 40 20", "left_out 9 0 query too long"]);
    world.warns(
        &["ingest.clean.satisfied_dwell_seconds=20"],
        "log: 9 of 49 rows (18.4 %) left out, with 0 of 20 clicks (0.0 %): query too long, such as \
        `k0,which of these pots",
    );
    let refused = "log: 9 of 49 rows are lost, which is more than ingest.clean.max_lost_fraction = 0.1; 9 of them \
        for \"query too long\", such as `k0,which of these pots";
    world.refuses(&["ingest.clean.max_lost_fraction=0.1"], refused);
    world.refuses(&["ingest.clean.max_lost_fraction=0.1"], "raise ingest.clean.max_query_chars, or raise the limit");
    let stage = world.output(&["ingest.clean.max_query_chars=300"]);
    assert_eq!(report(&stage, "log"), ["kept 49 20"]);
}

#[test]
fn the_length_of_a_query_is_counted_in_characters() {
    let log = "search_id,query,doc_id,position,clicked\nk1,ééééé,d1,1,0\nk2,eeeeee,d1,1,1\n";
    let stage = csv(log).output(&["ingest.clean.max_query_chars=8"]);
    assert_eq!(results(&stage, &["search_id"]), ["k1", "k2"]);
    let world = csv("search_id,query,doc_id,position,clicked\nk1,filler é,d1,1,0\nk2,filler 100,d1,1,1\n");
    let stage = world.output(&["ingest.clean.max_query_chars=8"]);
    assert_eq!(results(&stage, &["search_id"]), ["k1"]);
}

#[test]
fn rows_between_two_stray_quotes_are_not_lost_in_a_query() {
    let row = |n: usize| format!("k{n},tea {n},d1,1,0\nk{n},tea {n},d2,2,1\n");
    let rows = |numbers: std::ops::Range<usize>| numbers.map(row).collect::<String>();
    let header = "search_id,query,doc_id,position,clicked\n";
    let log = format!("{header}{}k7,\"pot,d1,1,0\n{}k9,cup\",d2,2,1\n{}", rows(0..20), rows(20..22), rows(22..200));
    let (code, stderr) = csv(&log).run(&[]);
    let reason = "log.csv:42: the query holds whole lines, as a quote in it is not doubled";
    assert!(code == 3 && stderr.contains(reason), "{code} {stderr}");
    assert!(stderr.contains("the first of 6 malformed among"), "{stderr}");
    // Of a query over two lines, commas alone are no fields.
    let log = format!("{header}k1,\"tea, pot, cup, can, jar, tin\nand more\",d1,1,0\nk2,cup,d2,1,1\nk3,can,d2,1,1\n");
    assert_eq!(results(&csv(&log).output(&[]), &["search_id", "doc_id"]), ["k1 d1", "k2 d2", "k3 d2"]);
}
