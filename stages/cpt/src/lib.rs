//! Stage `cpt`: tokenizers, and continued pre-training examples from satisfied clicks (section 3.1 of the paper).
//!
//! One example is the teacher's input, for a decoder `query: {query} document: {title} {summary}`, its loss on title and
//! summary alone. In a collection without clicks, a document's title takes the place of the query. Examples are grouped
//! into packs of at most `pack_tokens` tokens, in a random order of the run's seed. In a run without a teacher of its own, there are
//! examples, which are then the student's input, only where the student is pre-trained on them.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod coverage;
mod examples;
mod tokenizers;

use anyhow::Context;
use collection::{Corpus, TRAIN};
use models::{Origin, Start, base_inputs, check_models, saved_teacher_input};
use nn::text::{PairTokenizer, Scoring, Tokenizer};
use pipeline::config::{BaseModel, CptConfig, InputConfig, TeacherConfig};
use pipeline::{About, BadInput, Input, NothingToDo, Pipeline, RunPaths, Stage, StageContext};
use serde::Serialize;
use tables::StageDir;

use crate::examples::Pair;

/// Folder of the teacher's tokenizer.
pub const TEACHER_TOKENIZER: &str = "teacher_tokenizer";
/// Folder of the student's tokenizer.
pub const STUDENT_TOKENIZER: &str = "student_tokenizer";

/// The stage.
#[derive(Debug)]
pub struct Cpt;

/// What the stage reads of `pipeline.toml`.
#[derive(Debug, Serialize)]
pub struct Config {
    seed: u64,
    cpt: CptConfig,
    teacher: Option<TeacherModel>,
    student_base: Option<BaseModel>,
    /// The student's input, which is checked here, before anything is trained.
    student_input: InputConfig,
    /// True if a student without a teacher of this run is pre-trained on the examples.
    student_reads_examples: bool,
}

/// What the examples are the input of.
#[derive(Debug, Serialize)]
struct TeacherModel {
    base: Option<BaseModel>,
    /// The saved ranker that is the teacher as it is.
    saved: Option<BaseModel>,
    input: InputConfig,
}

impl TeacherModel {
    fn origin(&self) -> Origin<'_> {
        // Examples are tokenized, not trained on: nothing is dropped.
        Origin::teacher(self.base.as_ref(), &self.input, None)
    }
}

impl Config {
    /// Makes the teacher's tokenizer; returns it and how the teacher scores.
    fn make_teacher(
        &self,
        teacher: &TeacherModel,
        context: &mut StageContext,
        corpus: &Corpus,
    ) -> anyhow::Result<(Tokenizer, Scoring)> {
        let made = tokenizers::teacher(self, teacher, context.paths(), corpus).context("teacher's tokenizer")?;
        tokenizers::save(&made, &context.out().join(TEACHER_TOKENIZER))?;
        let scoring = match &teacher.saved {
            Some(saved) => saved_teacher_input(context.paths(), saved, &teacher.input)?.1,
            None => Start::open(context.paths(), &teacher.origin(), &made)?.scoring,
        };
        coverage::note(context, "teacher", &made, corpus)?;
        context.fact("teacher_vocabulary", made.vocabulary_size());
        Ok((made, scoring))
    }

    fn student(&self) -> Origin<'_> {
        Origin::student(self.student_base.as_ref(), &self.student_input, None)
    }
}

impl Stage for Cpt {
    const NAME: &'static str = "cpt";
    const VERSION: u32 = 4;
    const ABOUT: About = About {
        does: "trains or takes over the tokenizers, and makes continued pre-training examples from satisfied clicks, or, \
               without any click, from titles",
        reads: "ingest/queries, ingest/collection, ingest/pairs; the tokenizers of teacher.base and distill.base",
        writes: "cpt_examples; the folders teacher_tokenizer and student_tokenizer",
        keeps: None,
    };
    type Config = Config;

    fn configure(&self, pipeline: &Pipeline) -> Result<Config, NothingToDo> {
        let teacher = pipeline.teacher.clone();
        let teacher = teacher.map(|TeacherConfig { base, saved, input, .. }| TeacherModel { base, saved, input });
        Ok(Config {
            seed: pipeline.run.seed,
            cpt: pipeline.cpt.clone(),
            student_reads_examples: teacher.is_none() && pipeline.distill.pretrain.is_some(),
            teacher,
            student_base: pipeline.student_origin().cloned(),
            student_input: pipeline.distill.input.clone(),
        })
    }

    fn check(&self, pipeline: &Pipeline) -> anyhow::Result<()> {
        check_models(pipeline)
    }

    fn inputs(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let table = |table| Input::Table { stage: "ingest", table };
        let folder = Input::Folder { stage: "ingest", folder: search::FOLDER };
        let mut inputs = vec![table("queries"), folder, table("pairs")];
        inputs.extend(tokenizers::files(&config.cpt, paths).into_iter().map(Input::File));
        if let Some(teacher) = &config.teacher {
            inputs.extend(base_inputs(paths, teacher.base.as_ref())?);
            inputs.extend(base_inputs(paths, teacher.saved.as_ref())?);
        }
        inputs.extend(base_inputs(paths, config.student_base.as_ref())?);
        Ok(inputs)
    }

    fn run(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        let ingest = context.input("ingest")?;
        let corpus = Corpus::read(&ingest)?;
        let teacher = config.teacher.as_ref();
        let teacher = teacher.map(|teacher| config.make_teacher(teacher, context, &corpus)).transpose()?;
        let student = tokenizers::student(config, context.paths(), &corpus).context("student's tokenizer")?;
        tokenizers::save(&student, &context.out().join(STUDENT_TOKENIZER))?;

        let of_student = Start::open(context.paths(), &config.student(), &student)?.scoring;
        coverage::note(context, "student", &student, &corpus)?;
        let are_read = teacher.is_some() || config.student_reads_examples;
        let (reader, scoring) =
            teacher.as_ref().map_or((&student, &of_student), |(teacher, scoring)| (teacher, scoring));
        let pairs = if are_read { pairs(config, context, &ingest, &corpus)? } else { Vec::new() };
        let examples = examples::encode(&PairTokenizer::new(reader, scoring)?, &corpus, &pairs)?;
        let packs = examples::pack(&examples, config.cpt.pack_tokens, config.seed);
        let tokens: usize = examples.iter().map(|example| example.sequence.ids.len()).sum();
        examples::write(context, &corpus, &examples, &packs, &reader.identity())?;
        context.fact("examples", examples.len());
        context.fact("packs", packs.len());
        context.fact("tokens", tokens);
        context.fact("student_vocabulary", student.vocabulary_size());
        Ok(())
    }
}

/// What becomes examples: clicked pairs, or, where nobody clicked anything, documents below their own titles.
fn pairs(config: &Config, context: &mut StageContext, ingest: &StageDir, corpus: &Corpus) -> anyhow::Result<Vec<Pair>> {
    let table = ingest.table("pairs")?;
    if !examples::hold_clicks(&table)? {
        tracing::info!("cpt: the examples are the documents below their own titles, as there are no clicks");
        context.fact("examples_from", "titles, as there are no clicks");
        return Ok(examples::titled_documents(corpus, &config.cpt, config.seed));
    }
    context.fact("examples_from", "satisfied clicks");
    let clicked = examples::clicked_pairs(&table, corpus, &config.cpt)?;
    if !clicked.iter().any(|pair| pair.split == TRAIN) {
        Err(BadInput(format!(
            "{}: expected pairs of the training split with at least {} satisfied clicks, found none; lower \
             cpt.min_satisfied_clicks or ingest.clean.satisfied_dwell_seconds, or ingest more log",
            ingest.path().join("pairs").display(),
            config.cpt.min_satisfied_clicks
        )))?;
    }
    Ok(clicked)
}
