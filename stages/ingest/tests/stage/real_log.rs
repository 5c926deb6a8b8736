//! A real product-search log, where it is there.

use std::path::Path;

use crate::run::{World, digests, rows, run_config};

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
    let (code, stderr) = run_config(&config, &[&runs]);
    assert_eq!(code, 0, "{stderr}");
    let stage = tables::StageDir::open(&world.path("runs/retrotech"), "ingest").unwrap();
    let facts = &stage.manifest().facts;
    // Counted by an independent script: ten files of 1,325,000 records, nine documents unknown, one page in five with a
    // document shown twice.
    assert_eq!(facts["log"]["lines_in"], 1_325_000);
    assert_eq!(facts["log"]["reasons"]["document not in the document table"], 60_000);
    assert_eq!(facts["log"]["reasons"]["document shown twice on the page"], 10_000);
    assert_eq!(facts["log"]["rows_out"], 1_255_000);
    assert_eq!(facts["documents"]["lines_in"], 48_194);
    assert_eq!(facts["documents"]["rows_out"], 46_156);
    assert_eq!(facts["judgments_source"], "clicks");
    assert_eq!(digests(&stage).len(), 6);
    let queries = rows(&stage, "queries", &["query", "searches"]);
    assert_eq!(queries.len(), 10);
    assert!(queries.contains(&"transformers dark of the moon 5000".to_string()), "{queries:?}");
}
