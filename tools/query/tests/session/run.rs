//! What there is to ask, and what is said where there is nothing.

use pipeline::{BadInput, ConfigError};
use query::{Access, Database, Format};
use tables::AppendTable;

use crate::fixture::{answer, open, pipeline, refusal, run_on_disk, training};

#[test]
fn no_rows_are_still_an_answer_and_set_is_none() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let sql = "select doc_id from impressions where position > 9";
    assert_eq!(answer(&database, sql, Format::Json), "[]\n");
    assert_eq!(answer(&database, sql, Format::Csv), "doc_id\r\n");
    assert_eq!(answer(&database, "set threads = 1", Format::Json), "");
}

#[test]
fn a_training_is_seen_while_it_runs() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let sql = "select stage, phase, max(step) as step from training_metrics group by all order by all";
    let before = "stage,phase,step\r\ndistill,student,1\r\nteacher,cpt,2\r\n";
    assert_eq!(answer(&database, sql, Format::Csv), before);
    let partial = pipeline.paths().run_dir().join(".distill.partial");
    let mut growing = AppendTable::open(&partial, "training_metrics").unwrap();
    growing.append(training("student", &[2, 3])).unwrap();
    assert_eq!(answer(&database, sql, Format::Csv), before.replace("student,1", "student,3"));
}

#[test]
fn every_table_and_column_is_listed_and_described() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let sql = "select distinct table_name, stage, rows from tables order by all";
    assert_eq!(
        answer(&database, sql, Format::Csv),
        "table_name,stage,rows\r\ndocuments,ingest,120\r\nimpressions,ingest,2\r\n\
         training_metrics,distill,1\r\ntraining_metrics,teacher,2\r\n"
    );
    let sql = "select comment from duckdb_columns() where table_name = 'impressions' and column_name = 'shown_at'";
    let comment = answer(&database, sql, Format::Csv);
    assert!(
        comment.contains("When the page was shown: the earliest time of the result's events. [UTC, microseconds]"),
        "{comment}"
    );
}

#[test]
fn listed_types_are_the_views_types() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let sql = "select t.column_name, t.type, c.data_type from tables t join duckdb_columns() c \
               on c.table_name = t.table_name and c.column_name = t.column_name where t.type <> c.data_type";
    assert_eq!(answer(&database, sql, Format::Json), "[]\n");
}

#[test]
fn a_run_without_tables_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let Err(error) = Database::open(&pipeline(root.path()), Access::Tables) else {
        panic!("a database without tables")
    };
    assert!(error.to_string().contains("run `just run-all` first"), "{error}");
}

#[test]
fn an_absent_table_names_its_stage() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    for (sql, reason) in [
        ("select * from metrics", "table metrics is written by stage evaluate, which has not run: run evaluate"),
        ("select count(*) from cpt_examples", "table cpt_examples is written by stage cpt, which has not run: run cpt"),
        ("from queries", "table queries: stage ingest has run without writing it; docs/tables.md says when it does"),
        ("from benchmarks", "table benchmarks is written by stage bench, which has not run: run bench"),
        ("from pair_scores", "SQL: Catalog Error: Table with name pair_scores does not exist!"),
        ("from run_table('pair_scores')", "table pair_scores is not one of a run's tables"),
        ("from run_table('nonsense')", "no schema is named `nonsense`"),
    ] {
        let text = refusal(&database, sql);
        assert!(text.contains(reason), "{sql}: {text}");
    }
    let error = database.answer("from metrics", Format::Csv, None, &mut Vec::new()).unwrap_err();
    assert!(error.is::<BadInput>());
    let error = database.answer("selec", Format::Csv, None, &mut Vec::new()).unwrap_err();
    assert!(error.is::<ConfigError>());
    // Its columns are known all the same.
    assert!(answer(&database, "describe metrics", Format::Csv).contains("ci_low,DOUBLE"));
}

#[test]
fn a_manifest_that_cannot_be_read_is_a_fault_of_its_own_tables() {
    let (_root, pipeline) = run_on_disk();
    let run = pipeline.paths().run_dir();
    std::fs::write(run.join("teacher/manifest.json"), "{").unwrap();
    let database = open(&pipeline);
    assert_eq!(answer(&database, "select count(*) as n from documents", Format::Csv), "n\r\n120\r\n");
    let text = refusal(&database, "from training_metrics");
    assert!(text.contains("teacher/manifest.json: not a readable manifest"), "{text}");
}

#[test]
fn rows_come_in_the_order_of_the_table() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let ids: String = (0..120).map(|id| format!("d{id:03}\r\n")).collect();
    assert_eq!(answer(&database, "select doc_id from documents", Format::Csv), format!("doc_id\r\n{ids}"));
    let sql = "select count(*) as n, count(distinct title) as titles, max(doc_id) as last from documents";
    assert_eq!(answer(&database, sql, Format::Csv), "n,titles,last\r\n120,120,d119\r\n");
    assert_eq!(
        answer(&database, "select stage from training_metrics", Format::Csv),
        "stage\r\ndistill\r\nteacher\r\nteacher\r\n"
    );
}

#[test]
fn a_table_shows_forty_rows_and_counts_all() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    let table = answer(&database, "from documents", Format::Table);
    assert_eq!(table.lines().count(), 4 + 40 + 1);
    assert!(table.contains("d039") && !table.contains("d040"), "{table}");
    assert!(table.ends_with("\n120 rows, the first 40 shown\n"), "{table}");
    assert!(answer(&database, "from documents limit 1", Format::Table).ends_with("\n1 row\n"));
    assert_eq!(answer(&database, "from documents", Format::Csv).lines().count(), 1 + 120);
    let mut narrow = Vec::new();
    database.answer("from documents", Format::Table, Some(60), &mut narrow).unwrap();
    let narrow = String::from_utf8(narrow).unwrap();
    assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
}

#[test]
fn a_panic_ends_its_statement_alone() {
    struct Panics;
    impl std::io::Write for Panics {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            panic!("of the writer")
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    answer(&database, "create temp table mine as select 1 as one", Format::Csv);
    let error = database.answer("from documents", Format::Csv, None, &mut Panics).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("within the engine: of the writer; please report it"), "{text}");
    assert_eq!(answer(&database, "from mine", Format::Csv), "one\r\n1\r\n");
}

#[test]
fn an_error_leaves_a_transaction_that_can_be_rolled_back() {
    let (_root, pipeline) = run_on_disk();
    let database = open(&pipeline);
    for sql in ["create table mine(a int)", "begin", "insert into mine values (1)"] {
        answer(&database, sql, Format::Csv);
    }
    assert!(refusal(&database, "select cast('x' as int)").contains("Could not convert"));
    assert!(refusal(&database, "from mine").contains("transaction is aborted"));
    answer(&database, "rollback", Format::Csv);
    assert_eq!(answer(&database, "from mine", Format::Csv), "a\r\n");
}
