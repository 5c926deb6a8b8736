//! Scoring a file of query-document pairs with any saved cross-encoder, a chunk of rows at a time, outside a pipeline.

mod jsonl;
mod parquet;

use std::path::Path;

use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{InputChoice, load_ranker_on};
use nn::ops::Precision;
use nn::text::{Scoring, Template, Texts, Window};
use pipeline::config::ScoreConfig;
use pipeline::{BadInput, ConfigError};

/// Rows in memory at a time.
const ROWS: usize = 2048;
/// The column the output adds.
const SCORE: &str = "score";
/// Characters of what was found that an error tells.
const TOLD: usize = 120;

/// Reads the rows of `pairs` and writes them to `out` with the scores of the ranker in the folder `model`.
///
/// # Errors
/// [`ConfigError`] for paths that cannot be used; [`BadInput`] for a folder that holds no cross-encoder, and for rows without
/// the texts.
pub fn score_pairs(
    model: &Path,
    pairs: &Path,
    out: &Path,
    (choice, precision): (&InputChoice, Precision),
) -> anyhow::Result<()> {
    let extension = known_extension(pairs)?;
    if known_extension(out)? != extension {
        let (out, pairs) = (out.display(), pairs.display());
        Err(ConfigError::Unusable(format!("{out}: expected the format of {pairs}, .{extension}, found another")))?;
    }
    let folder = out.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    if out.is_dir() {
        Err(ConfigError::Unusable(format!("{}: expected a file to write, found a folder", out.display())))?;
    }
    if !folder.is_dir() {
        let (out, folder) = (out.display(), folder.display());
        Err(ConfigError::Unusable(format!("{out}: expected the folder {folder}, found none; make it first")))?;
    }
    let hub = models::hub_base(model)?;
    let saved = load_ranker_on(model, hub.as_deref(), choice).map_err(|error| BadInput(unreadable_model(&error)))?;
    if saved.is_foreign {
        tracing::info!("{}: {}", model.display(), input_of(&saved.settings.scoring));
    }
    let execution = Execution { precision, batch_tokens: ScoreConfig::default().batch_tokens };
    let scorer = Scorer { folder: model, cross_encoder: CrossEncoder::of_saved(&saved, execution)? };
    let rows = match extension {
        "jsonl" => jsonl::score(&scorer, pairs, out)?,
        _ => parquet::score(&scorer, pairs, out)?,
    };
    tracing::info!("{}: {rows} rows", out.display());
    Ok(())
}

fn known_extension(path: &Path) -> Result<&str, ConfigError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.filter(|extension| ["jsonl", "parquet"].contains(extension)).ok_or_else(|| {
        ConfigError::Unusable(format!("{}: expected a file name that ends in .jsonl or .parquet", path.display()))
    })
}

/// What is wrong with a model, and for a template that nobody says the option that sets it.
fn unreadable_model(error: &nn::Error) -> String {
    match error {
        nn::Error::UnknownTemplate { example, .. } => format!("{error}; on the command line: --template '{example}'"),
        error => error.to_string(),
    }
}

/// How a ranker of another library is read.
fn input_of(scoring: &Scoring) -> String {
    let template = match &scoring.template {
        Template::Prompt { text, .. } => format!("{text:?}"),
        Template::Pair { query_prompt } if query_prompt.is_empty() => "the tokenizer's pair".to_string(),
        Template::Pair { query_prompt } => format!("the tokenizer's pair with {query_prompt:?} before the query"),
    };
    let window = match scoring.window {
        Window::LongestFirst { max_length } => format!("{max_length} tokens, the longer text cut first"),
        Window::OnlySecond { max_length } => format!("{max_length} tokens, the document cut"),
        Window::Fields { max_query_tokens, max_document_tokens } => {
            format!("{max_query_tokens} tokens of the query and {max_document_tokens} of the document")
        }
    };
    format!("saved by another library; it reads {template}, at most {window}")
}

/// A cross-encoder and its folder, for messages.
struct Scorer<'a> {
    folder: &'a Path,
    cross_encoder: CrossEncoder,
}

impl Scorer<'_> {
    /// The raw logit of each pair.
    fn scores(&self, texts: &[Texts<'_>]) -> anyhow::Result<Vec<f32>> {
        self.cross_encoder.score(texts).map_err(|error| match error {
            nn::Error::NonFinite { value, .. } => {
                let folder = self.folder.display();
                let expected = "expected weights that give every row a finite score";
                anyhow::Error::new(BadInput(format!("{folder}: {expected}, found {value}; save the model again")))
            }
            error => anyhow::Error::new(error).context("scoring"),
        })
    }
}

/// A column that every file of pairs has.
#[derive(Debug, Clone, Copy)]
struct Column {
    name: &'static str,
    /// A document without a title or summary has texts all the same; a pair without a query has no meaning.
    nullable: bool,
}

const COLUMNS: [Column; 3] = [
    Column { name: "query", nullable: false },
    Column { name: "title", nullable: true },
    Column { name: "summary", nullable: true },
];

/// Refuses columns without those needed, or with one that the output adds.
fn check_names<'a>(place: &str, names: impl Iterator<Item = &'a str> + Clone) -> Result<(), BadInput> {
    if names.clone().any(|name| name == SCORE) {
        return Err(BadInput(format!(
            "{place}: expected no column `{SCORE}`, which the output adds, found one; rename it"
        )));
    }
    let missing = COLUMNS.iter().find(|column| !names.clone().any(|name| name == column.name));
    missing.map_or(Ok(()), |column| {
        let found: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        let found = if found.is_empty() { "none".to_string() } else { told(&found.join(", ")) };
        Err(BadInput(format!("{place}: expected a column `{}`, found {found}", column.name)))
    })
}

fn not_text(place: &str, column: Column, found: &dyn std::fmt::Display) -> BadInput {
    BadInput(format!("{place}: expected text in column `{}`, found {}", column.name, told(&found.to_string())))
}

/// The beginning of a text that may be of any length.
fn told(text: &str) -> String {
    match text.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

fn unreadable(path: &Path, cause: &std::io::Error) -> BadInput {
    BadInput(format!("{}: cannot be read: {cause}", path.display()))
}
