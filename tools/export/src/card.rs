//! The model card of the folder: what the model is, and how each server and library takes it.

use nn::folder::SavedRanker;
use nn::text::{PairTokenizer, Template, Texts, Window};

use crate::folder::file_name;
use crate::graph::Precision;

/// What stands at the top of a card that the model's folder does not give.
const FRONT: &str =
    "---\nlibrary_name: transformers\npipeline_tag: text-ranking\ntags:\n- disranker\n---\n\n# Cross-encoder\n";

/// The card: the model's own, where it has one, and how the folder is served.
///
/// # Errors
/// A failure inside the tokenizer.
pub(crate) fn text(saved: &SavedRanker, own: Option<&str>, precisions: &[Precision]) -> nn::Result<String> {
    let own = own.unwrap_or(FRONT).trim_end();
    // The card of an exported folder that is exported again says it once.
    let own = own.split("\n## Serving\n").next().unwrap_or(own).trim_end();
    let facts = Facts::of(saved, precisions)?;
    let sections = [
        facts.introduction(),
        facts.sentence_transformers(),
        facts.transformers(),
        facts.text_embeddings_inference(),
        facts.onnx_runtime(),
        facts.openvino(),
        facts.vespa(),
    ];
    Ok(format!("{own}\n\n## Serving\n\n{}\n", sections.join("\n\n")))
}

/// What the sections tell of a model.
struct Facts {
    has_int8: bool,
    has_types: bool,
    labels: usize,
    max_tokens: usize,
    window: Window,
    passages: Option<usize>,
    query_prompt: String,
    /// The tokens before a pair and after its query, and how many of the latter there are.
    cls: u32,
    separator: u32,
    separators: usize,
}

impl Facts {
    fn of(saved: &SavedRanker, precisions: &[Precision]) -> nn::Result<Self> {
        let scoring = &saved.settings.scoring;
        let pairs = PairTokenizer::new(&saved.tokenizer, scoring)?;
        let pair = pairs.encode(&Texts { query: "a", title: "b", summary: "" })?;
        let id = |place: usize| pair.ids.get(place).copied().unwrap_or_default();
        Ok(Self {
            has_int8: precisions.contains(&Precision::Int8),
            has_types: saved.ranker.backbone().body().and_then(|body| body.types).is_some_and(|types| types > 1),
            labels: saved.ranker.head().outputs(),
            max_tokens: pairs.max_tokens(),
            window: scoring.window,
            passages: scoring.passages.map(|passages| passages.most),
            query_prompt: match &scoring.template {
                Template::Pair { query_prompt } => query_prompt.clone(),
                Template::Prompt { .. } => String::new(),
            },
            cls: id(0),
            separator: id(pair.query.end),
            separators: pair.document.start.saturating_sub(pair.query.end),
        })
    }

    fn introduction(&self) -> String {
        let types = if self.has_types { " and `token_type_ids`" } else { "" };
        let between = if self.has_types { "`input_ids`, `attention_mask`" } else { "`input_ids` and `attention_mask`" };
        let logits = match self.labels {
            1 => "the score, higher for more relevant documents".to_owned(),
            labels => {
                format!("one for each grade from 0; the score is the sum of softmax(logits) times 0 to {}", labels - 1)
            }
        };
        let window = match self.window {
            Window::LongestFirst { .. } => "the longer text is cut first".to_owned(),
            Window::OnlySecond { .. } => "the document is cut (`truncation=\"only_second\"`)".to_owned(),
            Window::Fields { max_query_tokens, max_document_tokens } => format!(
                "the query is cut to {max_query_tokens} and the document to {max_document_tokens}, which none of the libraries \
                 below does by itself"
            ),
        };
        let mut text = format!(
            "`onnx/model.onnx` takes {between}{types}, 64-bit integers of shape `[batch, sequence]`, and gives `logits` of shape \
             `[batch, {}]`: {logits}. A document is its title and summary with a space between. A pair has at most {} tokens; {window}.",
            self.labels, self.max_tokens
        );
        if !self.query_prompt.is_empty() {
            text += &format!(" Before each query stands `{}`.", self.query_prompt);
        }
        if let Some(most) = self.passages {
            text += &format!(
                " A longer document has up to {most} passages, and the highest score of its passages; the libraries below read the \
                 first one alone."
            );
        }
        if self.has_int8 {
            text += &format!(
                "\n\n`onnx/{}` is the same model with matrix products in eight bits (dynamic quantisation: weights of seven bits, \
                 a scale for each output; activations are quantised as they come, so that scores differ a little with the other \
                 pairs of a batch).",
                file_name(Precision::Int8)
            );
        }
        text + "\n\nBelow, `FOLDER` is this folder."
    }

    fn sentence_transformers(&self) -> String {
        let quantised = match self.has_int8 {
            true => format!(
                "\n    # in eight bits: CrossEncoder(\"FOLDER\", backend=\"onnx\", model_kwargs={{\"file_name\": \"onnx/{}\"}})",
                file_name(Precision::Int8)
            ),
            false => String::new(),
        };
        format!(
            "### sentence-transformers\n\n\
             `pip install \"sentence-transformers[onnx]\"`\n\n    \
             from sentence_transformers import CrossEncoder\n    \
             model = CrossEncoder(\"FOLDER\", backend=\"onnx\"){quantised}\n    \
             model.predict([(\"a query\", \"a document\")])"
        )
    }

    fn transformers(&self) -> String {
        "### transformers\n\n\
         `AutoModelForSequenceClassification.from_pretrained(\"FOLDER\")` reads `model.safetensors`; \
         `ORTModelForSequenceClassification.from_pretrained(\"FOLDER\", subfolder=\"onnx\", file_name=\"model.onnx\")` of \
         `optimum-onnx` runs the graph."
            .to_owned()
    }

    fn text_embeddings_inference(&self) -> String {
        let heading = "### text-embeddings-inference\n\n";
        if self.labels > 1 {
            return format!(
                "{heading}Its `/rerank` takes models with a single logit alone; `/predict` gives those of the grades."
            );
        }
        let quantised = match self.has_int8 {
            true => format!(
                " It takes `model.onnx` in the folder itself first: `cp FOLDER/onnx/{} FOLDER/model.onnx` serves the eight bits.",
                file_name(Precision::Int8)
            ),
            false => String::new(),
        };
        format!(
            "{heading}    \
             docker run -p 8080:80 -v \"$PWD/FOLDER:/model\" ghcr.io/huggingface/text-embeddings-inference:cpu-1.9 --model-id /model\n    \
             curl localhost:8080/rerank -H 'content-type: application/json' \\\n        \
             -d '{{\"query\": \"a query\", \"texts\": [\"a document\"], \"raw_scores\": true, \"truncate\": true}}'\n\n\
             Without `raw_scores` a score is its sigmoid, in the same order.{quantised}"
        )
    }

    fn onnx_runtime(&self) -> String {
        "### ONNX Runtime\n\n\
         `pip install onnxruntime transformers`\n\n    \
         import onnxruntime, transformers\n    \
         tokenizer = transformers.AutoTokenizer.from_pretrained(\"FOLDER\")\n    \
         session = onnxruntime.InferenceSession(\"FOLDER/onnx/model.onnx\", providers=[\"CPUExecutionProvider\"])\n    \
         batch = tokenizer([\"a query\"], [\"a document\"], padding=True, truncation=True, return_tensors=\"np\")\n    \
         inputs = {each.name: batch[each.name].astype(\"int64\") for each in session.get_inputs()}\n    \
         logits = session.run([\"logits\"], inputs)[0]"
            .to_owned()
    }

    fn openvino(&self) -> String {
        "### OpenVINO\n\n\
         `pip install openvino`; with `tokenizer` as above. The file in single precision is the faster one here. Without \
         the hint, scores are computed in bfloat16 where the processor has it: faster, and off by some thousandths:\n\n    \
         import openvino\n    \
         model = openvino.Core().compile_model(\"FOLDER/onnx/model.onnx\", \"CPU\", {\"INFERENCE_PRECISION_HINT\": \"f32\"})\n    \
         inputs = {each.any_name: batch[each.any_name].astype(\"int64\") for each in model.inputs}\n    \
         logits = model(inputs)[\"logits\"]"
            .to_owned()
    }

    fn vespa(&self) -> String {
        let Self { cls, separator, max_tokens, .. } = self;
        let types_input = if self.has_types { "\n        input token_type_ids: token_type_ids" } else { "" };
        let types_function = match self.has_types {
            true => format!(
                "\n    function token_type_ids() {{ expression: tokenTypeIds({max_tokens}, query(q), attribute(tokens)) }}"
            ),
            false => String::new(),
        };
        let separators = match self.separators {
            1 => String::new(),
            found => format!(
                " Vespa puts one token between query and document where this model has {found}, so that its scores differ; have the \
                 document's tokens begin with {separator}."
            ),
        };
        format!(
            "### Vespa\n\n\
             `onnx/model.onnx` and `tokenizer.json` go into the application package, the tokenizer as a component of the type \
             `hugging-face-tokenizer` with `max-length` of at most {max_tokens}; `tokens` is a field of type `tensor<float>(d0[N])` \
             that `embed tokenizer | attribute` fills.{separators}\n\n    \
             onnx-model cross_encoder {{\n        \
             file: models/model.onnx\n        \
             input input_ids: input_ids\n        \
             input attention_mask: attention_mask{types_input}\n    \
             }}\n    \
             function input_ids() {{ expression: customTokenInputIds({cls}, {separator}, {max_tokens}, query(q), attribute(tokens)) }}\n    \
             function attention_mask() {{ expression: tokenAttentionMask({max_tokens}, query(q), attribute(tokens)) }}{types_function}\n    \
             global-phase {{\n        \
             rerank-count: 50\n        \
             expression: onnx(cross_encoder){{d0:0,d1:0}}\n    \
             }}"
        )
    }
}
