//! The written files say what the code says.

use std::path::Path;

use reference::{PAGE, SCHEMA, TABLES, page, schema_text, tables_page};

#[test]
fn the_written_files_are_current() {
    let pages = [(SCHEMA, schema_text().unwrap()), (PAGE, page().unwrap()), (TABLES, tables_page().unwrap())];
    for (path, expected) in pages {
        let written = std::fs::read_to_string(Path::new("../..").join(path)).unwrap_or_default();
        assert!(written == expected, "{path} is not current: run `just reference`");
    }
}
