//! The folder that holds the documents of a run: their texts, and the index over title and summary.

use std::path::{Path, PathBuf};

use analysis::Analyzer;

use crate::build::{Work, build, build_in_memory};
use crate::error::{Error, Result};
use crate::index::Index;
use crate::layout::Identity;
use crate::texts::Texts;
use crate::texts_writer::TextsWriter;
use crate::weights::Bm25;

/// The folder's name in the output of the stage `ingest`.
pub const FOLDER: &str = "collection";
/// The fact of the stage's manifest that names the analyzer.
pub const ANALYZER_FACT: &str = "analyzer";

const TEXTS: &str = "texts";
const INDEX: &str = "bm25";

/// Writes the folder: documents in the order of their ids, then the index.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    texts: TextsWriter,
}

impl Writer {
    /// Begins a new folder.
    ///
    /// # Errors
    /// Where the system refuses it.
    pub fn create(folder: &Path) -> Result<Writer> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder, "creating"))?;
        Ok(Writer { folder: folder.to_path_buf(), texts: TextsWriter::create(&folder.join(TEXTS))? })
    }

    /// Adds a document.
    ///
    /// # Errors
    /// As [`TextsWriter::push`].
    pub fn push(&mut self, id: &str, title: &str, summary: &str) -> Result<()> {
        self.texts.push(id, title, summary)
    }

    /// Ends the texts and indexes them.
    ///
    /// # Errors
    /// As [`build`].
    pub fn finish(self, analyzer: &Analyzer, work: Work<'_>) -> Result<()> {
        self.texts.finish()?;
        let texts = open_texts(&self.folder)?;
        let tokens = |document: usize, take: &mut dyn FnMut(&str)| {
            analyzer.for_each(texts.title(document), &mut *take);
            analyzer.for_each(texts.summary(document), &mut *take);
        };
        let identity = identity(analyzer, texts.digest());
        build(&self.folder.join(INDEX), &identity, Bm25::default(), texts.len(), work, tokens)
    }
}

/// The texts of a folder.
///
/// # Errors
/// As [`Texts::open`].
pub fn open_texts(folder: &Path) -> Result<Texts> {
    Texts::open(&folder.join(TEXTS))
}

/// The index of a folder.
///
/// # Errors
/// As [`Index::open`], also for an index of another analyzer, or of other texts.
pub fn open_index(folder: &Path, analyzer: &Analyzer, texts: &Texts) -> Result<Index> {
    Index::open(&folder.join(INDEX), &identity(analyzer, texts.digest()))
}

/// An index in memory, of documents that are some texts each. `collection` names them.
///
/// # Errors
/// More documents than an index can number.
pub fn index_in_memory<'t, D>(
    analyzer: &Analyzer,
    collection: &str,
    documents: impl IntoIterator<Item = D>,
) -> Result<Index>
where
    D: IntoIterator<Item = &'t str>,
{
    let tokens = |texts: D| texts.into_iter().flat_map(|text| analyzer.tokens(text)).collect::<Vec<_>>();
    build_in_memory(&identity(analyzer, collection), Bm25::default(), documents.into_iter().map(tokens))
}

fn identity(analyzer: &Analyzer, collection: &str) -> Identity {
    Identity { analyzer: analyzer.identity(), collection: collection.to_string() }
}

#[cfg(test)]
mod tests {
    use analysis::AnalyzerName;

    use super::*;

    #[test]
    fn a_folder_has_an_index_of_its_texts() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("collection");
        let documents = [("a", "红色的碗", "玻璃"), ("b", "Red bowl", "of glass"), ("c", "Red cups", "")];
        let mut writer = Writer::create(&folder).unwrap();
        documents.iter().for_each(|(id, title, summary)| writer.push(id, title, summary).unwrap());
        let analyzer = Analyzer::new(AnalyzerName::Unicode);
        writer.finish(&analyzer, Work { spills: root.path(), memory: 1 << 20, threads: 2 }).unwrap();

        let texts = open_texts(&folder).unwrap();
        let index = open_index(&folder, &analyzer, &texts).unwrap();
        let found = |query: &str| {
            let found = index.top_k(&analyzer.tokens(query), 9);
            found.into_iter().map(|(document, _)| texts.id(document)).collect::<Vec<_>>()
        };
        assert_eq!(found("RED bowl"), ["b", "c"]);
        assert_eq!(found("红色"), ["a"]);
        let in_memory = documents.iter().map(|(_, title, summary)| [*title, *summary]);
        let in_memory = index_in_memory(&analyzer, texts.digest(), in_memory).unwrap();
        let query = analyzer.tokens("red bowl");
        assert_eq!(in_memory.top_k(&query, 9), index.top_k(&query, 9));

        let other = Analyzer::new(AnalyzerName::English);
        let refused = open_index(&folder, &other, &texts).unwrap_err().to_string();
        assert!(refused.contains("unicode") && refused.contains("english"), "{refused}");
        let others = Texts::of([("a", "another", "collection")]).unwrap();
        assert!(open_index(&folder, &analyzer, &others).is_err());
    }
}
