//! The written files say what the code says.

use std::path::Path;

use reference::{PAGE, SCHEMA, page, schema_text};

#[test]
fn the_written_files_are_current() {
    for (path, expected) in [(SCHEMA, schema_text().unwrap()), (PAGE, page().unwrap())] {
        let written = std::fs::read_to_string(Path::new("../..").join(path)).unwrap_or_default();
        assert!(written == expected, "{path} is not current: run `just reference`");
    }
}
