//! What is kept about users.

use crate::run::{World, csv, report, results, rows};

const LOG: &str = "search_id,user_id,query,doc_id,position,clicked\n\
    k1,ann,tea,d1,1,0\nk1,ann,tea,d2,2,1\nk2,bob,tea,d1,1,1\nk3,ann,pot,d1,1,0\nk4,,cup,d1,1,0\n";

const ROW: [&str; 3] = ["search_id", "user_id", "doc_id"];

// printf ann | openssl dgst -sha256 -hmac pepper
const ANN: &str = "62ac51ded8a2e8b977c55c069a6e4940";
const BOB: &str = "5e77fd7015b5fc631c91afce8c9040b5";

#[test]
fn without_a_key_user_ids_are_not_kept() {
    let stage = csv(LOG).output(&[]);
    assert_eq!(results(&stage, &ROW), ["k1 - d1", "k1 - d2", "k2 - d1", "k3 - d1", "k4 - d1"]);
    // An empty key is none.
    let stage = csv(LOG).output_with(Some(""), &[]);
    assert_eq!(results(&stage, &["user_id"]), ["-", "-", "-", "-", "-"]);
}

#[test]
fn with_a_key_user_ids_are_hashed() {
    let world = csv(LOG);
    let stage = world.output_with(Some("pepper"), &[]);
    let expected = [
        format!("k1 {ANN} d1"),
        format!("k1 {ANN} d2"),
        format!("k2 {BOB} d1"),
        format!("k3 {ANN} d1"),
        "k4 - d1".to_string(),
    ];
    assert_eq!(results(&stage, &ROW), expected);
    // Another key makes the tables anew.
    let stage = world.output_with(Some("salt"), &[]);
    // printf bob | openssl dgst -sha256 -hmac salt
    assert_eq!(results(&stage, &ROW)[2], "k2 876ccb7de6bc3ec9b3a2cdc487035159 d1");
    let stage = world.output_with(None, &[]);
    assert_eq!(results(&stage, &ROW)[2], "k2 - d1");
}

#[test]
fn user_ids_are_plain_or_dropped_where_the_configuration_says_so() {
    let world = csv(LOG);
    let stage = world.output_with(Some("pepper"), &["ingest.privacy.user_ids=plain"]);
    assert_eq!(results(&stage, &ROW), ["k1 ann d1", "k1 ann d2", "k2 bob d1", "k3 ann d1", "k4 - d1"]);
    let stage = world.output_with(Some("pepper"), &["ingest.privacy.user_ids=dropped"]);
    assert_eq!(results(&stage, &ROW), ["k1 - d1", "k1 - d2", "k2 - d1", "k3 - d1", "k4 - d1"]);
}

#[test]
fn a_log_whose_only_ids_are_those_of_users_needs_a_key() {
    let log = "user_id,query,doc_id,position,clicked\nann,tea,d1,1,0\nann,tea,d2,2,1\nbob,tea,d1,1,1\n";
    let world = csv(log);
    let expected = "ingest.log.columns: expected search_id or session_id, found user_id alone, which is not kept; \
        set the environment variable DISRANKER_USER_KEY, or ingest.privacy.user_ids = \"plain\"";
    world.misconfigured(&[], expected);
    world.misconfigured(&["ingest.privacy.user_ids=dropped"], expected);
    let stage = world.output_with(Some("pepper"), &[]);
    // printf tea | sha256sum
    let expected = [
        format!("{BOB}/a9f74d1ec36ebdeb {BOB} d1"),
        format!("{ANN}/a9f74d1ec36ebdeb {ANN} d1"),
        format!("{ANN}/a9f74d1ec36ebdeb {ANN} d2"),
    ];
    let mut found = results(&stage, &ROW);
    found.retain(|row| !row.ends_with(" d8") && !row.ends_with(" d9"));
    assert_eq!(found, expected);
    let stage = world.output(&["ingest.privacy.user_ids=plain"]);
    assert_eq!(rows(&stage, "impressions", &["session_id"])[0], "ann");
}

/// `tea` of three users, `pot` of two and `cup` of one who asks it twice.
fn asked() -> World {
    csv("search_id,session_id,user_id,query,doc_id,position,clicked\n\
        k1,s1,ann,tea,d1,1,1\nk2,s2,bob,tea,d1,1,0\nk3,s3,carl,tea,d1,1,0\n\
        k4,s1,ann,pot,d1,1,1\nk5,s2,bob,pot,d1,1,0\n\
        k6,s3,carl,cup,d1,1,1\nk7,s4,carl,cup,d1,1,0\n")
}

#[test]
fn queries_of_few_users_are_left_out() {
    let plain = "ingest.privacy.user_ids=plain";
    let stage = asked().output(&[plain, "ingest.privacy.min_query_users=2"]);
    assert_eq!(results(&stage, &["search_id"]), ["k1", "k2", "k3", "k4", "k5"]);
    assert_eq!(report(&stage, "log"), ["kept 45 22", "left_out 2 1 query of too few users"]);
    let queries = rows(&stage, "queries", &["query"]);
    assert!(!queries.contains(&"cup".to_string()), "{queries:?}");
    assert_eq!(
        rows(&stage, "rejects", &["content"])[0],
        "search_id=k6 session_id=s3 query=cup doc_id=d1 position=1 clicked=true"
    );

    let stage = asked().output_with(Some("pepper"), &["ingest.privacy.min_query_users=2"]);
    assert_eq!(results(&stage, &["search_id"]), ["k1", "k2", "k3", "k4", "k5"]);
    let stage = asked().output(&[plain, "ingest.privacy.min_query_users=1"]);
    assert_eq!(report(&stage, "log"), ["kept 47 23"]);
    asked().refuses(
        &[plain, "ingest.privacy.min_query_users=9"],
        "47 of 47 rows are lost, which is more than \
        ingest.clean.max_lost_fraction = 0.2; 47 of them for \"query of too few users\"",
    );
    asked().refuses(
        &[plain, "ingest.privacy.min_query_users=9"],
        "lower ingest.privacy.min_query_users, or raise the limit",
    );
}
