//! What each architecture computes, as a graph.

mod attention;
mod encoder;
mod head;
mod modernbert;
mod relative;

use nn::models::{Model, ModernBert};
use nn::text::{Kind, Pooling};

use crate::graph::{Graph, Precision, Value};
use crate::proto::{self, DataType, Extent, OperatorSet, ValueInfo};

/// The operators of ONNX 1.12: the first with a layer norm, and read by every runtime of these years.
const OPERATORS: i64 = 17;
/// The file format of that version.
const FORMAT: i64 = 8;

/// Token ids.
const INPUT_IDS: &str = "input_ids";
/// 1 for a token, 0 for padding.
const ATTENTION_MASK: &str = "attention_mask";
/// Segments of tokens.
const TOKEN_TYPE_IDS: &str = "token_type_ids";
/// What the graph gives.
const LOGITS: &str = "logits";

/// A model that has no graph, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoGraph(pub(crate) String);

/// The graph of a ranker, with inputs and output named as the exporters of transformers do: `input_ids`, `attention_mask` and, where
/// the model tells segments apart, `token_type_ids`, each `[batch, sequence]` of 64-bit integers, to `logits` `[batch, labels]`.
///
/// # Errors
/// A weight that the model does not have.
pub(crate) fn model(ranker: &Model, precision: Precision) -> nn::Result<Result<proto::Model, NoGraph>> {
    let mut graph = Graph::new(ranker.params(), precision);
    let body = ranker.backbone().body();
    let types = body.as_ref().and_then(|encoder| encoder.types).is_some_and(|types| types > 1);
    let hidden = match (&body, ranker.backbone().name()) {
        (Some(encoder), _) => encoder::hidden(&mut graph, encoder)?,
        (None, "ModernBert") => {
            let first_alone = ranker.pooling() == Pooling::FirstToken;
            modernbert::hidden(&mut graph, &ModernBert::from_json(&ranker.config_json()?)?, first_alone)?
        }
        (None, name) => return Ok(Err(NoGraph(refusal(name, ranker.backbone().kind())))),
    };
    let Some(head) = head::Head::of(ranker)? else {
        let name = ranker.backbone().name();
        return Ok(Err(NoGraph(format!("an architecture whose head can be exported, found {name}"))));
    };
    let read = pooled(&mut graph, &hidden, ranker.pooling());
    let logits = head.logits(&mut graph, &read)?;
    let inputs = [INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS].into_iter().take(if types { 3 } else { 2 });
    let inputs = inputs.map(|name| ValueInfo::tensor(name, DataType::Int64, vec![named("batch"), named("sequence")]));
    let labels = Extent::Fixed(ranker.head().outputs() as i64);
    let output = ValueInfo::tensor(LOGITS, DataType::Float, vec![named("batch"), labels]);
    Ok(Ok(proto::Model {
        ir_version: FORMAT,
        producer_name: "disranker".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph.finish(&logits, inputs.collect(), output)),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPERATORS }],
    }))
}

fn named(name: &str) -> Extent {
    Extent::Named(name.into())
}

fn refusal(name: &str, kind: Kind) -> String {
    match kind {
        Kind::Decoder => format!("an encoder, found the decoder {name}; distil it into an encoder, and export that"),
        Kind::Encoder => format!("an encoder that can be exported, found {name}"),
    }
}

/// What the score is read from.
///
/// # Shapes
/// `hidden` `[b, s, d]` -> `[b, d]`.
fn pooled(graph: &mut Graph<'_>, hidden: &str, pooling: Pooling) -> Value {
    const SCOPE: &str = "pooling";
    if pooling != Pooling::Mean {
        let first = graph.integer(0);
        return graph.node(SCOPE, "Gather", &[hidden, &first], &[proto::Attribute::int("axis", 1)]);
    }
    let mask = graph.cast(SCOPE, ATTENTION_MASK, DataType::Float);
    let mask = graph.unsqueeze(SCOPE, &mask, &[2]);
    let tokens = graph.node(SCOPE, "Mul", &[hidden, &mask], &[]);
    let axis = graph.list(&[1]);
    let keep = [proto::Attribute::int("keepdims", 0)];
    let [sum, count] = [&tokens, &mask].map(|x| graph.node(SCOPE, "ReduceSum", &[x, &axis], &keep));
    graph.node(SCOPE, "Div", &[&sum, &count], &[])
}

#[cfg(test)]
mod tests {
    use nn::models::{Head, architectures, read_config};
    use serde_json::json;

    use super::*;

    /// A tiny model of an architecture with the sizes that all config.jsons share, as far as they have them.
    fn tiny(name: &str) -> Model {
        let config = json!({
            "model_type": name, "vocab_size": 40, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
            "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 20, "embedding_size": 6,
            "pad_token_id": 1, "dim": 8, "hidden_dim": 12, "n_layers": 2, "n_heads": 2,
            "relative_attention": true, "pos_att_type": ["c2p", "p2c"], "position_buckets": 4,
        });
        Model::new(read_config(&config).unwrap(), Head::Score, 1).unwrap()
    }

    #[test]
    fn every_encoder_has_a_graph_and_no_decoder_has() {
        for (name, kind) in architectures() {
            for precision in [Precision::F32, Precision::Int8] {
                let made = model(&tiny(name), precision).unwrap();
                assert_eq!(made.is_ok(), kind == Kind::Encoder, "{name}: {:?}", made.err());
            }
        }
    }

    #[test]
    fn every_name_is_written_before_it_is_read_and_every_weight_is_read() {
        for (name, _) in architectures().filter(|(_, kind)| *kind == Kind::Encoder) {
            let model = model(&tiny(name), Precision::Int8).unwrap().unwrap();
            let graph = model.graph.unwrap();
            let constants = graph.initializer.iter().map(|constant| constant.name.clone());
            let mut known: std::collections::HashSet<String> =
                graph.input.iter().map(|input| input.name.clone()).chain(constants.clone()).collect();
            let mut read = std::collections::HashSet::new();
            for node in &graph.node {
                assert!(node.input.iter().all(|input| known.contains(input)), "{name}: {node:?}");
                read.extend(node.input.iter().cloned());
                assert!(node.output.iter().all(|output| known.insert(output.clone())), "{name}: {node:?}");
            }
            assert!(known.contains(LOGITS));
            assert!(graph.input.iter().all(|input| read.contains(&input.name)), "{name}");
            assert_eq!(constants.filter(|constant| !read.contains(constant)).collect::<Vec<_>>(), [""; 0], "{name}");
        }
    }
}
