//! What the attention of all architectures shares: who sees whom.

use super::ATTENTION_MASK;
use crate::graph::{Graph, Value};
use crate::proto::DataType;

/// Added to the scores of what is not seen. Finite in 16 bits too, to which some runtimes round: a token that sees nothing, which only
/// padding does, must not become a NaN.
const UNSEEN: f32 = -1e9;

/// The tokens that are no padding.
///
/// # Shapes
/// `[b, 1, 1, s]` of booleans.
pub(super) fn tokens(graph: &mut Graph<'_>, scope: &str) -> Value {
    let mask = graph.cast(scope, ATTENTION_MASK, DataType::Bool);
    graph.unsqueeze(scope, &mask, &[1, 2])
}

/// What is added to the scores of attention where `seen` says what is seen.
pub(super) fn bias(graph: &mut Graph<'_>, scope: &str, seen: &str) -> Value {
    let (zero, unseen) = (graph.float(0.0), graph.float(UNSEEN));
    graph.node(scope, "Where", &[seen, &zero, &unseen], &[])
}

/// The positions of the tokens, from 0.
///
/// # Shapes
/// `[s]`.
pub(super) fn positions(graph: &mut Graph<'_>, scope: &str) -> Value {
    let shape = graph.node(scope, "Shape", &[super::INPUT_IDS], &[]);
    let (zero, one) = (graph.integer(0), graph.integer(1));
    let length = graph.node(scope, "Gather", &[&shape, &one], &[]);
    graph.node(scope, "Range", &[&zero, &length, &one], &[])
}

/// The distance of each token from each other one, the asking token's position less the other's.
///
/// # Shapes
/// `positions` `[s]` -> `[s, s]`.
pub(super) fn distances(graph: &mut Graph<'_>, scope: &str, positions: &str) -> Value {
    let (asking, other) = (graph.unsqueeze(scope, positions, &[1]), graph.unsqueeze(scope, positions, &[0]));
    graph.node(scope, "Sub", &[&asking, &other], &[])
}
