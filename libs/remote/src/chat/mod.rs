//! Language models that judge documents by a prompt, over OpenAI's `POST /v1/chat/completions`.
//!
//! [`Permuter`] has whole lists ordered, window by window; [`YesNo`] reads the probability of a word; [`Grader`] has documents
//! graded from 0 to 3. Each takes its prompt from a template, a text file whose messages begin with a line `--- system`, `--- user`
//! or `--- assistant` and whose places are `{query}`, and `{passages}` and `{count}` or `{document}`. Models are asked at
//! temperature 0. Models that know no system message need a template without one.

mod completion;
mod grade;
mod permutation;
mod permute;
mod template;
mod yes_no;

pub use grade::{GradeConfig, Graded, Grader};
pub use permutation::{Reading, read as read_permutation};
pub use permute::{PermutationConfig, Permutations, Permuter, Ranking, Repairs};
pub use yes_no::{YesNo, YesNoConfig, YesNoScores};
