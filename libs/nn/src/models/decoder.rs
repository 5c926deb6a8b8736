//! What decoders with the weight names of Llama share: their heads, and how files name their weights.

use candle_core::Tensor;

use super::backbone::Head;
use crate::Result;
use crate::ops::{Dropout, Precision, linear};
use crate::text::Pooling;
use crate::weights::{Init, Mode, ParamSpec, Params};

/// The weight of the scoring head.
const SCORE: &str = "score.weight";
/// What files call it where the score is read from the mean of all tokens: other libraries, which would read the last token, then
/// say that the files have no head.
const MEAN_SCORE: &str = "mean_score.weight";
/// The weight of the language model head, unless it is the embedding.
pub(super) const LM_HEAD: &str = "lm_head.weight";
/// The weight of the token embedding.
pub(super) const WORDS: &str = "model.embed_tokens.weight";

/// As [`super::Backbone::heads`].
pub(super) const HEADS: &[&str] = &["score", "lm_head"];

/// The weight of a head, in a model of width `d`; `None` where `tied`, as the language model head is the embedding.
pub(super) fn head_weight(head: Head, tied: bool, [vocab_size, d]: [usize; 2], init: Init) -> Option<ParamSpec> {
    match head {
        Head::Score | Head::Grades(_) => Some(ParamSpec::new(SCORE, &[head.outputs(), d], init)),
        Head::LanguageModel if tied => None,
        Head::LanguageModel => Some(ParamSpec::new(LM_HEAD, &[vocab_size, d], init)),
    }
}

/// As [`super::Backbone::token_predictor`].
pub(super) fn token_predictor(tied: bool) -> String {
    if tied { WORDS } else { LM_HEAD }.to_owned()
}

/// As [`super::Backbone::weight_name`]: files of a bare decoder leave out the `model.`; old ones hold the rotary angles as
/// well.
pub(super) fn weight_name(stored: &str) -> Option<String> {
    if stored.ends_with(".rotary_emb.inv_freq") {
        return None;
    }
    if stored == MEAN_SCORE {
        return Some(SCORE.to_owned());
    }
    let bare = ["embed_tokens.", "layers.", "norm."].iter().any(|part| stored.starts_with(part));
    Some(if bare { format!("model.{stored}") } else { stored.to_owned() })
}

/// The name of a weight in the files of a model that is read at `pooling`.
pub(super) fn stored_name(name: &str, pooling: Pooling) -> &str {
    if name == SCORE && pooling == Pooling::Mean { MEAN_SCORE } else { name }
}

/// As [`super::Backbone::score`].
pub(super) fn score(params: &Params, read: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
    Ok(linear(read, &params.view(mode).get(SCORE)?, None, Precision::F32)?.flatten_all()?)
}

/// The attention weights that a layer drops.
pub(super) fn attention_dropout(share: f64, layer: usize, mode: Mode<'_>) -> Option<Dropout> {
    match mode {
        Mode::Train { dropout_seed, .. } if share > 0.0 => Some(Dropout::new(share, dropout_seed).part(layer as u64)),
        _ => None,
    }
}
