//! The models of a pipeline: whether they are there, and how large they are.

use models::{check_models, is_local, open_base};
use nn::folder::Base;
use nn::models::Head;
use nn::text::Kind;
use pipeline::config::{BaseModel, DecoderConfig, EncoderConfig, TokenizerConfig};
use pipeline::{BadInput, Pipeline, counted, without_detours};

use crate::numbers;

/// The sizes of a model that decide what it costs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// All weights.
    pub(crate) weights: f64,
    /// The weights of the layers' matrices, by which every token is multiplied.
    pub(crate) linear: f64,
    /// Width.
    pub(crate) hidden: usize,
    /// Width of the feed-forward layers.
    pub(crate) intermediate: usize,
    /// Layers.
    pub(crate) layers: usize,
    /// Rows of the token embedding.
    pub(crate) vocabulary: usize,
}

/// The models of a pipeline.
#[derive(Debug, Default)]
pub(crate) struct Models {
    /// The teacher that this run trains or has; `None` where others score, or where it is not here.
    pub(crate) teacher: Option<Shape>,
    /// The student; `None` where what it starts from is not here.
    pub(crate) student: Option<Shape>,
    /// The bi-encoder of dense retrieval; `None` without one, or where it is not here.
    pub(crate) bi_encoder: Option<Shape>,
    /// What is known of each model.
    lines: Vec<String>,
    /// What a stage would refuse.
    pub(crate) problem: Option<anyhow::Error>,
}

impl Shape {
    fn decoder(model: &DecoderConfig, vocabulary: usize) -> Shape {
        let DecoderConfig { hidden_size: h, intermediate_size: i, num_hidden_layers: layers, .. } = *model;
        let kv_heads = model.num_key_value_heads.unwrap_or(model.num_attention_heads);
        let kv = h / model.num_attention_heads.max(1) * kv_heads;
        Shape::of(2 * h * h + 2 * h * kv + 3 * h * i, [h, i, layers, vocabulary])
    }

    fn encoder(model: &EncoderConfig, vocabulary: usize) -> Shape {
        let EncoderConfig { hidden_size: h, intermediate_size: i, num_hidden_layers: layers, .. } = *model;
        Shape::of(4 * h * h + 2 * h * i, [h, i, layers, vocabulary])
    }

    fn of(of_layer: usize, [hidden, intermediate, layers, vocabulary]: [usize; 4]) -> Shape {
        let linear = (of_layer * layers) as f64;
        Shape { weights: linear + (vocabulary * hidden) as f64, linear, hidden, intermediate, layers, vocabulary }
    }

    fn base(base: &Base) -> Shape {
        let vocabulary = base.backbone.vocab_size();
        let specs = base.backbone.weights(Head::Score);
        let matrices = specs.iter().filter(|spec| spec.shape.len() == 2);
        let hidden = matrices.clone().find(|spec| spec.shape[0] == vocabulary).map_or(1, |spec| spec.shape[1]);
        let of_layers = matrices.filter(|spec| spec.shape[0] != vocabulary && !spec.name.contains("embedding"));
        let linear = of_layers.map(|spec| spec.shape.iter().product::<usize>() as f64).sum();
        let size = |names: &[&str], default: usize| {
            let found = names.iter().find_map(|name| base.config[*name].as_u64());
            found.map_or(default, |size| size as usize)
        };
        Shape {
            weights: base.weight_count() as f64,
            linear,
            hidden,
            intermediate: size(&["intermediate_size", "hidden_dim"], 4 * hidden),
            layers: size(&["num_hidden_layers", "n_layers"], 1).max(1),
            vocabulary,
        }
    }

    /// The model with so many of its layers.
    fn keeping(self, layers: usize) -> Shape {
        let linear = self.linear * layers as f64 / self.layers as f64;
        Shape { weights: self.weights - self.linear + linear, linear, layers, ..self }
    }

    fn text(&self) -> String {
        let Shape { weights, layers, hidden, .. } = self;
        format!("{} weights in {} of width {hidden}", numbers::count(*weights), counted(layers, "layer"))
    }
}

impl Models {
    /// Looks at every model that the pipeline names. Nothing is downloaded.
    pub(crate) fn of(pipeline: &Pipeline) -> Models {
        let mut models = Models::default();
        let outcome = models.look(pipeline);
        models.problem = models.problem.or(outcome.err());
        models
    }

    fn look(&mut self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let mut all_local = true;
        if let Some(teacher) = &pipeline.teacher {
            self.teacher = match (&teacher.model, teacher.origin()) {
                (Some(model), _) => {
                    let shape = Shape::decoder(model, vocabulary(pipeline.cpt.teacher_tokenizer.as_ref()));
                    self.lines.push(format!("teacher: a decoder from random weights, {}", shape.text()));
                    Some(shape)
                }
                (None, Some(base)) => self.base(pipeline, "teacher", base, &mut all_local)?,
                (None, None) => None,
            };
        }
        self.student = match (&pipeline.distill.model, &pipeline.distill.base) {
            (Some(model), _) => {
                let shape = Shape::encoder(model, vocabulary(pipeline.cpt.student_tokenizer.as_ref()));
                self.lines.push(format!("student: a BERT from random weights, {}", shape.text()));
                Some(shape)
            }
            (None, Some(BaseModel::Teacher)) => {
                self.lines.push("student: starts from the teacher".into());
                self.teacher
            }
            (None, Some(base)) => self.base(pipeline, "student", base, &mut all_local)?,
            (None, None) => None,
        };
        if let (Some(student), Some(keep)) = (self.student, &pipeline.distill.keep_layers) {
            self.student = Some(student.keeping(keep.len()));
            self.lines.push(format!("student: keeps {} of the layers", keep.len()));
        }
        let scoring = pipeline.score.teacher.iter().filter_map(|teacher| teacher.ranker.as_ref());
        for base in scoring.filter(|base| **base != BaseModel::Teacher) {
            let shape = self.base(pipeline, "scoring teacher", base, &mut all_local)?;
            self.teacher = self.teacher.or(shape);
        }
        if let Some(dense) = &pipeline.retrieval.dense {
            self.bi_encoder = self.base(pipeline, "bi-encoder", dense, &mut all_local)?;
        }
        let paths = pipeline.paths();
        for path in [&pipeline.cpt.teacher_tokenizer, &pipeline.cpt.student_tokenizer]
            .into_iter()
            .flatten()
            .filter_map(|tokenizer| tokenizer.path.as_ref())
        {
            let folder = without_detours(&paths.resolve(path));
            if !folder.is_dir() {
                Err(BadInput(format!(
                    "{}: expected the folder of a tokenizer, found none; correct [cpt]",
                    folder.display()
                )))?;
            }
        }
        if all_local { check_models(pipeline) } else { Ok(()) }
    }

    /// Looks at a base model; `None` where it would have to be downloaded.
    fn base(
        &mut self,
        pipeline: &Pipeline,
        role: &str,
        base: &BaseModel,
        all_local: &mut bool,
    ) -> anyhow::Result<Option<Shape>> {
        let paths = pipeline.paths();
        if !is_local(&paths, base)? {
            *all_local = false;
            let cache = match base {
                BaseModel::Hub { .. } => "the cache of the Hugging Face tools",
                BaseModel::Folder(_) | BaseModel::Teacher => "the cache of objects",
            };
            self.lines.push(format!("{role}: {base} is not in {cache}; the run downloads it"));
            return Ok(None);
        }
        let opened = open_base(&paths, base)?;
        let shape = Shape::base(&opened);
        let kind = match opened.backbone.kind() {
            Kind::Decoder => "a decoder",
            Kind::Encoder => "an encoder",
        };
        self.lines.push(format!("{role}: {base} is there, {kind}, {}", shape.text()));
        Ok(Some(shape))
    }

    /// What is known of the models.
    pub(crate) fn text(&self, pipeline: &Pipeline) -> String {
        let servers = pipeline.score.teacher.iter().filter(|teacher| teacher.servers.is_some()).count();
        let asked =
            (servers > 0).then(|| format!("{} behind servers, which are not asked now", counted(servers, "teacher")));
        let lines = self.lines.iter().cloned().chain(asked);
        let lines: Vec<String> = lines.map(|line| format!("  {line}\n")).collect();
        format!("\nmodels\n{}", lines.concat())
    }
}

/// Tokens of a vocabulary that is still to be trained, or of one that another folder has.
fn vocabulary(tokenizer: Option<&TokenizerConfig>) -> usize {
    tokenizer.map_or_else(|| TokenizerConfig::default().vocab_size, |tokenizer| tokenizer.vocab_size)
}
