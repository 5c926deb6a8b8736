//! The hybrid point-wise and margin loss against the teacher's scores (section 3.3 of the paper).

use nn::folder::Standardisation;
use nn::model::Ranker;
use nn::params::Params;
use nn::precision::Precision;
use nn::shards::score_gradients;
use nn::text::Encoder;
use nn::trainer::{StepLoss, Task, spread};
use pipeline::BadInput;
use pipeline::config::DistillConfig;
use ranking::loss::hybrid;
use ranking::rng::stream;
use ranking::sample::{lists_at_step, sample_list};
use tables::StageDir;
use training::{CandidateList, Corpus, passes, tokens_of, validation_ndcg};

/// One query's documents with the scores to learn.
#[derive(Debug)]
pub(crate) struct ScoredList {
    query: usize,
    documents: Vec<usize>,
    scores: Vec<f32>,
}

/// The training table.
#[derive(Debug)]
pub(crate) struct TeacherTable {
    pub(crate) lists: Vec<ScoredList>,
    pub(crate) standardisation: Option<Standardisation>,
}

impl TeacherTable {
    /// Reads the teacher's scores, standardised over the table if asked.
    pub(crate) fn read(score: &StageDir, corpus: &Corpus, standardise: bool) -> anyhow::Result<TeacherTable> {
        let table = score.table("teacher_scores")?;
        let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
        let scores = table.float32s("score")?;
        let fitted = if standardise {
            let fitted = ranking::standardisation::Standardisation::fit(scores.values()).map_err(|error| {
                BadInput(format!(
                    "{}: {error}; re-run teacher and score",
                    score.path().join("teacher_scores").display()
                ))
            })?;
            Some(fitted)
        } else {
            None
        };
        let mut lists: Vec<ScoredList> = Vec::new();
        for row in 0..table.rows() {
            let query = corpus.query(query_ids.value(row))?;
            let document = corpus.document(doc_ids.value(row)).ok_or_else(|| {
                BadInput(format!(
                    "document `{}` was scored but is not in ingest's table; re-run score",
                    doc_ids.value(row)
                ))
            })?;
            let target = fitted.map_or(scores.value(row), |fitted| fitted.apply(scores.value(row)));
            match lists.last_mut().filter(|list| list.query == query) {
                Some(list) => {
                    list.documents.push(document);
                    list.scores.push(target);
                }
                None => lists.push(ScoredList { query, documents: vec![document], scores: vec![target] }),
            }
        }
        let standardisation = fitted.map(|fitted| Standardisation { mean: fitted.mean, std: fitted.std });
        Ok(TeacherTable { lists, standardisation })
    }
}

/// Trains the student on the teacher's scores.
#[derive(Debug)]
pub(crate) struct HybridTask<'a> {
    pub(crate) student: &'a Ranker,
    pub(crate) encoder: &'a Encoder<'a>,
    pub(crate) corpus: &'a Corpus,
    pub(crate) lists: &'a [ScoredList],
    pub(crate) validation: &'a [CandidateList],
    pub(crate) config: &'a DistillConfig,
    pub(crate) seed: u64,
    pub(crate) precision: Precision,
}

impl Task for HybridTask<'_> {
    fn params(&self) -> Params {
        self.student.params().trained()
    }

    fn step(&mut self, step: usize) -> nn::Result<StepLoss> {
        let lists = lists_at_step(self.seed, "distill", self.lists.len(), self.config.lists_per_step, step as u64);
        let mut rng = stream(self.seed, "distill/documents", step as u64);
        let (mut texts, mut targets, mut offsets) = (Vec::new(), Vec::new(), vec![0]);
        for list in lists.into_iter().map(|list| &self.lists[list]) {
            for document in sample_list(&mut rng, &list.scores, self.config.list_size) {
                texts.push(self.corpus.texts(list.query, list.documents[document]));
                targets.push(list.scores[document]);
            }
            offsets.push(texts.len());
        }
        let sequences = self.encoder.encode_batch(&texts)?;
        let passes = passes(self.seed, step, &self.config.training(), self.precision);
        let mut components = Vec::new();
        let (scores, gradients) = score_gradients(self.student, &sequences, passes, |scores| {
            let hybrid = hybrid(scores, &targets, &offsets, self.config.alpha)?;
            components = vec![("pointwise_mse", hybrid.pointwise), ("margin_mse", hybrid.margin)];
            Ok::<_, ranking::loss::LossError>(hybrid.total)
        })?;
        let spread = Some(spread(&scores));
        Ok(StepLoss { gradients, components, spread, examples: targets.len(), tokens: tokens_of(&sequences) })
    }

    fn validate(&mut self) -> nn::Result<Option<f64>> {
        validation_ndcg(self.student, self.encoder, self.corpus, self.validation, self.precision)
    }
}
