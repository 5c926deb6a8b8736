//! Which files SQL reaches.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use query::{Access, Database, Format};

use crate::fixture::{answer, open, refusal, run_on_disk};

/// Every file below a folder with its checksum.
fn contents(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), "folder".into());
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), files::sha256_of_file(&path).unwrap());
        }
    }
    found
}

#[test]
fn sql_reaches_no_file_and_nothing_undoes_that() {
    let (root, pipeline) = run_on_disk();
    let run = pipeline.paths().run_dir().display().to_string();
    let part = format!("{run}/ingest/documents/part-00000.parquet");
    fs::write(root.path().join("some.csv"), "a\n1\n").unwrap();
    fs::write(root.path().join("some.sql"), "create table from_file(a int);").unwrap();
    let outside = root.path().display().to_string();
    let database = open(&pipeline);
    let before = contents(root.path());
    let settings = [
        "enable_external_access = true",
        "allowed_directories = ['/']",
        "allowed_paths = ['/etc/passwd']",
        "lock_configuration = false",
        "allowed_configs = ['temp_directory']",
        "temp_directory = '/tmp'",
        "profiling_output = '/tmp/profile.json'",
        "enable_profiling = 'json'",
        "extension_directory = '/tmp'",
        "secret_directory = '/tmp'",
        "home_directory = '/'",
        "file_search_path = '/'",
        "autoload_known_extensions = true",
        "autoinstall_known_extensions = true",
        "allow_unsigned_extensions = true",
        "allow_persistent_secrets = true",
        "http_proxy = 'x'",
    ];
    for setting in settings {
        let name = setting.split(' ').next().unwrap();
        for sql in [
            format!("SET {setting}"),
            format!("SET GLOBAL {setting}"),
            format!("PRAGMA {setting}"),
            format!("RESET {name}"),
            format!("RESET GLOBAL {name}"),
        ] {
            refusal(&database, &sql);
        }
    }
    for sql in [
        format!("COPY (SELECT 1) TO '{run}/x.csv'"),
        format!("COPY (SELECT 1) TO '{part}'"),
        format!("COPY (SELECT 1) TO '{part}' (USE_TMP_FILE false)"),
        format!("COPY documents TO '{outside}/x.parquet' (FORMAT parquet)"),
        format!("WITH x AS (COPY (SELECT 1) TO '{part}' (USE_TMP_FILE false)) FROM x"),
        format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{outside}/x.csv'"),
        format!("EXPORT DATABASE '{run}/export'"),
        format!("EXPORT DATABASE '{outside}/export'"),
        format!("IMPORT DATABASE '{outside}'"),
        format!("ATTACH '{run}/x.duckdb'"),
        format!("ATTACH '{outside}/x.duckdb' (READ_ONLY)"),
        format!("ATTACH '{part}' AS p"),
        format!("FROM read_parquet('{part}')"),
        format!("FROM '{part}'"),
        format!("FROM parquet_metadata('{part}')"),
        format!("FROM read_csv('{outside}/some.csv')"),
        format!("FROM '{outside}/some.csv'"),
        format!("FROM read_text('{outside}/some.csv')"),
        format!("FROM read_blob('{outside}/*')"),
        format!("FROM read_json('{outside}/some.csv')"),
        format!("FROM glob('{outside}/*')"),
        format!("FROM sniff_csv('{outside}/some.csv')"),
        "COPY (SELECT 1) TO '/proc/self/fd/2'".into(),
        "COPY (SELECT 1) TO '/dev/stdout'".into(),
        format!("CALL enable_logging(storage = 'file', storage_config = {{'path': '{outside}/log'}})"),
        "CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')".into(),
        "INSTALL httpfs".into(),
        "INSTALL '/tmp/x.duckdb_extension'".into(),
        "LOAD '/tmp/x.duckdb_extension'".into(),
        "FROM 'https://example.com/x.parquet'".into(),
        format!("PRAGMA import_database('{outside}')"),
        format!("CALL enable_profiling(save_location = '{outside}/p.json')"),
    ] {
        refusal(&database, &sql);
    }
    for sql in [
        format!("PREPARE p AS COPY (SELECT 1) TO '{part}' (USE_TMP_FILE false)"),
        "SET VARIABLE free = 1".into(),
        "SET threads = 1".into(),
        "SET memory_limit = '1GB'".into(),
    ] {
        answer(&database, &sql, Format::Csv);
    }
    refusal(&database, "EXECUTE p");
    assert_eq!(contents(root.path()), before);
    let text = refusal(&database, &format!("COPY (SELECT 1) TO '{outside}/x.csv'"));
    assert!(text.ends_with("; `--unsafe` opens files and settings"), "{text}");
}

#[test]
fn files_outside_of_the_run_are_opened_by_name() {
    let (root, pipeline) = run_on_disk();
    let database = Database::open(&pipeline, Access::Files).unwrap();
    let before = contents(&pipeline.paths().run_dir());
    let out = root.path().join("out.csv").display().to_string();
    answer(&database, &format!("COPY (SELECT 1 AS a) TO '{out}'"), Format::Csv);
    assert_eq!(answer(&database, &format!("FROM '{out}'"), Format::Csv), "a\r\n1\r\n");
    let run = pipeline.paths().run_dir().display().to_string();
    for sql in [
        format!("COPY (SELECT 1) TO '{run}/x.csv'"),
        format!("COPY (SELECT 1) TO '{run}/../r/ingest/documents/part-00000.parquet'"),
        format!("EXPORT DATABASE '{run}'"),
        format!("ATTACH '{run}/x.duckdb'"),
    ] {
        assert!(refusal(&database, &sql).contains("the run's folder is not written by SQL"), "{sql}");
    }
    assert_eq!(contents(&pipeline.paths().run_dir()), before);
}

#[test]
fn views_in_a_file_are_the_tables_from_any_folder() {
    let (root, pipeline) = run_on_disk();
    let path = root.path().join("run.duckdb");
    open(&pipeline).write_views(&path).unwrap();
    let error = open(&pipeline).write_views(&path).unwrap_err();
    assert!(error.to_string().contains("run.duckdb: expected no file"), "{error}");
    let database = Database::open(&pipeline, Access::Files).unwrap();
    answer(&database, &format!("ATTACH '{}' AS views (READ_ONLY)", path.display()), Format::Csv);
    for table in ["documents", "impressions", "training_metrics", "tables"] {
        let [ours, theirs] =
            ["memory", "views"].map(|of| answer(&database, &format!("SELECT * FROM {of}.{table}"), Format::Csv));
        assert_eq!(ours, theirs, "{table}");
    }
    let sql = "select view_name from duckdb_views() where database_name = 'views' and sql like '%''../%'";
    assert_eq!(answer(&database, sql, Format::Json), "[]\n");
}

#[test]
fn a_query_becomes_a_parquet_file() {
    let (root, pipeline) = run_on_disk();
    let database = Database::open(&pipeline, Access::Tables).unwrap();
    let mut bytes = Vec::new();
    let sql = "select doc_id, [1, null] as l, null as n, 1.5::decimal(20, 3) as d from documents order by 1 desc";
    database.answer(sql, Format::Parquet, None, &mut bytes).unwrap();
    let path = root.path().join("answer.parquet");
    fs::write(&path, bytes).unwrap();
    let reader = Database::open(&pipeline, Access::Files).unwrap();
    let read = answer(&reader, &format!("select doc_id, l, d from '{}' limit 2", path.display()), Format::Csv);
    assert_eq!(read, "doc_id,l,d\r\nd119,\"[1, NULL]\",1.500\r\nd118,\"[1, NULL]\",1.500\r\n");
    let error = database.answer("select 1", Format::Parquet, None, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "--format parquet: expected one query, found another");
    let other = open(&pipeline);
    other.answer("create temp table t as select 1", Format::Parquet, None, &mut Vec::new()).unwrap();
    let error = other.answer("explain select 1", Format::Parquet, None, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("--format parquet: expected a query"), "{error}");
}
