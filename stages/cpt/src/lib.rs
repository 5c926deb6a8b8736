//! Stage `cpt`: tokenizers, and continued pre-training examples from satisfied clicks (section 3.1 of the paper).
//!
//! One example is the teacher's input, for a decoder `query: {query} document: {title} {summary}`, its loss on title and
//! summary alone. Examples are grouped into packs of at most `pack_tokens` tokens, in a random order of the run's seed.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod examples;
mod tokenizers;

use anyhow::Context;
use nn::text::Encoder;
use pipeline::{BadInput, Input, Pipeline, Stage, StageRun};
use training::{Corpus, Start, TRAIN, base_inputs};

/// Folder of the teacher's tokenizer.
pub const TEACHER_TOKENIZER: &str = "teacher_tokenizer";
/// Folder of the student's tokenizer.
pub const STUDENT_TOKENIZER: &str = "student_tokenizer";

/// The stage.
#[derive(Debug)]
pub struct Cpt;

impl Stage for Cpt {
    const NAME: &'static str = "cpt";

    fn inputs(&self, pipeline: &Pipeline) -> anyhow::Result<Vec<Input>> {
        let table = |table| Input::Table { stage: "ingest", table };
        let mut inputs = vec![table("queries"), table("documents"), table("pairs")];
        inputs.extend(tokenizers::files(pipeline).into_iter().map(Input::File));
        inputs.extend(base_inputs(pipeline, pipeline.teacher.base.as_ref())?);
        inputs.extend(base_inputs(pipeline, pipeline.student_origin())?);
        Ok(inputs)
    }

    fn run(&self, run: &mut StageRun) -> anyhow::Result<()> {
        let config = run.pipeline().cpt.clone();
        let ingest = run.input("ingest")?;
        let corpus = Corpus::read(&ingest)?;
        let teacher = tokenizers::teacher(run.pipeline(), &corpus).context("teacher's tokenizer")?;
        tokenizers::save(&teacher, &run.out().join(TEACHER_TOKENIZER))?;
        let student = tokenizers::student(run.pipeline(), &corpus).context("student's tokenizer")?;
        tokenizers::save(&student, &run.out().join(STUDENT_TOKENIZER))?;

        let clicked = examples::clicked_pairs(&ingest, &corpus, &config)?;
        if !clicked.iter().any(|pair| corpus.queries[pair.query].split == TRAIN) {
            let path = ingest.path().join("pairs");
            return Err(BadInput(format!(
                "{}: expected pairs of the training split with at least {} satisfied clicks, found none; lower \
                 cpt.min_satisfied_clicks or ingest.clean.satisfied_dwell_seconds, or ingest more log",
                path.display(),
                config.min_satisfied_clicks
            )))?;
        }
        let scoring = Start::of_teacher(run.pipeline(), &teacher)?.scoring;
        let encoder = Encoder::new(&teacher, &scoring)?;
        let examples = examples::encode(&encoder, &corpus, &clicked)?;
        let splits: Vec<&str> = examples.iter().map(|example| &corpus.queries[example.query].split[..]).collect();
        let packs = examples::pack(&examples, &splits, config.pack_tokens, run.seed());
        let tokens: usize = examples.iter().map(|example| example.sequence.ids.len()).sum();
        examples::write(run, &corpus, &examples, &packs, &teacher.identity())?;
        run.fact("examples", examples.len());
        run.fact("packs", packs.len());
        run.fact("tokens", tokens);
        run.fact("teacher_vocabulary", teacher.vocabulary_size());
        run.fact("student_vocabulary", student.vocabulary_size());
        Ok(())
    }
}
