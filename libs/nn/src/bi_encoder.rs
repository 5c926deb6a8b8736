//! Vectors of single texts.

use std::path::{Path, PathBuf};

use candle_core::{D, Tensor};

use crate::cross_encoder::{Execution, batches};
use crate::error::{Error, Result};
use crate::folder::{Base, LENGTH_FILE, MODULES_FILE, PROMPTS_FILE, module_files, optional};
use crate::models::{Head, Model};
use crate::parallel::in_parallel;
use crate::text::{Packed, Tokenizer};
use crate::weights::Mode;

/// Tokens of a text at least, special ones included: with fewer, all texts would have one vector.
const MIN_TOKENS: usize = 3;

/// The only way to pool that is computed here.
const MEAN: &str = "pooling_mode_mean_tokens";

/// What a text is, which decides the prompt in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A query.
    Query,
    /// A document.
    Document,
}

/// An encoder that gives a text the mean of its tokens' last states, of length 1: what sentence-transformers computes for a
/// folder with mean pooling, and for one of a plain encoder (Reimers and Gurevych, EMNLP 2019).
#[derive(Debug, Clone)]
pub struct BiEncoder {
    model: Model,
    tokenizer: Tokenizer,
    max_tokens: usize,
    /// True if texts are put in lower case before they are tokenized.
    lower_case: bool,
    query_prompt: String,
    document_prompt: String,
    execution: Execution,
}

impl BiEncoder {
    /// The encoder of a folder.
    ///
    /// # Errors
    /// A folder that holds no encoder, or whose modules are others than mean pooling and normalisation.
    pub fn open(folder: &Path, execution: Execution) -> Result<BiEncoder> {
        check_modules(folder)?;
        let base = Base::open(folder)?;
        let model = base.model(Head::Score, 0)?;
        if model.backbone().kind() != crate::text::Kind::Encoder {
            return Err(expected(folder, "an encoder", model.backbone().name()));
        }
        let positions = base.backbone.max_tokens();
        let settings = optional(&folder.join(LENGTH_FILE))?;
        let own = settings["max_seq_length"].as_u64().map(|length| length as usize);
        let max_tokens = own.or(base.tokenizer.model_max_length()).map_or(positions, |most| most.min(positions));
        if max_tokens < MIN_TOKENS {
            let least = format!("a max_seq_length of at least {MIN_TOKENS}");
            return Err(expected(&folder.join(LENGTH_FILE), &least, &max_tokens.to_string()));
        }
        let prompts = &optional(&folder.join(PROMPTS_FILE))?["prompts"];
        let prompt = |names: &[&str]| {
            let found = names.iter().find_map(|&name| prompts[name].as_str());
            found.unwrap_or_default().to_owned()
        };
        Ok(BiEncoder {
            model: model.for_scoring(),
            tokenizer: base.tokenizer,
            max_tokens,
            lower_case: settings["do_lower_case"].as_bool() == Some(true),
            query_prompt: prompt(&["query"]),
            document_prompt: prompt(&["document", "passage"]),
            execution,
        })
    }

    /// The files of a folder that decide its vectors, beside those of [`Base::files`].
    pub fn files(folder: &Path) -> Vec<PathBuf> {
        module_files(folder)
    }

    /// The vector of each text, in their order, each of length 1.
    ///
    /// # Shapes
    /// `n` texts -> `n` vectors of the model's hidden size.
    ///
    /// # Errors
    /// A failure inside the tokenizer or the model.
    pub fn encode(&self, side: Side, texts: &[impl AsRef<str> + Sync]) -> Result<Vec<Vec<f32>>> {
        let prompt = match side {
            Side::Query => &self.query_prompt,
            Side::Document => &self.document_prompt,
        };
        let encode = |at: usize| {
            let text = format!("{prompt}{}", texts[at].as_ref());
            let text = if self.lower_case { text.to_lowercase() } else { text };
            self.tokenizer.encode_alone(&text, self.max_tokens)
        };
        let sequences: Vec<Vec<u32>> = in_parallel(texts.len(), encode)?;
        let batches = batches(&sequences, self.execution.batch_tokens, Vec::len);
        let vectors = in_parallel(batches.len(), |batch| self.vectors(batches[batch]))?;
        Ok(vectors.concat())
    }

    fn vectors(&self, sequences: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let packed = Packed::from_sequences(sequences)?;
        let states = self.model.hidden(&packed, None, Mode::Eval(self.execution.precision))?; // [t, d]
        let means = packed.offsets().windows(2).map(|ends| states.narrow(0, ends[0], ends[1] - ends[0])?.mean(0));
        let means = Tensor::stack(&means.collect::<candle_core::Result<Vec<_>>>()?, 0)?; // [n, d]
        let lengths = means.sqr()?.sum_keepdim(D::Minus1)?.sqrt()?.clamp(1e-12, f64::INFINITY)?; // [n, 1]
        Ok(means.broadcast_div(&lengths)?.to_vec2()?)
    }
}

/// Refuses modules that would be left out.
fn check_modules(folder: &Path) -> Result<()> {
    let modules = optional(&folder.join(MODULES_FILE))?;
    for module in modules.as_array().into_iter().flatten() {
        let kind = module["type"].as_str().unwrap_or_default().rsplit('.').next().unwrap_or_default();
        match kind {
            "Transformer" | "Normalize" => {}
            "Pooling" => {
                let path = folder.join(module["path"].as_str().unwrap_or_default()).join("config.json");
                let config = optional(&path)?;
                let modes = config.as_object().into_iter().flatten();
                let others = modes.filter(|(name, on)| name.starts_with("pooling_mode_") && on.as_bool() == Some(true));
                let named = config["pooling_mode"].as_str().is_some_and(|mode| mode == "mean");
                let others: Vec<&str> = others.map(|(name, _)| name.as_str()).filter(|&name| name != MEAN).collect();
                if config["include_prompt"].as_bool() == Some(false) {
                    return Err(expected(&path, "pooling over the prompt too", "include_prompt = false"));
                }
                if !others.is_empty() || !(named || config[MEAN].as_bool() == Some(true)) {
                    return Err(expected(&path, "mean pooling", &config.to_string()));
                }
            }
            other => return Err(expected(folder, "the modules Transformer, Pooling and Normalize alone", other)),
        }
    }
    Ok(())
}

fn expected(path: &Path, expected: &str, found: &str) -> Error {
    crate::folder::format_error(path, expected, found.to_owned())
}
