//! A model of any architecture.

use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::Value;

use super::backbone::{Backbone, Head, is_head, keeping};
use super::check_head;
use super::decoder::{self, LM_HEAD};
use crate::ops::{Precision, cross_entropy, expected_class, linear, sequence_means};
use crate::text::{Kind, Packed, Pooling};
use crate::weights::{LoraConfig, Mode, ParamSpec, Params, linear_layer};
use crate::{Error, Result};

/// An architecture with the values of its weights: a ranker, which gives a score per sequence, or a language model.
///
/// A copy shares the weights: training one trains the other.
#[derive(Debug, Clone)]
pub struct Model {
    backbone: Arc<dyn Backbone>,
    head: Head,
    /// What the score is read from.
    pooling: Pooling,
    params: Params,
}

impl Model {
    /// A fresh model: its weights are a function of (backbone, head, seed).
    ///
    /// # Errors
    /// Sizes that do not fit together; an encoder with a language model head.
    pub fn new(backbone: Arc<dyn Backbone>, head: Head, seed: u64) -> Result<Self> {
        backbone.check()?;
        check_head(backbone.as_ref(), head)?;
        let params = Params::init(&backbone.weights(head), seed)?;
        Ok(Self { pooling: backbone.pooling(), backbone, head, params })
    }

    /// Loads the weights of a backbone from safetensors files. Without `new_head`, the files hold exactly the weights of
    /// this backbone and head. With it, they are those of any model with the same body: weights of the head that they lack,
    /// or hold for another number of labels, start from this seed, and other heads are skipped.
    ///
    /// # Errors
    /// A missing, unknown, repeated or misshapen weight; an encoder with a language model head.
    pub fn load<P: AsRef<Path>>(
        backbone: Arc<dyn Backbone>,
        head: Head,
        files: &[P],
        new_head: Option<u64>,
    ) -> Result<Self> {
        Self::loaded(backbone, head, |specs, names, is_head| match new_head {
            None => Params::load(files, specs, names),
            Some(seed) => Params::load_body(files, specs, names, seed, is_head),
        })
    }

    /// As [`Self::load`] without a new head, of a model that can only score, and only in a precision that
    /// [rounds weights once](Precision::rounds_once): those of linear layers stay in their files until they are rounded, see
    /// [`Self::rounded`].
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_to_round<P: AsRef<Path>>(backbone: Arc<dyn Backbone>, head: Head, files: &[P]) -> Result<Self> {
        Self::loaded(backbone, head, |specs, names, is_head| {
            let is_layer = |spec: &ParamSpec| linear_layer(&spec.name, spec.shape.len(), &is_head).is_some();
            Params::load_but(files, specs, names, is_layer)
        })
    }

    /// A model with the weights that `load` reads, which is given those there are, what a stored name stands for, and which are a
    /// head's.
    fn loaded(
        backbone: Arc<dyn Backbone>,
        head: Head,
        load: impl FnOnce(&[ParamSpec], &dyn Fn(&str) -> Option<String>, &dyn Fn(&str) -> bool) -> Result<Params>,
    ) -> Result<Self> {
        check_head(backbone.as_ref(), head)?;
        // A ranker that was made of a language model may have kept the head that it does not use.
        let unused = |name: &str| head != Head::LanguageModel && backbone.kind() == Kind::Decoder && name == LM_HEAD;
        let names = |stored: &str| backbone.weight_name(stored).filter(|name| !unused(name));
        let params = load(&backbone.weights(head), &names, &|name: &str| is_head(backbone.as_ref(), name))?;
        Ok(Self { pooling: backbone.pooling(), backbone, head, params })
    }

    /// This model with its score read as `pooling` says, where that is not its architecture's own: the mean over all tokens
    /// in place of a decoder's last one.
    ///
    /// # Errors
    /// Another pooling than these two.
    pub fn with_pooling(self, pooling: Pooling) -> Result<Self> {
        let own = self.backbone.pooling();
        if pooling == own || (self.backbone.kind() == Kind::Decoder && pooling == Pooling::Mean) {
            return Ok(Self { pooling, ..self });
        }
        Err(Error::Config { field: "pooling", found: format!("{pooling:?}"), expected: format!("{own:?}") })
    }

    /// What the score is read from.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The architecture and its sizes.
    pub fn backbone(&self) -> &dyn Backbone {
        self.backbone.as_ref()
    }

    /// What it ends in.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The name of a weight in this model's files.
    pub(crate) fn stored_name<'a>(&self, name: &'a str) -> &'a str {
        match self.backbone.kind() {
            Kind::Decoder => decoder::stored_name(name, self.pooling),
            Kind::Encoder => name,
        }
    }

    /// The weights without those of the head.
    pub fn body_params(&self) -> Params {
        self.params.only(|name| !is_head(self.backbone(), name))
    }

    /// True for a weight of a head that this model does not have.
    pub(crate) fn is_other_head(&self, weight: &str) -> bool {
        is_head(self.backbone(), weight) && self.params.get(weight).is_err()
    }

    /// The share of the learning rate of a weight, where each layer has `decay` times the rate of the layer above it (ELECTRA,
    /// arXiv 2003.10555, appendix A): the head and what else follows the last layer has the rate itself, embeddings have the
    /// least.
    pub fn rate_share(&self, weight: &str, decay: f64) -> f64 {
        let (prefix, layers) = self.backbone.layers();
        let layer = weight.strip_prefix(&prefix).and_then(|rest| rest.split_once('.')?.0.parse::<usize>().ok());
        let levels_above = match layer {
            Some(layer) => layers.saturating_sub(layer),
            None if !is_head(self.backbone(), weight) && weight.contains("embed") => layers + 1,
            None => 0,
        };
        decay.powi(levels_above as i32)
    }

    /// The modules of this model's head that are trained, by the last parts of their names.
    pub(crate) fn trained_heads(&self) -> Vec<&'static str> {
        let trained = self.params.trained();
        let is_trained = |module: &str| {
            trained.iter().any(|(name, _)| name.strip_prefix(module).is_some_and(|rest| rest.starts_with('.')))
        };
        let modules = self.backbone.heads().iter().filter(|module| is_trained(module));
        modules.map(|module| module.rsplit('.').next().unwrap_or(module)).collect()
    }

    /// The ranker whose score is the logit that this language model gives the token `yes` next, less the one of `no` where it
    /// is given: the difference of the two rows of its head.
    ///
    /// # Errors
    /// A token outside the vocabulary; a model with another head.
    pub(crate) fn scored_by_words(&self, yes: u32, no: Option<u32>) -> Result<Self> {
        self.expect(Head::LanguageModel)?;
        if let Some(cap) = self.backbone.logit_cap() {
            return Err(Error::Config {
                field: "final_logit_softcapping",
                found: cap.to_string(),
                expected:
                    "null for a language model that is scored by words: a difference of bounded logits is no linear \
                           score"
                        .to_owned(),
            });
        }
        let rows = self.backbone.vocab_size();
        if let Some(id) = [Some(yes), no].into_iter().flatten().find(|&id| id as usize >= rows) {
            return Err(Error::Config {
                field: "true_token_id or false_token_id",
                found: id.to_string(),
                expected: format!("an id below vocab_size = {rows} (the module LogitScore of sentence-transformers)"),
            });
        }
        let head = self.backbone.token_predictor();
        let predictor = self.params.get(&head)?.as_detached_tensor();
        let row = |id: u32| predictor.narrow(0, id as usize, 1);
        let score = match no {
            Some(no) => (row(yes)? - row(no)?)?,
            None => row(yes)?,
        };
        let params = self.params.with_score(&self.backbone.weights(Head::Score), &score)?;
        Ok(Self { head: Head::Score, params, ..self.clone() })
    }

    /// This model with another head, which starts from the seed; with its own head, as it is. All but the head is shared.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_head(&self, head: Head, seed: u64) -> Result<Self> {
        if head == self.head {
            return Ok(self.clone());
        }
        check_head(self.backbone(), head)?;
        Ok(Self { head, params: self.params.with_specs(&self.backbone.weights(head), seed)?, ..self.clone() })
    }

    /// config.json as Hugging Face transformers reads it.
    ///
    /// # Errors
    /// A field that JSON cannot hold.
    pub fn config_json(&self) -> Result<Value> {
        self.backbone.config_json(self.head)
    }

    /// This model with its weights frozen and updates of low rank beside them. A scoring head is trained as it is; the head
    /// of a language model stays frozen.
    ///
    /// # Errors
    /// As [`Params::with_lora`].
    pub fn with_lora(&self, lora: &LoraConfig, seed: u64) -> Result<Self> {
        let is_head = |name: &str| is_head(self.backbone(), name);
        let params = self.params.with_lora(lora, seed, is_head, self.head != Head::LanguageModel)?;
        Ok(Self { params, ..self.clone() })
    }

    /// This model with the updates of low rank added to its weights, all of which can be trained again.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn merged(&self) -> Result<Self> {
        Ok(Self { params: self.params.merged()?, ..self.clone() })
    }

    /// As [`Params::for_scoring`].
    pub fn for_scoring(&self) -> Self {
        Self { params: self.params.for_scoring(), ..self.clone() }
    }

    /// This ranker for scores in a precision that [rounds weights once](Precision::rounds_once): every linear layer is rounded by a
    /// pass over one token, or kept in `f32` where this precision computes so, and none read or refused later.
    ///
    /// # Errors
    /// A file of weights that cannot be read, or whose numbers are not finite.
    pub fn rounded(&self, precision: Precision) -> Result<Self> {
        let model = self.for_scoring();
        model.score(&Packed::from_sequences(&[vec![0]])?, Mode::Eval(precision))?;
        Ok(model)
    }

    /// A shallower model of the layers `keep` alone, in their order; all else stays as it is. It shares the weights of this
    /// model. `None` where the architecture does not allow it.
    ///
    /// # Errors
    /// Layers that are not there, not in increasing order, or not enough for the architecture.
    pub fn keeping(&self, keep: &[usize]) -> Result<Option<Self>> {
        let (prefix, _) = self.backbone.layers();
        let Some(backbone) = keeping(self.backbone(), keep)? else { return Ok(None) };
        let params = self.params.renamed(|name| {
            let Some(rest) = name.strip_prefix(&prefix) else { return Some(name.to_owned()) };
            let (layer, weight) = rest.split_once('.')?;
            let kept = keep.binary_search(&layer.parse().ok()?).ok()?;
            Some(format!("{prefix}{kept}.{weight}"))
        });
        Ok(Some(Self { backbone, params, ..self.clone() }))
    }

    /// As [`Backbone::hidden`].
    ///
    /// # Errors
    /// As there.
    pub fn hidden(&self, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor> {
        self.backbone.hidden(&self.params, packed, rows, mode)
    }

    /// The score of each sequence: its raw logit, or of a model with a logit for each grade the expected grade.
    ///
    /// # Shapes
    /// `packed` of `n` sequences -> `[n]`.
    ///
    /// # Errors
    /// As [`Self::logits`].
    pub fn score(&self, packed: &Packed, mode: Mode<'_>) -> Result<Tensor> {
        let logits = self.logits(packed, mode)?;
        match self.head {
            Head::Grades(grades) => Ok(expected_class(&logits.reshape(((), grades))?)?),
            Head::Score | Head::LanguageModel => Ok(logits),
        }
    }

    /// The raw logits of each sequence, one sequence's after the other's, read as [`Self::pooling`] says. The last token is the
    /// last one that is not padding, as in transformers.
    ///
    /// # Shapes
    /// `packed` of `n` sequences -> `[n * outputs]` of the [`Head`].
    ///
    /// # Errors
    /// A model with another head; a sequence that the model cannot take.
    pub fn logits(&self, packed: &Packed, mode: Mode<'_>) -> Result<Tensor> {
        if self.head == Head::LanguageModel {
            self.expect(Head::Score)?;
        }
        let at = |rows: Vec<u32>| self.hidden(packed, Some(&rows), mode);
        let read = match self.pooling {
            Pooling::FirstToken => at(packed.first_tokens())?,
            Pooling::LastToken => at(packed.last_tokens(self.backbone.pad_id()))?,
            Pooling::Mean => sequence_means(&self.hidden(packed, None, mode)?, packed.offsets())?,
        }; // [n, d]
        self.backbone.score(&self.params, &read, mode)
    }

    /// The mean cross-entropy of the tokens of each sequence `i` from index `loss_start[i]` on, each predicted from the
    /// tokens before it. The first token of a sequence has none before it and is never predicted.
    ///
    /// # Shapes
    /// `packed` of `n` sequences, `loss_start` of length `n` -> scalar.
    ///
    /// # Errors
    /// A model with another head; a batch without a token to predict.
    pub fn next_token_loss(&self, packed: &Packed, loss_start: &[usize], mode: Mode<'_>) -> Result<Tensor> {
        self.expect(Head::LanguageModel)?;
        let (rows, targets) = prediction_rows(packed, loss_start)?;
        self.token_loss(packed, &rows, &targets, mode)
    }

    /// The mean cross-entropy of `targets`, the true tokens at `rows`, predicted by the token embedding (Devlin et al.
    /// 2019, section 3.1, with input and output embedding tied, a projection between them and the layers too, and without
    /// the extra transformation before them).
    ///
    /// # Shapes
    /// `packed` of `t` tokens, `rows` (increasing, below `t`) and `targets` of one length, at least 1 -> scalar.
    ///
    /// # Errors
    /// A decoder, which does not see the tokens after a masked one.
    pub fn masked_token_loss(&self, packed: &Packed, rows: &[u32], targets: &[u32], mode: Mode<'_>) -> Result<Tensor> {
        if self.backbone.kind() != Kind::Encoder {
            let found = self.backbone.name();
            return Err(Error::Training(format!(
                "masked words are predicted by encoders, found the architecture {found}"
            )));
        }
        self.token_loss(packed, rows, targets, mode)
    }

    fn token_loss(&self, packed: &Packed, rows: &[u32], targets: &[u32], mode: Mode<'_>) -> Result<Tensor> {
        let weights = self.params.view(mode);
        let mut hidden = self.hidden(packed, Some(rows), mode)?; // [rows, d]
        if let Some(projection) = self.backbone.embedding_projection() {
            let back = weights.get(&projection)?.t()?.contiguous()?; // [e, d]
            hidden = linear(&hidden, &back, None, mode.precision())?; // [rows, e]
        }
        let predictor = weights.get(&self.backbone.token_predictor())?;
        Ok(cross_entropy(&hidden, &predictor, targets, self.backbone.logit_cap(), mode.precision())?)
    }

    fn expect(&self, expected: Head) -> Result<()> {
        if self.head == expected {
            return Ok(());
        }
        Err(Error::Head { found: self.head.name(), expected: expected.name() })
    }
}

/// The rows that predict a token with a loss, and these tokens.
fn prediction_rows(packed: &Packed, loss_start: &[usize]) -> Result<(Vec<u32>, Vec<u32>)> {
    if loss_start.len() != packed.sequences() {
        let (found, expected) = (loss_start.len(), packed.sequences());
        return Err(Error::Batch(format!("{found} loss starts for {expected} sequences")));
    }
    let sequences = packed.offsets().windows(2).zip(loss_start);
    let predicted = sequences.flat_map(|(w, &start)| w[0] + start.max(1)..w[1]);
    let (rows, targets): (Vec<u32>, Vec<u32>) = predicted.map(|row| (row as u32 - 1, packed.ids()[row])).unzip();
    if rows.is_empty() {
        return Err(Error::Batch("no token has a loss: every sequence ends before its loss starts".into()));
    }
    Ok((rows, targets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_start_where_they_are_told() {
        let packed = Packed::from_sequences(&[vec![10, 11, 12], vec![20, 21], vec![30, 31, 32]]).unwrap();
        let (rows, targets) = prediction_rows(&packed, &[2, 0, 3]).unwrap();
        assert_eq!(targets, [12, 21]);
        assert_eq!(rows, [1, 3]);
        assert!(prediction_rows(&packed, &[3, 2, 3]).is_err());
        assert!(prediction_rows(&packed, &[0, 0]).is_err());
    }
}
