//! The pieces of work that are measured.

use clap::ValueEnum;
use nn::ops::Precision;

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
    /// The same in bf16 on both sides
    #[value(name = "student-score-128-bf16")]
    StudentScore128Bf16,
    /// The same in int8 on both sides
    #[value(name = "student-score-128-int8")]
    StudentScore128Int8,
    /// Requests of one sequence of 128 tokens, one after the other
    #[value(name = "student-latency-1")]
    StudentLatency1,
    /// Requests of 10 sequences of 128 tokens, one after the other
    #[value(name = "student-latency-10")]
    StudentLatency10,
    /// Requests of 50 sequences of 128 tokens, one after the other
    #[value(name = "student-latency-50")]
    StudentLatency50,
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

    /// The precisions that will do: the fastest counts.
    pub(crate) fn precisions(self) -> &'static [Precision] {
        match self {
            Work::StudentTrain128 | Work::StudentScore128 | Work::TeacherCpt | Work::TeacherRank => &[Precision::F32],
            Work::StudentScore128Bf16 => &[Precision::Bf16],
            Work::StudentScore128Int8 => &[Precision::Int8],
            Work::StudentTrainReal | Work::TeacherScore => &[Precision::F32, Precision::Bf16],
            Work::StudentScoreReal | Work::StudentLatency1 | Work::StudentLatency10 | Work::StudentLatency50 => {
                &[Precision::F32, Precision::Bf16, Precision::Int8]
            }
        }
    }

    /// Whom to compare with: the fastest counts.
    pub(crate) fn peers(self) -> &'static [&'static str] {
        match self {
            Work::StudentTrain128 | Work::TeacherCpt | Work::TeacherRank => &["transformers f32"],
            Work::StudentScore128 => &["transformers f32", "onnxruntime f32", "openvino f32"],
            Work::StudentScore128Bf16 => &["transformers bf16", "openvino bf16"],
            Work::StudentScore128Int8 => &["onnxruntime int8", "openvino int8"],
            Work::StudentTrainReal => &["sentence-transformers f32", "sentence-transformers bf16"],
            Work::StudentScoreReal => &[
                "sentence-transformers f32",
                "sentence-transformers bf16",
                "onnxruntime f32",
                "onnxruntime int8",
                "openvino f32",
                "openvino bf16",
                "openvino int8",
            ],
            Work::StudentLatency1 | Work::StudentLatency10 | Work::StudentLatency50 => &[
                "transformers f32",
                "transformers bf16",
                "onnxruntime f32",
                "onnxruntime int8",
                "openvino f32",
                "openvino bf16",
                "openvino int8",
            ],
            Work::TeacherScore => &["transformers f32", "transformers bf16"],
        }
    }

    /// True if a round is requests in turn, whose times are measured one by one.
    pub(crate) fn is_latency(self) -> bool {
        matches!(self, Work::StudentLatency1 | Work::StudentLatency10 | Work::StudentLatency50)
    }
}
