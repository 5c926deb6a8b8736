//! Public formats, by the presets that map them.

use serde_json::{Value, json};
use tables::StageDir;

use crate::run::{World, report, rows};

const IMPRESSION: [&str; 4] = ["search_id", "doc_id", "position", "clicked"];
/// A second in microseconds.
const SECOND: i64 = 1_000_000;

/// True if so many lines of the log are left aside for `reason`.
fn left_aside(stage: &StageDir, reason: &str, lines: u32) -> bool {
    report(stage, "log").contains(&format!("no_row {lines} 0 {reason}"))
}

/// A table's rows in the order of their text.
fn sorted(stage: &StageDir, table: &str, columns: &[&str]) -> Vec<String> {
    let mut rows = rows(stage, table, columns);
    rows.sort();
    rows
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

fn ubi_query(number: u32, client: &str, query: &str) -> Value {
    json!({
        "query_id": format!("q{number}"), "client_id": client, "user_query": query, "timestamp": "2025-03-01T10:00:00Z",
        "query_response_hit_ids": ["d1", "d2", "d3"],
    })
}

fn ubi_event(number: u32, client: &str, action: &str, document: &str, position: u32) -> Value {
    json!({
        "action_name": action, "query_id": format!("q{number}"), "client_id": client, "session_id": "visit",
        "timestamp": "2025-03-01T10:00:05Z",
        "event_attributes": { "object": { "object_id": document }, "position": { "ordinal": position } },
    })
}

#[test]
fn user_behavior_insights() {
    let documents =
        "documents = { paths = ['documents.tsv'], format = 'tsv', columns = { doc_id = 'id', title = 'title' } }";
    let ingest = format!(
        "preset = 'ubi'\n{documents}\nclean = {{ min_grade_impressions = 1 }}\nlog = {{ paths = ['ubi*.jsonl'] }}"
    );
    let queries = [ubi_query(1, "c1", "Blue jacket"), ubi_query(2, "c2", "red shoes"), ubi_query(3, "c1", "tent")];
    let mut click = ubi_event(1, "c1", "click", "d2", 2);
    // An event may say what was searched, as the record of the query does.
    click["user_query"] = "Blue jacket".into();
    let events = [
        click,
        ubi_event(1, "c1", "impression", "d4", 4),
        ubi_event(2, "c2", "item_click", "d1", 1),
        ubi_event(3, "c1", "add_to_cart", "d3", 3),
        json!({ "action_name": "login", "client_id": "c1", "timestamp": "2025-03-01T09:59:00Z" }),
    ];
    let expected = [
        "q1 d1 1 false",
        "q1 d2 2 true",
        "q1 d3 3 false",
        "q1 d4 4 false",
        "q2 d1 1 true",
        "q2 d2 2 false",
        "q2 d3 3 false",
        "q3 d1 1 false",
        "q3 d2 2 false",
        "q3 d3 3 false",
    ];
    let one = [lines(&events), lines(&queries)].concat();
    for files in
        [vec![("ubi_queries.jsonl", lines(&queries)), ("ubi_events.jsonl", lines(&events))], vec![("ubi.jsonl", one)]]
    {
        let world = World::new(&ingest);
        files.into_iter().for_each(|(name, text)| world.file(name, text));
        let stage = world.output(&[]);
        assert_eq!(sorted(&stage, "impressions", &IMPRESSION), expected);
        assert_eq!(sorted(&stage, "queries", &["query", "searches"]), ["blue jacket 1", "red shoes 1", "tent 1"]);
        assert_eq!(sorted(&stage, "impressions", &["session_id"])[6..], ["c1", "c2", "c2", "c2"]);
        let clicked: Vec<String> = sorted(&stage, "pairs", &["doc_id", "impressions", "clicks"]);
        assert_eq!(clicked[..3], ["d1 1 0", "d1 1 0", "d1 1 1"]);
        assert_eq!(sorted(&stage, "judgments", &["grade"])[7..], ["0", "4", "4"]);
        assert!(left_aside(&stage, "record of another kind", 2));
    }
}

#[test]
fn user_behavior_insights_without_positions() {
    // A log may lack fields that the preset names.
    let world = World::new(
        "preset = 'ubi'\nlog = { paths = ['ubi.jsonl'] }\nclean = { min_grade_impressions = 1 }\n\
         documents = { paths = ['documents.tsv'], format = 'tsv', columns = { doc_id = 'id', title = 'title' } }",
    );
    let click = |number: u32, client: &str| {
        let mut event = ubi_event(number, client, "click", "d2", 2);
        event["event_attributes"].as_object_mut().unwrap().remove("position");
        event
    };
    let records = [
        ubi_query(1, "c1", "a"),
        ubi_query(2, "c2", "b"),
        ubi_query(3, "c3", "c"),
        click(1, "c1"),
        click(2, "c2"),
        click(3, "c3"),
    ];
    world.file("ubi.jsonl", lines(&records));
    let clicked = rows(&world.output(&[]), "impressions", &["doc_id", "position", "clicked"]);
    assert_eq!(clicked.iter().filter(|row| *row == "d2 2 true").count(), 3, "{clicked:?}");
}

/// Token ids as Baidu-ULTR has them.
fn tokens(text: &str) -> String {
    text.replace(' ', "\u{1}")
}

/// A line of a shown document of Baidu-ULTR.
fn baidu_line(position: u32, url: &str, title: &str, summary: &str, clicked: u8, dwell: f64) -> String {
    let (title, summary) = (tokens(title), tokens(summary));
    let tail = format!("-\t-\t0\t90\t3.5\t1.2\t0\t1\t90\t0\t{dwell}\t0\t0\t0\t0\t0\t-\t0\t0\t0\t0\t-\t0\t0\t0\t-");
    format!("{position}\t{url}\t{title}\t{summary}\t15\t{clicked}\t{tail}\n")
}

/// Three searches for two queries, and judgments of one of them and a third.
fn baidu(ingest: &str) -> World {
    let world = World::new(ingest);
    let query =
        |id: u32, query: &str, reformulation: &str| format!("{id}\t{}\t{}\n", tokens(query), tokens(reformulation));
    let log = [
        query(11, "21429 6 998", "21429 7"),
        baidu_line(1, "aa", "5 6", "7 8 9", 0, 0.0),
        baidu_line(2, "bb", "5 7", "1 2", 1, 42.5),
        query(12, "30 31", ""),
        baidu_line(1, "aa", "5 6", "7 8 9", 1, 3.0),
        baidu_line(2, "cc", "8 8", "", 0, 0.0),
        query(11, "21429 6 998", "-"),
        baidu_line(1, "aa", "5 6", "7 8 9", 1, 31.0),
        baidu_line(2, "bb", "5 7", "1 2", 0, 0.0),
    ];
    world.file("part-00000", log.concat());
    let judged = |qid: u32, query: &str, title: &str, grade: u8| {
        format!("{qid}\t{}\t{}\t{}\t{grade}\t3\n", tokens(query), tokens(title), tokens("1 1"))
    };
    let judgments =
        [judged(0, "21429 6 998", "5 6", 3), judged(0, "21429 6 998", "9 9", 0), judged(1, "77 78", "9 9", 4)];
    world.file("annotation.txt", judgments.concat());
    world
}

const BAIDU: &str = "preset = 'baidu-ultr'\nlog = { paths = ['part-*'] }\njudgments = { paths = ['annotation.txt'] }";
const BAIDU_IMPRESSIONS: [&str; 6] = [
    "part-00000:1 aa 1 false 0.0",
    "part-00000:1 bb 2 true 42.5",
    "part-00000:4 aa 1 true 3.0",
    "part-00000:4 cc 2 false 0.0",
    "part-00000:7 aa 1 true 31.0",
    "part-00000:7 bb 2 false 0.0",
];

#[test]
fn baidu_ultr() {
    let stage = baidu(BAIDU).output(&[]);
    let columns = ["search_id", "doc_id", "position", "clicked", "dwell_seconds"];
    assert_eq!(sorted(&stage, "impressions", &columns), BAIDU_IMPRESSIONS);
    let pairs = sorted(&stage, "pairs", &["doc_id", "impressions", "clicks", "satisfied_clicks"]);
    assert_eq!(pairs, ["aa 1 1 0", "aa 2 1 1", "bb 2 1 1", "cc 1 0 0"]);
    let mut titles = Vec::new();
    for judgment in rows(&stage, "judgments", &["doc_id", "grade"]) {
        let (document, grade) = judgment.split_once(' ').unwrap();
        let known = rows(&stage, "documents", &["doc_id", "title", "summary"]);
        let text = known.iter().find_map(|row| row.strip_prefix(document)).unwrap();
        titles.push(format!("{grade}{text}"));
    }
    titles.sort();
    assert_eq!(titles, ["0 9 9 1 1", "3 5 6 1 1", "4 9 9 1 1"]);
    assert!(left_aside(&stage, "record of a search without a document", 3));
}

#[test]
fn token_ids_pass_as_words() {
    let stage = baidu(BAIDU).output(&[]);
    assert_eq!(sorted(&stage, "queries", &["query", "searches"]), ["21429 6 998 2", "30 31 1", "77 78 0"]);
    let mut documents = sorted(&stage, "documents", &["doc_id", "title", "summary"]);
    // The judged documents have longer ids.
    documents.retain(|row| row.find(' ') == Some(2));
    assert_eq!(documents, ["aa 5 6 7 8 9", "bb 5 7 1 2", "cc 8 8 "]);
}

#[test]
fn judgments_may_have_another_format_than_the_preset() {
    // A third query, as each part needs one.
    let world = baidu(
        "preset = 'baidu-ultr'\nlog = { paths = ['part-*'] }\n\
         judgments = { format = 'clicks' }\nclean = { min_grade_impressions = 1 }",
    );
    world.file(
        "part-00001",
        format!("13\t77\t\n{}{}", baidu_line(1, "bb", "5 7", "1 2", 1, 9.0), baidu_line(2, "cc", "8 8", "", 0, 0.0)),
    );
    let judgments = sorted(&world.output(&[]), "judgments", &["doc_id"]);
    assert_eq!(judgments, ["aa", "aa", "bb", "bb", "cc", "cc"]);
}

#[test]
fn tripclick() {
    let world = World::new(
        "preset = 'tripclick'\nlog = { paths = ['2014*.json'] }\ndocuments = { paths = ['allarticles.txt'] }\n\
         clean = { min_grade_impressions = 1 }",
    );
    let click = |session: &str, query: &str, document: u32, shown: Option<&str>, time: i64| {
        json!({
            "DateCreated": format!("/Date({time})/"), "Keywords": query, "DocumentId": document, "Documents": shown,
            "SessionId": session, "Title": "a title", "Url": "http://a", "RelevanceScore": 0.9,
        })
    };
    let page = Some(r#"["1:0.93","2:0.9","3:0.71"]"#);
    let records = [
        click("s1", "Asthma", 2, page, 1_400_000_000_000),
        click("s1", "Asthma", 3, page, 1_400_000_005_000),
        click("s2", "asthma children", 1, Some("[1:0.9,2:0.8]"), 1_400_000_100_000),
        click("s3", "flu", 6, Some(r#"["6:1.0","1:0.2"]"#), 1_400_000_200_000),
        click("s3", "flu", 1, None, 1_400_000_210_000),
    ];
    world.file("2014-05-13.json", lines(&records));
    world.file("allarticles.txt", (1..7).map(|id| format!("{id}\tArticle {id}\thttp://a/{id}\n")).collect::<String>());
    let stage = world.output(&[]);
    let first = 1_400_000_000 * SECOND;
    let expected = [
        format!("s1 1 1 false {first}"),
        format!("s1 2 2 true {first}"),
        format!("s1 3 3 true {first}"),
        format!("s2 1 1 true {}", first + 100 * SECOND),
        format!("s2 2 2 false {}", first + 100 * SECOND),
        format!("s3 1 2 true {}", first + 200 * SECOND),
        format!("s3 6 1 true {}", first + 200 * SECOND),
    ];
    assert_eq!(sorted(&stage, "impressions", &["session_id", "doc_id", "position", "clicked", "shown_at"]), expected);
    assert_eq!(sorted(&stage, "queries", &["query", "searches"]), ["asthma 1", "asthma children 1", "flu 1"]);
    let pairs = sorted(&stage, "pairs", &["doc_id", "impressions", "clicks"]);
    assert_eq!(pairs, ["1 1 0", "1 1 1", "1 1 1", "2 1 0", "2 1 1", "3 1 1", "6 1 1"]);
    let grades = sorted(&stage, "judgments", &["doc_id", "grade"]);
    assert_eq!(grades.iter().filter(|row| row.ends_with(" 0")).collect::<Vec<_>>(), ["1 0", "2 0"]);
    assert_eq!(rows(&stage, "documents", &["doc_id", "title"])[0], "1 Article 1");
}

#[test]
fn sogou() {
    let world = World::new(
        "preset = 'sogou'\nlog = { paths = ['SogouQ*'] }\n\
         documents = { paths = ['pages.tsv'], format = 'tsv', columns = { doc_id = 'url', title = 'title' } }\n\
         judgments = { format = 'csv', paths = ['judged.csv'], columns = { query = 'q', doc_id = 'url', grade = 'g' } }",
    );
    world.file("SogouQ.2008", "00:00:00\t2982\t[360安全卫士]\t8 3\tu1\n00:00:01\t2982\t[360安全卫士]\t1 1\tu2\n");
    world.file("SogouQ.tabs", "00:00:09\t77\t[Maps]\t1\t1\tu3\n00:00:10\t77\t[[x] tent]\t2\t1\tu2\n");
    // One who clicks much is no robot, as nothing but clicks is there.
    let many: String = (1..21).map(|rank| format!("20111230000106\tmany\tsongs\t{rank}\t1\tu{rank}\n")).collect();
    world.file("SogouQ.2012", format!("20111230000005\tuser9\tmaps\t4\t1\tu3\n{many}"));
    let pages: String = (1..25).map(|page| format!("u{page}\tpage {page}\n")).collect();
    world.file("pages.tsv", format!("url\ttitle\n{pages}"));
    world.file("judged.csv", "q,url,g\nmaps,u3,2\nmaps,u2,0\n360安全卫士,u1,1\n");
    let stage = world.output(&[]);
    let impressions = sorted(&stage, "impressions", &["session_id", "doc_id", "position", "clicked"]);
    assert_eq!(impressions.len(), 25);
    assert_eq!(impressions[..4], ["2982 u1 1 true", "2982 u2 1 true", "77 u2 2 true", "77 u3 1 true"]);
    assert_eq!(impressions[24], "user9 u3 4 true");
    let queries = sorted(&stage, "queries", &["query", "searches"]);
    assert_eq!(queries, ["360安全卫士 1", "[x] tent 1", "maps 2", "songs 1"]);
    assert_eq!(sorted(&stage, "judgments", &["doc_id", "grade"]), ["u1 1", "u2 0", "u3 2"]);
    assert!(sorted(&stage, "pairs", &["doc_id", "clicks"]).contains(&"u3 2".to_string()));
}

#[test]
fn yandex() {
    let world = World::new(
        "preset = 'yandex'\nlog = { paths = ['train'] }\nclean = { min_grade_impressions = 1 }\n\
         privacy = { user_ids = 'plain' }\n\
         documents = { paths = ['urls.tsv'], format = 'tsv', columns = { doc_id = 'url', title = 'title' } }",
    );
    let log = "5\tM\t3\t900\n5\t0\tQ\t0\t192\t4857,3847\t61,7\t62,7\t63,8\n5\t14\tC\t0\t62\n\
        5\t30\tQ\t1\t193\t11\t62,7\t64,9\n\
        5\t60\tQ\t2\t194\t12,13\t65,9\t66,9\n5\t66\tC\t2\t66\n\
        6\tM\t4\t901\n6\t0\tQ\t0\t192\t4857,3847\t61,7\t62,7\t63,8\n6\t9\tC\t0\t61\n6\t20\tT\t1\t193\t11\t62,7\t64,9\n";
    world.file("train", log);
    world.file("urls.tsv", "url\ttitle\n61\tone\n62\ttwo\n63\tthree\n64\tfour\n65\tfive\n66\tsix\n");
    let stage = world.output(&[]);
    let expected = [
        "1 62 1 false 900",
        "1 64 2 false 900",
        "2 65 1 false 900",
        "2 66 2 true 900",
        "5/0 61 1 false 900",
        "5/0 62 2 true 900",
        "5/0 63 3 false 900",
        "6/0 61 1 true 901",
        "6/0 62 2 false 901",
        "6/0 63 3 false 901",
    ];
    assert_eq!(sorted(&stage, "impressions", &["search_id", "doc_id", "position", "clicked", "user_id"]), expected);
    let queries = sorted(&stage, "queries", &["query_id", "query", "searches"]);
    assert_eq!(queries, ["192 4857,3847 2", "193 11 1", "194 12,13 1"]);
    let pairs = sorted(&stage, "pairs", &["query_id", "doc_id", "impressions", "clicks"]);
    assert_eq!(
        pairs,
        ["192 61 2 1", "192 62 2 1", "192 63 2 0", "193 62 1 0", "193 64 1 0", "194 65 1 0", "194 66 1 1"]
    );
    let grades = sorted(&stage, "judgments", &["query_id", "doc_id", "grade"]);
    assert_eq!(grades, ["192 61 4", "192 62 4", "192 63 0", "193 62 0", "193 64 0", "194 65 0", "194 66 4"]);
    // Two lines of sessions, and the page of a test query.
    assert!(left_aside(&stage, "record of another kind", 3));
}

/// Documents of MS MARCO, with a quote that nothing closes and a title that is empty.
const DOCS: &str = "D1\thttp://1\tOne\tbody \"one\nD2\thttp://2\tTwo\tbody two\nD3\thttp://3\t\tbody three\n";
const DOCS_TABLE: [&str; 3] = ["D1 One body \"one", "D2 Two body two", "D3  body three"];

#[test]
fn orcas() {
    let world = World::new(
        "preset = 'orcas'\nlog = { paths = ['orcas.tsv'] }\ndocuments = { paths = ['msmarco-docs.tsv'] }\n\
         judgments = { paths = ['qrels.tsv'] }",
    );
    world.file(
        "orcas.tsv",
        "7\tCats\tD1\thttp://1\n7\tCats\tD2\thttp://2\n8\tdogs\tD1\thttp://1\n9\tbirds\tD3\thttp://3\n",
    );
    world.file("msmarco-docs.tsv", DOCS);
    world.file("qrels.tsv", "7 0 D1 1\n8 0 D1 1\n8 0 D3 0\n");
    let stage = world.output(&[]);
    let expected = ["7 D1 1 true", "7 D2 1 true", "8 D1 1 true", "9 D3 1 true"];
    assert_eq!(sorted(&stage, "impressions", &IMPRESSION), expected);
    assert_eq!(sorted(&stage, "queries", &["query_id", "query", "searches"]), ["7 cats 1", "8 dogs 1", "9 birds 1"]);
    assert_eq!(sorted(&stage, "pairs", &["query_id", "doc_id", "clicks"]), ["7 D1 1", "7 D2 1", "8 D1 1", "9 D3 1"]);
    assert_eq!(sorted(&stage, "judgments", &["query_id", "doc_id", "grade"]), ["7 D1 1", "8 D1 1", "8 D3 0"]);
    assert_eq!(rows(&stage, "documents", &["doc_id", "title", "summary"]), DOCS_TABLE);
}

#[test]
fn ms_marco() {
    let passages = "D1\ta cat is\nD2\tthe \"dog\n";
    let tables =
        [("msmarco", passages, &["D1  a cat is", "D2  the \"dog"][..]), ("msmarco-docs", DOCS, &DOCS_TABLE[..])];
    for (preset, documents, expected) in tables {
        let world = World::new(&format!(
            "preset = '{preset}'\ndocuments = {{ paths = ['collection.tsv'] }}\n\
             [judgments]\nqueries = {{ paths = ['queries.*.tsv'] }}\n\
             splits = {{ train = ['qrels.train.tsv'], test = ['qrels.dev.tsv'] }}"
        ));
        world.file("collection.tsv", documents);
        world.file("queries.train.tsv", "1\tWhat is a cat\n3\tcats\n");
        world.file("queries.dev.tsv", "2\tdog \"food\n");
        world.file("qrels.train.tsv", "1\t0\tD1\t1\n3\t0\tD2\t1\n");
        world.file("qrels.dev.tsv", "2\t0\tD2\t1\n");
        let stage = world.output(&[]);
        assert_eq!(rows(&stage, "documents", &["doc_id", "title", "summary"]), expected);
        let queries = sorted(&stage, "queries", &["query_id", "query", "searches"]);
        assert_eq!(queries, ["1 what is a cat 0", "2 dog \"food 0", "3 cats 0"]);
        assert_eq!(sorted(&stage, "judgments", &["query_id", "doc_id", "grade"]), ["1 D1 1", "2 D2 1", "3 D2 1"]);
        let splits = sorted(&stage, "queries", &["split", "query_id"]);
        assert!(splits.contains(&"test 2".to_string()), "{splits:?}");
        assert_eq!((rows(&stage, "impressions", &["doc_id"]).len(), rows(&stage, "pairs", &["doc_id"]).len()), (0, 0));
    }
}

#[test]
fn mind() {
    let world =
        World::new("preset = 'mind'\nlog = { paths = ['behaviors.tsv'] }\ndocuments = { paths = ['news.tsv'] }");
    let log = "1\tU1\t11/15/2019 10:22:32 AM\tN1 N2\tN3-0 N4-1\n2\tU2\t11/15/2019 1:05:00 PM\tN2\tN3-1 N4-0 N5-0\n\
        3\tU1\t11/16/2019 12:00:01 AM\tN1 N2\tN5-1 N3-0\n5\tU5\t11/16/2019 12:00:01 AM\tN1\tN5-1 N3-0\n\
        4\tU3\t11/16/2019 12:00:01 AM\t\tN5-0\n";
    world.file("behaviors.tsv", log);
    let entity = r#"[{"Label": "a", "Type": "P"}]"#;
    let news = |id: u32| format!("N{id}\tnews\tworld\tTitle {id}\tAbstract \"{id}\thttps://n/{id}\t{entity}\t[]\n");
    world.file("news.tsv", (1..6).map(news).collect::<String>());
    let stage = world.output(&[]);
    let [first, second, third] = [1_573_813_352 * SECOND, 1_573_823_100 * SECOND, 1_573_862_401 * SECOND];
    let expected = [
        format!("1 U1 N3 1 false {first}"),
        format!("1 U1 N4 2 true {first}"),
        format!("2 U2 N3 1 true {second}"),
        format!("2 U2 N4 2 false {second}"),
        format!("2 U2 N5 3 false {second}"),
        format!("3 U1 N3 2 false {third}"),
        format!("3 U1 N5 1 true {third}"),
        format!("5 U5 N3 2 false {third}"),
        format!("5 U5 N5 1 true {third}"),
    ];
    let columns = ["search_id", "session_id", "doc_id", "position", "clicked", "shown_at"];
    assert_eq!(sorted(&stage, "impressions", &columns), expected);
    assert_eq!(sorted(&stage, "queries", &["query", "searches"]), ["n1 1", "n1 n2 2", "n2 1"]);
    let pairs = sorted(&stage, "pairs", &["doc_id", "impressions", "clicks"]);
    assert_eq!(pairs, ["N3 1 0", "N3 1 1", "N3 2 0", "N4 1 0", "N4 1 1", "N5 1 0", "N5 1 1", "N5 1 1"]);
    let grades = sorted(&stage, "judgments", &["doc_id", "grade"]);
    assert_eq!(grades, ["N3 0", "N3 0", "N3 4", "N4 0", "N4 4", "N5 0", "N5 4", "N5 4"]);
    assert_eq!(rows(&stage, "documents", &["doc_id", "title", "summary"])[0], "N1 Title 1 Abstract \"1");
    assert_eq!(rows(&stage, "rejects", &["line", "reason"]), ["5 empty query"]);
}
