//! Values as text, and in every format.

use query::Format;
use serde_json::{Value, json};

use crate::fixture::{answer, open, run_on_disk};

#[test]
fn values_reach_every_format() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let sql = "select user_id, position, dwell_seconds, clicked, shown_at, [position, null] as l \
               from impressions order by position";
    assert_eq!(
        answer(&database, sql, Format::Csv),
        "user_id,position,dwell_seconds,clicked,shown_at,l\r\n\
         ,1,2.5,true,2024-02-29 23:59:59.5,\"[1, NULL]\"\r\n\
         \"it's, \"\"u\"\"\",2,,false,,\"[2, NULL]\"\r\n"
    );
    let rows: Value = serde_json::from_str(&answer(&database, sql, Format::Json)).unwrap();
    let expected = json!([
        {"user_id": null, "position": 1, "dwell_seconds": 2.5, "clicked": true,
         "shown_at": "2024-02-29 23:59:59.5", "l": [1, null]},
        {"user_id": "it's, \"u\"", "position": 2, "dwell_seconds": null, "clicked": false,
         "shown_at": null, "l": [2, null]},
    ]);
    assert_eq!(rows, expected);
    let table = answer(&database, sql, Format::Table);
    assert!(table.contains("NULL") && table.contains("it's, \"u\""), "{table}");
}

/// The values of DuckDB's own list of all types are those of its Python client.
#[test]
fn every_type_reads_as_in_duckdb() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let golden: Vec<Value> = serde_json::from_str(include_str!("../golden/values.json")).unwrap();
    let names: Vec<&str> = golden.iter().map(|column| column["name"].as_str().unwrap()).collect();
    let known = answer(&database, "select count(*) as n from (describe from test_all_types())", Format::Csv);
    assert_eq!(known, format!("n\r\n{}\r\n", names.len()));
    for (name, column) in names.iter().zip(&golden) {
        let sql = format!("select \"{name}\" as v from test_all_types()");
        let expected: Vec<String> = column["rows"].as_array().unwrap().iter().map(csv).collect();
        assert_eq!(answer(&database, &sql, Format::Csv), format!("v\r\n{}\r\n", expected.join("\r\n")), "{name}");
        answer(&database, &sql, Format::Table);
        let json = answer(&database, &sql, Format::Json);
        if *name == "bignum" {
            // Its digits are JSON, and more than this reader of JSON takes.
            continue;
        }
        let rows: Value = serde_json::from_str(&json).unwrap();
        for (row, expected) in rows.as_array().unwrap().iter().zip(column["rows"].as_array().unwrap()) {
            assert_eq!(row["v"].is_null(), expected.is_null(), "{name}");
            if row["v"].is_string() {
                assert_eq!(&row["v"], expected, "{name}");
            }
        }
    }
}

/// A value as a field of CSV.
fn csv(value: &Value) -> String {
    match value.as_str() {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\r', '\n']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.into(),
    }
}

#[test]
fn json_is_json_whatever_the_values_are() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let sql = "select null, null, 'inf'::double as i, {'a': ['nan'::double, 1], 'b': map {'k': date 'infinity'}} as s, \
               170141183460469231731687303715884105727::hugeint as h, '10:00:00+02'::timetz as t, '0101'::bit as b, \
               '\\xAA'::blob as o, '{\"x\": [1, 2]}'::json as j, interval '1 month' as n, 1 as a, 2 as a, \
               'a'::enum('a', 'b') as e, union_value(x := 1) as u, 0.1::float as f, 1.50::decimal(9, 2) as d";
    let text = answer(&database, sql, Format::Json);
    let rows: Value = serde_json::from_str(&text).unwrap();
    let expected = json!([{
        "NULL": null, "NULL_1": null, "i": "inf", "s": {"a": ["NaN", 1.0], "b": {"k": "infinity"}},
        "h": "huge", "t": "10:00:00+02", "b": "0101", "o": "\\xAA", "j": {"x": [1, 2]}, "n": "1 month", "a": 1, "a_1": 2,
        "e": "a", "u": {"x": 1}, "f": 0.1, "d": 1.5
    }]);
    let rows_without_huge = text.replace("170141183460469231731687303715884105727", "\"huge\"");
    assert!(rows.is_array());
    assert_eq!(serde_json::from_str::<Value>(&rows_without_huge).unwrap(), expected);
}

#[test]
fn floats_are_short_in_tables_alone() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let sql = "select 1 / 3 as third, 1e300 as large, 'nan'::float as none, 12345678.25 as decimal";
    assert!(answer(&database, sql, Format::Csv).contains("0.3333333333333333,"));
    let table = answer(&database, sql, Format::Table);
    assert!(table.contains(" 0.333333 ") && table.contains(" nan ") && table.contains(" 12345678.25 "), "{table}");
}
