//! Model cards, as the Hugging Face Hub reads them: what a model was trained on, how, and how good it became.

use std::fmt::Write;
use std::path::Path;

use nn::train::TrainSummary;
use pipeline::StageContext;
use pipeline::config::BaseModel;
use tables::InputEntry;

/// What a card says beyond the data and the configuration of the run. It holds no times, so that equal runs leave equal
/// cards.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// The model's name.
    pub title: &'a str,
    /// A sentence on what it is.
    pub about: &'a str,
    /// Its task in the terms of the Hub.
    pub pipeline_tag: &'a str,
    /// What loads it: `transformers`, or `peft` for an adapter.
    pub library: &'a str,
    /// What it started from, unless from random weights.
    pub base: Option<&'a BaseModel>,
    /// What the validation's value is called.
    pub validation: &'a str,
    /// The run's seed.
    pub seed: u64,
    /// How its training ended.
    pub summary: &'a TrainSummary,
}

impl Card<'_> {
    /// The card of a model that belongs to one run: with its data and configuration.
    #[must_use]
    pub fn text(&self, context: &StageContext) -> String {
        format!(
            "{}\n## Data\n\n{}\n## Configuration\n\nAll that the stage read of the pipeline.\n\n```json\n{:#}\n```\n",
            self.of_phase(),
            data(context),
            context.config(),
        )
    }

    /// The card of a model that later phases start from, those of other runs included: it describes its own phase alone.
    #[must_use]
    pub fn of_phase(&self) -> String {
        let Card { title, about, pipeline_tag, library, seed, .. } = self;
        let base_model = match self.base {
            Some(BaseModel::Hub { repository, .. }) => format!("base_model: {repository}\n"),
            _ => String::new(),
        };
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "---\nlibrary_name: {library}\npipeline_tag: {pipeline_tag}\n{base_model}tags:\n- disranker\n---\n\n\
             # {title}\n\n{about} Trained by disranker {version}, seed {seed}.\n\n## Results\n\n{}",
            self.results(),
        )
    }

    fn results(&self) -> String {
        let TrainSummary { steps, examples, tokens, loss, .. } = self.summary;
        let best = self.summary.best.map_or("none".to_string(), |best| {
            let (value, step) = (best.value, best.step);
            format!("{value:.4} after step {step}, whose weights these are")
        });
        format!(
            "| figure | value |\n| --- | --- |\n| steps | {steps} |\n| examples | {examples} |\n| tokens | {tokens} |\n\
             | loss of the last step | {loss:.4} |\n| best {} | {best} |\n",
            self.validation
        )
    }
}

/// The inputs of a run, with the rows of its tables.
fn data(context: &StageContext) -> String {
    let mut table = "| input | rows | sha256 |\n| --- | --- | --- |\n".to_string();
    for input in context.inputs() {
        let (name, rows) = named(context, input);
        let rows = rows.map(|rows| rows.to_string()).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| {name} | {rows} | {} |", input.digest);
    }
    table
}

/// The name and rows of a table of an earlier stage, or the bare name of a file: where it lies is nobody else's concern.
fn named(context: &StageContext, input: &InputEntry) -> (String, Option<u64>) {
    if input.bytes.is_some() {
        let name = Path::new(&input.name).file_name().unwrap_or_default();
        return (name.to_string_lossy().into_owned(), None);
    }
    let rows = input.name.split_once('/').and_then(|(stage, table)| {
        let stage = context.input(stage).ok()?;
        Some(stage.manifest().tables.get(table)?.rows)
    });
    (input.name.clone(), rows)
}
