//! The model that is served.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{InputChoice, identity_on, load_scorer};
use nn::text::{PairTokenizer, Sequence, Texts, Tokenizer};
use pipeline::BadInput;
use serde_json::Value;

use crate::arguments::Arguments;
use crate::job::{Failure, Job, Pair, Reading, Scored};
use crate::queue::Part;
use crate::speed::Speed;
use crate::worker::{self, Outcome};

/// The label of a ranker whose config.json names none, as transformers names it.
const LABEL: &str = "LABEL_0";
/// Words of a document of the first batch.
const WARM_UP_WORDS: usize = 100;

/// Loads the model of a folder.
#[derive(Debug)]
pub(crate) struct Loader {
    folder: PathBuf,
    execution: Execution,
    /// Tokens of a batch on all threads.
    batch_tokens: usize,
}

/// A ranker and how it reads texts.
#[derive(Debug)]
pub(crate) struct Ranker {
    cross_encoder: CrossEncoder,
    tokenizer: Tokenizer,
    /// Reads all tokens of a pair.
    whole: PairTokenizer,
    /// Most sequences of a pair: one, or as many as there are passages of a document.
    passages: usize,
    /// The SHA-256 of all that decides its scores.
    pub(crate) identity: String,
    /// What a high score says.
    pub(crate) label: String,
}

impl Loader {
    pub(crate) fn new(arguments: &Arguments) -> Loader {
        let batch_tokens = arguments.batch_tokens();
        let of_thread = (batch_tokens / rayon::current_num_threads()).max(1);
        let execution =
            Execution { precision: models::scoring_precision(arguments.precision), batch_tokens: of_thread };
        Loader { folder: arguments.model.clone(), execution, batch_tokens }
    }

    /// The folder as the command line names it.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder's own name, without those around it.
    pub(crate) fn name(&self) -> String {
        let name = self.folder.file_name().map(|name| name.to_string_lossy().into_owned());
        name.unwrap_or_else(|| self.folder.display().to_string())
    }

    /// The name of the model's numbers in `/info`.
    pub(crate) fn precision(&self) -> String {
        match self.execution.precision {
            nn::ops::Precision::F32 => "float32".into(),
            nn::ops::Precision::Bf16 => "bfloat16".into(),
            nn::ops::Precision::Int8 => "int8".into(),
        }
    }

    /// The ranker that is in the folder now, and how fast it is.
    ///
    /// # Errors
    /// [`BadInput`] for a folder without a ranker, one that changes while it is read, or one whose scores are no numbers.
    pub(crate) fn load(&self) -> anyhow::Result<(Arc<Ranker>, Speed)> {
        let bad = |error: nn::Error| BadInput(error.to_string());
        // A symbolic link that is changed meanwhile would mix two models.
        let folder = self.folder.canonicalize();
        let folder = folder.map_err(|error| BadInput(format!("{}: {error}", self.folder.display())))?;
        let hub = models::hub_base(&folder)?;
        let identity = identity_on(&folder, hub.as_deref()).map_err(bad)?;
        let saved = load_scorer(&folder, hub.as_deref(), &InputChoice::default(), self.execution.precision);
        let saved = saved.map_err(bad)?;
        if identity_on(&folder, hub.as_deref()).map_err(bad)? != identity {
            Err(BadInput(format!(
                "{}: expected files that stay as they are, found changes while they were read",
                folder.display()
            )))?;
        }
        let cross_encoder = CrossEncoder::of_saved(&saved, self.execution).map_err(bad)?;
        let ranker = Ranker {
            whole: cross_encoder.pairs().without_window(),
            cross_encoder,
            passages: saved.settings.scoring.passages.map_or(1, |passages| passages.most.max(1)),
            tokenizer: saved.tokenizer,
            identity,
            label: label(&folder),
        };
        let ranker = Arc::new(ranker);
        let speed = self.warm_up(&ranker).with_context(|| folder.display().to_string())?;
        Ok((ranker, speed))
    }

    /// Scores a batch twice: the first time is that of a cold start.
    fn warm_up(&self, ranker: &Arc<Ranker>) -> anyhow::Result<Speed> {
        let words = ["red shoes for the school", "a blue lamp", "what is it about?"];
        let document = words.into_iter().cycle().take(WARM_UP_WORDS / words.len()).collect::<Vec<_>>().join(" ");
        let pair = Pair { query: words[0].into(), document };
        let tokens =
            ranker.encode(&pair, &Reading::default())?.iter().map(|sequence| sequence.ids.len()).sum::<usize>();
        let pairs = vec![pair; self.batch_tokens.div_ceil(tokens.max(1))];
        let run = || {
            let (reply, _) = tokio::sync::oneshot::channel();
            let (count, reading, scored) = (pairs.len(), Reading::default(), Scored::default());
            let entered = std::time::Instant::now();
            let job = Job {
                ranker: ranker.clone(),
                pairs: pairs.clone(),
                reading,
                costs: Vec::new(),
                entered,
                scored,
                reply,
            };
            worker::score(&[Part { job, pairs: count }])
        };
        run();
        let Outcome { took, mut found } = run();
        let found = found.pop().context("a first batch has no outcome")?;
        let scores = found.map_err(|failure| BadInput(format!("expected a ranker that scores, found: {failure}")))?;
        ensure!(!scores.logits.is_empty(), "a first batch has no scores");
        Ok(Speed::of(&took, self.batch_tokens / 2))
    }
}

impl Ranker {
    /// The longest sequence.
    pub(crate) fn max_tokens(&self) -> usize {
        self.cross_encoder.pairs().max_tokens()
    }

    /// Most tokens of a pair.
    pub(crate) fn most_tokens(&self) -> usize {
        self.max_tokens().saturating_mul(self.passages)
    }

    /// The sequences of a pair, at least one.
    pub(crate) fn encode(&self, pair: &Pair, reading: &Reading) -> Result<Vec<Sequence>, Failure> {
        let failed = |error: nn::Error| Failure::Tokenizer(error.to_string());
        let document = match reading.max_document_tokens {
            Some(most) => self.shortened(&pair.document, most).map_err(failed)?,
            None => Cow::Borrowed(pair.document.as_str()),
        };
        let texts = Texts { query: &pair.query, title: "", summary: &document };
        let pairs = self.cross_encoder.pairs();
        let pairs = reading.cut_left.map_or(Cow::Borrowed(pairs), |left| Cow::Owned(pairs.cutting(left)));
        let mut sequences = pairs.encode_passages(&[texts]).map_err(failed)?.sequences;
        sequences.truncate(reading.max_passages.unwrap_or(usize::MAX).max(1));
        if !reading.truncate {
            let found = self.whole.encode(&texts).map_err(failed)?.ids.len();
            if sequences.first().is_none_or(|first| first.ids.len() < found) {
                return Err(Failure::TooLong { most: self.max_tokens(), found });
            }
        }
        Ok(sequences)
    }

    /// The logit of each sequence.
    pub(crate) fn score(&self, sequences: &[Sequence]) -> Result<Vec<f32>, Failure> {
        self.cross_encoder.score_sequences(sequences).map_err(|error| Failure::Backend(error.to_string()))
    }

    /// The first `most` tokens of a document.
    fn shortened<'a>(&self, document: &'a str, most: usize) -> nn::Result<Cow<'a, str>> {
        let words = Texts { query: "", title: "", summary: document }.document();
        let (_, starts) = self.tokenizer.encode(&words)?;
        let Some(&end) = starts.get(most) else { return Ok(Cow::Borrowed(document)) };
        // A token may begin within a character.
        let end = (0..=end).rfind(|&place| words.is_char_boundary(place)).unwrap_or(0);
        Ok(Cow::Owned(words[..end].to_owned()))
    }
}

/// What config.json says that a high score means: its one label, or the second of two.
fn label(folder: &Path) -> String {
    let config = std::fs::read(folder.join("config.json")).unwrap_or_default();
    let config: Value = serde_json::from_slice(&config).unwrap_or_default();
    let label = |id: &str| config["id2label"][id].as_str().map(str::to_owned);
    label("1").or_else(|| label("0")).unwrap_or_else(|| LABEL.to_owned())
}
