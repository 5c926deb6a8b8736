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
    /// Rank loss steps of a decoder of SmolLM2-135M's shape on 16 product pairs of their own lengths, in bf16
    #[value(name = "smollm2-rank")]
    SmolLm2Rank,
    /// The same by updates of rank 16 on every linear layer
    #[value(name = "smollm2-lora")]
    SmolLm2Lora,
    /// Its scores for lists of 50 products of their own lengths
    #[value(name = "smollm2-score")]
    SmolLm2Score,
    /// Scores of a Llama of 1.1 billion weights for sequences of 128 to 256 tokens, in bf16
    #[value(name = "decoder-1b-score-bf16")]
    Decoder1bScoreBf16,
    /// The same, ours in int8
    #[value(name = "decoder-1b-score-int8")]
    Decoder1bScoreInt8,
}

/// The shape of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// MiniLM-L6-H384
    MiniLm,
    /// A Llama of 4 layers and width 512
    SmallLlama,
    /// SmolLM2-135M
    SmolLm2,
    /// A Llama of 22 layers and width 2048
    Decoder1b,
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
            Work::StudentScore128Bf16 | Work::SmolLm2Rank | Work::SmolLm2Lora | Work::Decoder1bScoreBf16 => {
                &[Precision::Bf16]
            }
            Work::StudentScore128Int8 | Work::Decoder1bScoreInt8 => &[Precision::Int8],
            Work::StudentTrainReal | Work::TeacherScore => &[Precision::F32, Precision::Bf16],
            Work::SmolLm2Score
            | Work::StudentScoreReal
            | Work::StudentLatency1
            | Work::StudentLatency10
            | Work::StudentLatency50 => &[Precision::F32, Precision::Bf16, Precision::Int8],
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
            Work::TeacherScore | Work::SmolLm2Score => &["transformers f32", "transformers bf16"],
            Work::SmolLm2Rank | Work::Decoder1bScoreBf16 | Work::Decoder1bScoreInt8 => &["transformers bf16"],
            Work::SmolLm2Lora => &["peft bf16"],
        }
    }

    /// False if one side computes in bf16 alone and this processor has no instructions for it: PyTorch then takes minutes for
    /// what takes seconds in f32.
    pub(crate) fn runs_here(self) -> bool {
        let ours = self.precisions().iter().any(|&precision| precision != Precision::Bf16);
        let peers = self.peers().iter().any(|peer| precision_is_here(peer));
        (ours && peers) || precision_is_here("bf16")
    }

    /// The model that works.
    pub(crate) fn shape(self) -> Shape {
        match self {
            Work::TeacherCpt | Work::TeacherRank | Work::TeacherScore => Shape::SmallLlama,
            Work::SmolLm2Rank | Work::SmolLm2Lora | Work::SmolLm2Score => Shape::SmolLm2,
            Work::Decoder1bScoreBf16 | Work::Decoder1bScoreInt8 => Shape::Decoder1b,
            _ => Shape::MiniLm,
        }
    }

    /// True if a round is scores of sequences.
    pub(crate) fn only_scores(self) -> bool {
        matches!(
            self,
            Work::StudentScore128
                | Work::StudentScore128Bf16
                | Work::StudentScore128Int8
                | Work::TeacherScore
                | Work::SmolLm2Score
                | Work::Decoder1bScoreBf16
                | Work::Decoder1bScoreInt8
        )
    }

    /// True if a round is requests in turn, whose times are measured one by one.
    pub(crate) fn is_latency(self) -> bool {
        matches!(self, Work::StudentLatency1 | Work::StudentLatency10 | Work::StudentLatency50)
    }
}

/// True unless what this name ends with is a precision that the processor has no instructions for.
pub(crate) fn precision_is_here(name: &str) -> bool {
    !name.ends_with("bf16") || Precision::fastest() == Precision::Bf16
}
