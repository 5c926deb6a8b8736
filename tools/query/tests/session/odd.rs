//! Odd statements: each ends with its rows or with one line, and the session goes on.

use query::Format;
use serde_json::Value;

use crate::fixture::{answer, open, refusal, run_on_disk};

/// The statements of `golden/statements.sql` come to what DuckDB's Python client makes of them.
#[test]
fn odd_statements_end_as_in_duckdb() {
    let (_root, pipeline) = run_on_disk();
    let golden: Vec<Value> = serde_json::from_str(include_str!("../golden/statements.json")).unwrap();
    assert!(golden.len() > 190);
    let database = open(&pipeline);
    answer(&database, "create temp table kept as select 42 as answer", Format::Csv);
    let mut wrong = Vec::new();
    for entry in golden {
        let sql = entry["sql"].as_str().unwrap();
        let mut out = Vec::new();
        let found = match database.answer(sql, Format::Csv, None, &mut out) {
            Ok(()) => String::from_utf8(out).unwrap(),
            Err(error) => format!("{error:#}"),
        };
        let right = match (entry["rows"].as_str(), entry["error"].as_str()) {
            (Some(rows), _) => found == rows,
            (None, Some(error)) => found.starts_with(&format!("SQL: {}", beginning(error))) && !found.contains('\n'),
            _ => false,
        };
        if !right {
            wrong.push(format!("{sql}\n  expected {entry}\n  found {found:?}"));
        }
        for format in [Format::Json, Format::Table] {
            let _ = database.answer(sql, format, Some(80), &mut Vec::new());
        }
        assert_eq!(answer(&database, "from kept", Format::Csv), "answer\r\n42\r\n", "{sql}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An error without what follows from the names and files of one database: its kind and its first words.
fn beginning(error: &str) -> &str {
    let end = error.find(" Did you mean").or_else(|| error.find(" Candidate"));
    let error = &error[..end.unwrap_or(error.len())];
    if error.starts_with("IO Error: ") { "" } else { error }
}

#[test]
fn what_no_other_client_tells_ends_with_one_line() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let deep = format!("select {}1{}", "(".repeat(5000), ")".repeat(5000));
    refusal(&database, &deep);
    let long = format!("select {}1", "1 + ".repeat(20_000));
    let _ = database.answer(&long, Format::Csv, None, &mut Vec::new());
    let nested = format!("select '{}{}'::json", "[".repeat(100_000), "]".repeat(100_000));
    let _ = database.answer(&nested, Format::Csv, None, &mut Vec::new());
    refusal(&database, "select 'a\0b'");
    for (sql, reason) in [
        ("select $1", "SQL: Wrong number of parameters passed to query. Got 0, needed 1"),
        ("from run_table(null)", "run_table: expected the name of a table, found NULL"),
        ("select ?", "SQL: Wrong number of parameters passed to query. Got 0, needed 1"),
        ("select $name", "SQL: Wrong number of parameters passed to query. Got 0, needed 1"),
        ("set nosuch = 1", "the configuration has been locked; `--unsafe` opens files and settings"),
        ("show tables from nowhere", "SQL: Catalog Error: SHOW TABLES FROM"),
        ("execute nosuch", "SQL: Binder Error: Prepared statement \"nosuch\" does not exist"),
    ] {
        let text = refusal(&database, sql);
        assert!(text.contains(reason), "{sql}: {text}");
    }
    let sql = "select value from duckdb_settings() where name = 'enable_external_access'";
    assert_eq!(answer(&database, sql, Format::Csv), "value\r\nfalse\r\n");
}

#[test]
fn statements_of_every_kind_leave_the_session_as_it_was() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let steps = [
        ("create temp table t(a int primary key, b varchar default 'x')", ""),
        ("insert into t(a) values (1), (2)", "Count\r\n2\r\n"),
        (
            "insert into t values (1, 'y') on conflict do update set b = excluded.b returning a, b, null as n",
            "a,b,n\r\n1,y,\r\n",
        ),
        ("with gone as (delete from t where a = 2 returning *) select * from gone", "a,b\r\n2,x\r\n"),
        ("prepare p as select a, $1::int as n, null as none from t", ""),
        ("execute p(7)", "a,n,none\r\n1,7,\r\n"),
        ("set variable v = 3", ""),
        ("select getvariable('v') as v", "v\r\n3\r\n"),
        ("create macro plus(x) as x + 1", ""),
        ("select plus(1) as p", "p\r\n2\r\n"),
        ("create sequence s", ""),
        ("select nextval('s') as n", "n\r\n1\r\n"),
        ("select nextval('s') as n", "n\r\n2\r\n"),
        ("begin", ""),
        ("delete from t", "Count\r\n1\r\n"),
        ("rollback", ""),
        ("select count(*) as n from t", "n\r\n1\r\n"),
        ("create type mood as enum ('a', 'b')", ""),
        ("select 'a'::mood as m", "m\r\na\r\n"),
        ("create schema other", ""),
        ("create table other.u as select 5 as five", "Count\r\n1\r\n"),
        ("use other", ""),
        ("from u", "five\r\n5\r\n"),
        ("use memory.main", ""),
        ("attach ':memory:' as second", ""),
        ("use second", ""),
        ("select count(*) as n from memory.main.documents", "n\r\n120\r\n"),
        ("use memory", ""),
        ("detach second", ""),
        ("pivot (select left(doc_id, 1) as letter from documents) on letter using count(*)", "d\r\n120\r\n"),
        ("drop view metrics", ""),
        ("create view metrics as select 1 as mine", ""),
        ("from metrics", "mine\r\n1\r\n"),
        ("checkpoint", ""),
        ("vacuum", ""),
        ("select count(*) > 5 as many from (show all tables)", "many\r\ntrue\r\n"),
        ("select \"a\" from t -- the last line is a comment", "a\r\n1\r\n"),
        ("select 1 as one /* and so is this */", "one\r\n1\r\n"),
    ];
    for (sql, expected) in steps {
        assert_eq!(answer(&database, sql, Format::Csv), expected, "{sql}");
    }
    let plan = answer(&database, "explain select count(*) from documents", Format::Table);
    assert!(plan.contains("RUN_TABLE") || plan.to_lowercase().contains("run_table"), "{plan}");
}
