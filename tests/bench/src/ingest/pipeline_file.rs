//! The pipeline file of our side.

use super::sink::Format;

/// The file's name.
pub(crate) const NAME: &str = "pipeline.toml";
/// The folder of the runs, beside the file.
pub(crate) const ROOT: &str = "runs";
/// A pipeline whose stages after `ingest` are not run here, but have to be named.
const EXAMPLE: &str = include_str!("../../../../configs/retrotech.toml");
const FIRST_OTHER_STAGE: &str = "[cpt]";

/// A pipeline for log and documents of a format. User ids are kept as they are, as the peers keep them.
pub(crate) fn text(format: Format, threads: usize) -> String {
    let (name, extension) = (format.name(), format.extension());
    let others = EXAMPLE.find(FIRST_OTHER_STAGE).map_or("", |at| &EXAMPLE[at..]);
    format!(
        r#"[run]
name = "ours"
root = "{ROOT}"
seed = 42
threads = {threads}

[ingest]
memory_limit = "1GiB"

[ingest.log]
paths = ["log/*.{extension}"]
format = "{name}"

[ingest.log.columns]
search_id = "search_id"
session_id = "session_id"
user_id = "user_id"
query = "query"
doc_id = "doc_id"
position = "position"
clicked = "clicked"
dwell_seconds = "dwell_seconds"
shown_at = "shown_at"

[ingest.documents]
paths = ["documents.{extension}"]
format = "{name}"
columns = {{ doc_id = "doc_id", title = "title", summary = ["summary"] }}

[ingest.judgments]
format = "clicks"

[ingest.privacy]
user_ids = "plain"

[ingest.split]
train = 0.6
validation = 0.1

{others}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn it_is_a_valid_pipeline() {
        let folder = tempfile::tempdir().unwrap();
        for &format in Format::value_variants() {
            let path = folder.path().join(NAME);
            std::fs::write(&path, text(format, 2)).unwrap();
            pipeline::config::load(&path, &[]).unwrap();
        }
    }
}
