//! A real product-search log, where it is there.

use std::path::Path;

use crate::run::{World, digests, report, rows, run_config};

#[test]
fn a_real_log_passes_with_every_line_accounted_for() {
    let root = Path::new("../..");
    let data = root.join("../shared/data/retrotech");
    if !data.is_dir() {
        eprintln!("skipped: {} is not there", data.display());
        return;
    }
    // The committed pipeline, with its run folder in a throw-away place.
    let world = World::new("");
    let config = root.join("configs/retrotech.toml");
    let runs = format!("run.root=\"{}\"", world.path("runs").display());
    let (code, stderr) = run_config(&config, None, &[&runs]);
    assert_eq!(code, 0, "{stderr}");
    let stage = tables::StageDir::open(&world.path("runs/retrotech"), "ingest").unwrap();
    let facts = &stage.manifest().facts;
    // Counted by an independent script: ten files of 1,325,000 records, nine documents unknown, one page in five with a
    // document shown twice.
    assert_eq!(facts["log"]["lines_in"], 1_325_000);
    let expected = [
        "kept 1255000 39398",
        "left_out 60000 1902 document not in the document table",
        "merged 708 0 event of a result that has another row",
        "merged 9292 0 result of a search logged again",
    ];
    assert_eq!(report(&stage, "log"), expected);
    assert_eq!(
        report(&stage, "documents"),
        ["kept 46156 0", "merged 2038 0 document id seen before with another text"]
    );
    assert_eq!(facts["judgments_source"], "clicks");
    assert_eq!(digests(&stage).len(), 8);
    let queries = rows(&stage, "queries", &["query", "searches"]);
    assert_eq!(queries.len(), 10);
    assert!(queries.contains(&"transformers dark of the moon 5000".to_string()), "{queries:?}");
}
