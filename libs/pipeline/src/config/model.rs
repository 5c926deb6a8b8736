//! The tables of the stages that train: `[cpt]`, `[teacher]`, `[distill]`.

use std::ops::RangeInclusive;

use ranking::loss::{Hinge, Hybrid, Loss};
use ranking::sample::ListSampler;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::base::{BaseModel, check_start};
use super::input::InputConfig;
use super::load::{Checks, default_fn};
use super::loss::{Beside, LossKey, check_labels, check_scores};
use super::mined::MinedConfig;
use super::phases::{PhaseConfig, check_phases};
use super::training::{
    ListTraining, ScheduleKind, TrainingConfig, accumulation_steps, check_ranks, checkpoint_every, first_rank,
    layer_decay, list_training_table, max_gradient_norm, schedule, training_table, warmup_fraction, weight_decay,
};

/// Tokenizers and continued pre-training examples (section 3.1 of the paper).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CptConfig {
    /// The tokenizer of a teacher from random weights: byte-level BPE. One with a base model reads by the base's.
    pub teacher_tokenizer: Option<TokenizerConfig>,
    /// The tokenizer of a student from random weights: `WordPiece`. One with a base model reads by the base's.
    pub student_tokenizer: Option<TokenizerConfig>,
    /// Satisfied clicks a pair needs to become an example.
    pub min_satisfied_clicks: usize,
    /// Most examples; the pairs with most satisfied clicks come first. 0 takes all.
    pub max_examples: usize,
    /// Tokens a pack of examples holds at most.
    pub pack_tokens: usize,
}

/// A tokenizer to load or to train.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenizerConfig {
    /// A folder whose tokenizer is used, read as transformers reads it.
    pub path: Option<String>,
    /// Vocabulary of a tokenizer trained from queries and documents, where no path is given.
    pub vocab_size: usize,
}

/// The teacher.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// A saved ranker that is the teacher as it is: a folder, or `hf:org/name[@revision]`. Nothing is trained, so that `input` is
    /// the only other key.
    #[serde(rename = "use")]
    pub saved: Option<BaseModel>,
    /// The base model, decoder or encoder; where there is none, `model` starts from random weights.
    pub base: Option<BaseModel>,
    /// Dropout while training, in place of the base model's own.
    pub dropout: Option<f64>,
    /// A decoder from random weights.
    pub model: Option<DecoderConfig>,
    /// How the teacher reads a query and a document.
    #[serde(default)]
    pub input: InputConfig,
    /// Which tokens a decoder's score is read from: `last_token`, or `mean`, which other libraries do not read. Where absent, as
    /// the base model, if that is a ranker, else from the last token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooling: Option<TeacherPooling>,
    /// Phase 1: continued pre-training of a decoder, where the pipeline has this table.
    pub cpt: Option<CptPhaseConfig>,
    /// Before phase `rank`, where the pipeline has this table: the same training on the titles of the collection. The title
    /// of a document takes the place of a query, its text is relevant, and BM25's first other texts are not. Where no document has a
    /// title, the first sentence of a text takes its place. It uses no judgments, so that its result serves every fold of a
    /// cross-validation: the runs of one root share it.
    pub titles: Option<TitlesConfig>,
    /// Phase 2: fine-tuning with a rank loss; needed without `use`.
    pub rank: Option<RankConfig>,
    /// Phase 3, where the pipeline has this table: the training on judged lists again, with negatives that the ranker of phase 2
    /// finds hardest.
    pub mined: Option<MinedConfig>,
    /// How every phase adapts the base model by updates of low rank, where the pipeline has this table; without it, all
    /// weights are trained.
    pub lora: Option<LoraConfig>,
}

/// Which tokens a decoder's score is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TeacherPooling {
    /// The last one, the only one that sees all others.
    LastToken,
    /// All of them: the mean of the last layer's output.
    Mean,
}

/// Low-rank adaptation (arXiv 2106.09685).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the updates.
    pub rank: usize,
    /// The updates are multiplied by alpha / rank.
    pub alpha: f64,
    /// Share of its input that an update does not see while training.
    #[serde(default)]
    pub dropout: f64,
    /// Linear layers, or the ends of their names; `all-linear` is all but the head.
    pub targets: Vec<String>,
    /// True to save the teacher whole, the updates added to its weights, rather than as an adapter of its base model.
    #[serde(default)]
    pub merge: bool,
}

/// Size of a Llama decoder, in the names of its `config.json`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// Width.
    pub hidden_size: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Heads of keys and values; as many as attention heads where absent.
    pub num_key_value_heads: Option<usize>,
}

/// Size of a BERT encoder, in the names of its `config.json`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// Width.
    pub hidden_size: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Dropout of hidden states and attention while training.
    #[serde(default)]
    pub dropout: f64,
}

default_fn!(hybrid: LossKey = LossKey::Name(Loss::Hybrid(Hybrid::default())));
default_fn!(standardise: bool = true);
default_fn!(mask_fraction: f64 = 0.15);

training_table! {
    /// Continued pre-training: next-token loss on clicked titles and summaries.
    CptPhaseConfig {
        /// Packs of examples per step.
        packs_per_step: usize,
    }
}

list_training_table! {
    /// Fine-tuning with a rank loss on graded lists (section 3.2 of the paper).
    RankConfig {
        /// The loss, by its name or as a table of its name and parameters, such as `{ name = "hinge", margin = 0.5 }`.
        loss: LossKey,
        /// Margin of `loss = "hinge"`, in logits; 1 where absent. A loss that is a table has its margin there.
        margin: Option<f64>,
        ..ListTraining;
        /// Unjudged documents among BM25's first this many for a query join its list as grade 0, and fill half of
        /// `list_size` or what the judged ones leave; 0 adds none. For collections that judge relevant documents alone.
        #[serde(default)]
        negatives_depth: usize,
        /// BM25's rank, from 1, of the first document that can join so: the very first ones are often relevant, though nobody
        /// judged them.
        #[serde(default = "first_rank")]
        negatives_from_rank: usize,
    }
}

training_table! {
    /// Pre-training of a student from random weights: naming hidden words of queries and clicked documents.
    PretrainConfig {
        /// Clicked pairs per step.
        examples_per_step: usize,
        /// Share of the words hidden and predicted on the side that is mostly shown, and shown on the other side; the
        /// sides are query and document, and take turns.
        #[serde(default = "mask_fraction")]
        mask_fraction: f64,
    }
}

list_training_table! {
    /// Distillation from the teacher's scores (section 3.3 of the paper).
    DistillConfig {
        /// The base model, encoder or decoder, or `teacher`: this run's own teacher after its last phase. Where there is none,
        /// `model` starts from random weights.
        base: Option<BaseModel>,
        /// Dropout while training, in place of the base model's own.
        dropout: Option<f64>,
        /// Layers of an encoder `base` that are kept, counted from 0; all where absent.
        keep_layers: Option<Vec<usize>>,
        /// An encoder from random weights.
        model: Option<EncoderConfig>,
        /// What the distilled student, an encoder, learns first, where the pipeline has this table.
        pretrain: Option<PretrainConfig>,
        /// The same student trained on the judged labels alone, for comparison, where the pipeline has this table. With
        /// `base = "teacher"`, it starts from the same layers of `teacher.base`, before any phase of the teacher.
        labels_only: Option<LabelsOnlyConfig>,
        /// The loss against the teacher's scores, by its name or as a table of its name and parameters, such as
        /// `{ name = "hybrid", alpha = 0.3 }`.
        #[serde(default = "hybrid")]
        loss: LossKey,
        /// Weight of the pointwise part of `loss = "hybrid"`, from 0 to 1; the margin part has the rest; 0.5 where absent.
        /// A loss that is a table has its alpha there.
        alpha: Option<f64>,
        /// True to standardise teacher scores to mean 0 and standard deviation 1 over the training table.
        #[serde(default = "standardise")]
        standardise: bool,
        /// Documents on which several teachers disagree count less, the more so the larger this number: a list counts as the
        /// mean of 1 / (1 + spread_weight * spread^2) over its documents of a step, where `spread` is that of
        /// teacher_scores, and a step's loss is the weighted mean of its lists' losses. 0, and where absent, all count the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        spread_weight: Option<f64>,
        /// A layer that the distilled student, an encoder, has in this training, where the pipeline has this table.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        term_control: Option<TermControlConfig>,
        ..ListTraining;
        /// Trainings of the student before this one, in order, each from the result of the one before, such as a contrastive one
        /// (`labels = "best"`) before that on the teacher's lists. The label-only student has none of them.
        #[serde(default)]
        phases: Vec<PhaseConfig>,
        /// How the student reads a query and a document.
        #[serde(default)]
        input: InputConfig,
    }
}

/// A layer of the distilled student in the training of `[distill]`, not in its phases: a second score, from the states of the document's tokens that the
/// query has too. It takes the signal of matching terms into the student, and is left out of the saved one (term control layer of
/// RRADistill, arXiv 2410.18097; the layer's form is this project's).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TermControlConfig {
    /// The loss is that of the student's scores, plus this times the same loss of the layer's scores; above 0.
    pub weight: f64,
}

impl Default for TermControlConfig {
    fn default() -> Self {
        TermControlConfig { weight: 1.0 }
    }
}

/// The label-only student is fine-tuned exactly as a teacher is.
pub type LabelsOnlyConfig = RankConfig;

/// Titles are learnt exactly as judged lists are, but for `negatives_depth`, which must be given, and the validation, which
/// would need judgments.
pub type TitlesConfig = RankConfig;

impl Default for CptConfig {
    fn default() -> Self {
        CptConfig {
            teacher_tokenizer: None,
            student_tokenizer: None,
            min_satisfied_clicks: 1,
            max_examples: 0,
            pack_tokens: 1024,
        }
    }
}

impl Default for TokenizerConfig {
    fn default() -> Self {
        TokenizerConfig { path: None, vocab_size: 4096 }
    }
}

impl CptConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        for (key, tokenizer) in [("teacher", &self.teacher_tokenizer), ("student", &self.student_tokenizer)] {
            let size = tokenizer.as_ref().map_or(usize::MAX, |tokenizer| tokenizer.vocab_size);
            checks.at_least(&format!("cpt.{key}_tokenizer.vocab_size"), size, 300);
            let path = tokenizer.as_ref().and_then(|tokenizer| tokenizer.path.as_deref());
            checks.local(&format!("cpt.{key}_tokenizer.path"), path.unwrap_or_default());
        }
        checks.at_least("cpt.min_satisfied_clicks", self.min_satisfied_clicks, 1);
    }
}

impl RankConfig {
    /// The ranks of the documents found that are negatives; empty where there are none.
    #[must_use]
    pub fn negative_ranks(&self) -> RangeInclusive<usize> {
        self.negatives_from_rank..=self.negatives_depth
    }

    fn complete_loss(&self) -> Loss {
        match (self.loss, self.margin) {
            (LossKey::Name(Loss::Hinge(_)), Some(margin)) => Loss::Hinge(Hinge { margin }),
            (key, _) => key.loss(),
        }
    }

    fn check(&self, table: &str, checks: &mut Checks) {
        self.list_training().check(table, checks);
        let margin = Beside { key: "margin", value: self.margin, of: "hinge" };
        self.loss.check(table, &self.complete_loss(), margin, checks);
        check_ranks(table, self.negatives_from_rank, self.negatives_depth, checks);
    }
}

fn check_heads(table: &str, hidden: usize, intermediate: usize, layers: usize, heads: usize, checks: &mut Checks) {
    checks.at_least(&format!("{table}.hidden_size"), hidden, 1);
    checks.at_least(&format!("{table}.intermediate_size"), intermediate, 1);
    checks.at_least(&format!("{table}.num_hidden_layers"), layers, 1);
    let divides = heads > 0 && hidden.is_multiple_of(heads);
    checks.require(divides, &format!("{table}.num_attention_heads"), "a divisor of hidden_size", &heads);
}

impl TeacherConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        let outputs = self.rank.as_ref().map_or(1, |rank| rank.list_training().loss.outputs());
        self.input.check("teacher", outputs, checks);
        if self.saved.is_some() {
            return self.check_saved(checks);
        }
        check_start("teacher", self.base.as_ref(), self.model.is_some(), self.dropout, checks);
        if let Some(model) = &self.model {
            model.check(checks);
        }
        if let Some(cpt) = &self.cpt {
            cpt.training().check("teacher.cpt", checks);
            checks.at_least("teacher.cpt.packs_per_step", cpt.packs_per_step, 1);
        }
        if let Some(titles) = &self.titles {
            titles.check("teacher.titles", checks);
            check_scores("teacher.titles", &titles.complete_loss(), "own and other titles", checks);
            checks.at_least("teacher.titles.negatives_depth", titles.negatives_depth, 1);
            let every = titles.validate_every;
            checks.require(every == 0, "teacher.titles.validate_every", "0: the phase knows no judgments", &every);
        }
        match &self.rank {
            Some(rank) => rank.check("teacher.rank", checks),
            None => checks.require(false, "teacher.rank", "this table, or teacher.use, a saved ranker", &"neither"),
        }
        if let Some(mined) = &self.mined {
            mined.check(self.rank.as_ref(), checks);
        }
        if let Some(lora) = &self.lora {
            lora.check(checks);
            checks.require(self.base.is_some(), "teacher.lora", "it beside teacher.base alone", &"a table");
        }
    }
}

impl TeacherConfig {
    /// A ranker that is taken as it is has nothing else.
    fn check_saved(&self, checks: &mut Checks) {
        let own = self.saved == Some(BaseModel::Teacher);
        checks.require(!own, "teacher.use", "a folder or hf:org/name[@revision]", &"teacher");
        let others = [
            ("base", self.base.is_some()),
            ("dropout", self.dropout.is_some()),
            ("pooling", self.pooling.is_some()),
            ("model", self.model.is_some()),
            ("cpt", self.cpt.is_some()),
            ("titles", self.titles.is_some()),
            ("rank", self.rank.is_some()),
            ("mined", self.mined.is_some()),
            ("lora", self.lora.is_some()),
        ];
        for (key, _) in others.iter().filter(|(_, is_given)| *is_given) {
            let expected = "none beside teacher.use, whose ranker is taken as it is";
            checks.require(false, &format!("teacher.{key}"), expected, &"one");
        }
    }

    /// What the teacher starts from or, taken as it is, is; `None` for one from random weights.
    #[must_use]
    pub fn origin(&self) -> Option<&BaseModel> {
        self.base.as_ref().or(self.saved.as_ref())
    }

    /// The base model of a teacher that is saved as an adapter of it.
    #[must_use]
    pub fn adapter_base(&self) -> Option<&BaseModel> {
        let is_adapter = self.lora.as_ref().is_some_and(|lora| !lora.merge);
        self.base.as_ref().filter(|_| is_adapter)
    }
}

impl LoraConfig {
    fn check(&self, checks: &mut Checks) {
        checks.at_least("teacher.lora.rank", self.rank, 1);
        checks.positive("teacher.lora.alpha", self.alpha);
        let dropout = (0.0..1.0).contains(&self.dropout);
        checks.require(dropout, "teacher.lora.dropout", "a number from 0 to below 1", &self.dropout);
        checks.require(!self.targets.is_empty(), "teacher.lora.targets", "at least one linear layer", &"[]");
    }
}

impl DecoderConfig {
    fn check(&self, checks: &mut Checks) {
        let (layers, heads) = (self.num_hidden_layers, self.num_attention_heads);
        check_heads("teacher.model", self.hidden_size, self.intermediate_size, layers, heads, checks);
        let even = heads > 0 && (self.hidden_size / heads).is_multiple_of(2);
        checks.require(even, "teacher.model.hidden_size", "an even width per head", &self.hidden_size);
        let kv = self.num_key_value_heads.unwrap_or(heads);
        let divides = kv > 0 && heads.is_multiple_of(kv);
        checks.require(divides, "teacher.model.num_key_value_heads", "a divisor of num_attention_heads", &kv);
    }
}

impl EncoderConfig {
    fn check(&self, checks: &mut Checks) {
        let (layers, heads) = (self.num_hidden_layers, self.num_attention_heads);
        check_heads("distill.model", self.hidden_size, self.intermediate_size, layers, heads, checks);
        let dropout = (0.0..1.0).contains(&self.dropout);
        checks.require(dropout, "distill.model.dropout", "a number from 0 to below 1", &self.dropout);
    }
}

impl DistillConfig {
    fn complete_loss(&self) -> Loss {
        match (self.loss, self.alpha) {
            (LossKey::Name(Loss::Hybrid(_)), Some(alpha)) => Loss::Hybrid(Hybrid { alpha, ..Hybrid::default() }),
            (key, _) => key.loss(),
        }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        check_start("distill", self.base.as_ref(), self.model.is_some(), self.dropout, checks);
        if let Some(model) = &self.model {
            model.check(checks);
        }
        if let Some(keep) = &self.keep_layers {
            let found = format!("{keep:?}");
            let increasing = !keep.is_empty() && keep.is_sorted_by(|a, b| a < b);
            checks.require(increasing, "distill.keep_layers", "layers from 0 in increasing order", &found);
            checks.require(self.base.is_some(), "distill.keep_layers", "it beside distill.base alone", &found);
        }
        self.list_training().check("distill", checks);
        let (loss, alpha) = (self.complete_loss(), Beside { key: "alpha", value: self.alpha, of: "hybrid" });
        self.loss.check("distill", &loss, alpha, checks);
        check_labels("distill", &loss, self.standardise, checks);
        if let Some(weight) = self.spread_weight {
            checks.require(weight.is_finite() && weight >= 0.0, "distill.spread_weight", "a number from 0", &weight);
        }
        if let Some(layer) = &self.term_control {
            checks.positive("distill.term_control.weight", layer.weight);
        }
        check_phases(&self.phases, self.standardise, checks);
        let of_labels = self.labels_only.as_ref().map_or(1, |labels| labels.list_training().loss.outputs());
        self.input.check("distill", if self.term_control.is_some() { 2 } else { of_labels }, checks);
        if let Some(pretrain) = &self.pretrain {
            pretrain.training().check("distill.pretrain", checks);
            checks.at_least("distill.pretrain.examples_per_step", pretrain.examples_per_step, 1);
            checks.fraction("distill.pretrain.mask_fraction", pretrain.mask_fraction);
        }
        if let Some(labels_only) = &self.labels_only {
            labels_only.check("distill.labels_only", checks);
        }
    }
}
