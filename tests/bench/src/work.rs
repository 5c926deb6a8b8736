//! The pieces of work that are measured.

use clap::ValueEnum;

/// A piece of work: a model, its inputs, and what is done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Work {
    /// Training steps of MiniLM-L6 on 32 sequences of 128 tokens
    #[value(name = "student-train-128")]
    StudentTrain128,
    /// Training steps of MiniLM-L6 on 32 product pairs of their own lengths
    StudentTrainReal,
    /// Scores of MiniLM-L6 for sequences of 128 tokens
    #[value(name = "student-score-128")]
    StudentScore128,
    /// Scores of MiniLM-L6 for product pairs of their own lengths, from their texts
    StudentScoreReal,
    /// Continued pre-training steps of a Llama of 4 layers on 16 sequences of 128 tokens
    TeacherCpt,
    /// Rank loss steps of a Llama of 4 layers on 32 sequences of 128 tokens
    TeacherRank,
    /// Scores of a Llama of 4 layers for lists of 50 products of their own lengths
    TeacherScore,
}

impl Work {
    /// As the command line and the table call it.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// True if any precision will do, on both sides.
    pub(crate) fn takes_bf16(self) -> bool {
        self.peers().iter().any(|peer| peer.ends_with("bf16"))
    }

    /// Whom to compare with: the fastest counts.
    pub(crate) fn peers(self) -> &'static [&'static str] {
        match self {
            Work::StudentTrain128 | Work::StudentScore128 | Work::TeacherCpt | Work::TeacherRank => {
                &["transformers f32"]
            }
            Work::StudentTrainReal => &["sentence-transformers f32", "sentence-transformers bf16"],
            Work::StudentScoreReal => &["sentence-transformers f32", "sentence-transformers bf16", "onnxruntime f32"],
            Work::TeacherScore => &["transformers f32", "transformers bf16"],
        }
    }
}
