//! Reading and validating a configuration file.

use std::fmt::Display;
use std::path::{Path, PathBuf};

use super::{BaseModel, Pipeline, ScoringTeacher, TeacherConfig, presets};

/// A configuration that cannot be used: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {cause}; name a pipeline file with --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// The text is not TOML.
    #[error("{}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser said, with the line.
        reason: String,
    },
    /// A key that does not exist, a value of the wrong type, or a key that is missing.
    #[error("{}: {key}: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        key: String,
        /// What the parser said.
        reason: String,
    },
    /// A value out of its range, or an impossible combination.
    #[error("{}: {key}: expected {expected}, found {found}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is allowed.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A `--set` that is not `table.key=value`.
    #[error("--set {given}: expected table.key=value, such as --set distill.learning_rate=0.001")]
    BadSet {
        /// The argument.
        given: String,
    },
    /// A stage cannot run under this configuration.
    #[error("{0}")]
    Unusable(String),
}

/// Collects the first broken rule of a validation.
pub(super) struct Checks {
    path: PathBuf,
    broken: Option<ConfigError>,
}

impl Checks {
    /// Nothing broken yet of what stands in `path`.
    pub(super) fn of(path: &Path) -> Checks {
        Checks { path: path.to_path_buf(), broken: None }
    }

    /// The first broken rule.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        self.broken.map_or(Ok(()), Err)
    }

    /// Notes `key` as broken unless `holds`.
    pub(super) fn require(&mut self, holds: bool, key: &str, expected: &str, found: &dyn Display) {
        if !holds && self.broken.is_none() {
            self.broken = Some(ConfigError::Value {
                path: self.path.clone(),
                key: key.into(),
                expected: expected.into(),
                found: found.to_string(),
            });
        }
    }

    /// Requires a path of this machine, as what lies there is not read as an input is.
    pub(super) fn local(&mut self, key: &str, path: &str) {
        self.require(!objects::is_url(path), key, "a path of this machine", &path);
    }

    /// Requires `value` in `0.0..=1.0`.
    pub(super) fn fraction(&mut self, key: &str, value: f64) {
        self.require((0.0..=1.0).contains(&value), key, "a number from 0 to 1", &value);
    }

    /// Requires a finite `value` above zero.
    pub(super) fn positive(&mut self, key: &str, value: f64) {
        self.require(value.is_finite() && value > 0.0, key, "a number above 0", &value);
    }

    /// Requires a count of at least `least`.
    pub(super) fn at_least(&mut self, key: &str, value: usize, least: usize) {
        self.require(value >= least, key, &format!("at least {least}"), &value);
    }

    /// Tokens that a model may read: a power of two far above every model's, so that sums of budgets stay small.
    pub(super) fn token_budget(&mut self, key: &str, value: usize) {
        const MOST: usize = 1 << 20;
        self.require((1..=MOST).contains(&value), key, &format!("1 to {MOST}"), &value);
    }
}

/// Declares the function serde calls for a default value.
macro_rules! default_fn {
    ($visibility:vis $name:ident: $kind:ty = $value:expr) => {
        $visibility fn $name() -> $kind {
            $value
        }
    };
}
pub(super) use default_fn;

/// Reads `path`, applies `--set` overrides in order, and validates.
///
/// # Errors
/// [`ConfigError`], naming the key.
pub fn load(path: &Path, overrides: &[String]) -> Result<Pipeline, ConfigError> {
    let mut tree = read_table(path, overrides)?;
    presets::apply(path, &mut tree)?;
    let mut pipeline: Pipeline = serde_path_to_error::deserialize(toml::Value::Table(tree)).map_err(|e| {
        let key = e.path().to_string();
        ConfigError::Key { path: path.to_path_buf(), key, reason: one_line(e.into_inner().message()) }
    })?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    pipeline.base = folder.unwrap_or(Path::new(".")).to_path_buf();
    let mut checks = Checks::of(path);
    pipeline.check(&mut checks);
    checks.finish().map(|()| pipeline)
}

/// The tables that `--set` alone makes.
pub(super) fn tables_of(overrides: &[String]) -> Result<toml::Table, ConfigError> {
    let mut tree = toml::Table::new();
    overrides.iter().try_for_each(|given| set(&mut tree, given))?;
    Ok(tree)
}

/// The tables of the pipeline file `path` as they stand there, with `--set` overrides applied in order.
///
/// # Errors
/// [`ConfigError`] for a file that is no TOML, or an override that is no key with a value.
pub fn read_table(path: &Path, overrides: &[String]) -> Result<toml::Table, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.to_path_buf(), cause })?;
    let mut tree: toml::Table = toml::from_str(&text)
        .map_err(|e| ConfigError::Syntax { path: path.to_path_buf(), reason: one_line(&e.to_string()) })?;
    for given in overrides {
        set(&mut tree, given)?;
    }
    Ok(tree)
}

impl Pipeline {
    fn check(&self, checks: &mut Checks) {
        self.run.check(checks);
        if let Some(simulate) = &self.simulate {
            simulate.check(checks);
        }
        self.ingest.check(checks);
        self.retrieval.check(self.evaluate.candidates, checks);
        self.cpt.check(checks);
        match &self.teacher {
            Some(teacher) => teacher.check(checks),
            None => self.check_without_teacher(checks),
        }
        self.score.check(&self.retrieval, checks);
        self.distill.check(checks);
        self.evaluate.check(&self.run.name, checks);
        if !self.is_judged() {
            self.check_without_judgments(checks);
        }
        if let Some(grade) = &self.grade {
            grade.check(checks);
        }
        self.check_tokenizers(checks);
        self.check_descent(checks);
        self.check_packs(checks);
        self.check_spread(checks);
    }

    /// Without a teacher of this run, others score, and nothing is made for it.
    fn check_without_teacher(&self, checks: &mut Checks) {
        let others = !self.score.teacher.is_empty() && !self.score.teacher.iter().any(ScoringTeacher::is_own);
        checks.require(others, "teacher", "this table, or other teachers in score.teacher", &"neither");
        let own = self.distill.base == Some(BaseModel::Teacher);
        checks.require(!own, "distill.base", "the table teacher beside `teacher`", &"none");
        let tokenizer = self.cpt.teacher_tokenizer.is_some();
        checks.require(!tokenizer, "cpt.teacher_tokenizer", "none without the table teacher", &"a table");
    }

    /// Without judgments, nothing is trained on them, validated or measured by them.
    fn check_without_judgments(&self, checks: &mut Checks) {
        let chooses = self.score.choose_weights;
        checks.require(!chooses, "score.choose_weights", "false without ingest.judgments, which it looks at", &chooses);
        let rank = self.teacher.as_ref().is_some_and(|teacher| teacher.rank.is_some());
        let labels_only = self.distill.labels_only.is_some();
        for (key, given) in [("teacher.rank", rank), ("distill.labels_only", labels_only)] {
            checks.require(
                !given,
                key,
                "none without ingest.judgments, which it learns from (format = \"clicks\" makes grades of a log's clicks)",
                &"a table",
            );
        }
        let every = self.distill.validate_every;
        checks.require(every == 0, "distill.validate_every", "0 without ingest.judgments", &every);
        self.evaluate.check_without_judgments(checks);
    }

    /// A pack holds at least one example, which is the teacher's input, or without a teacher the student's.
    fn check_packs(&self, checks: &mut Checks) {
        let input = self.teacher.as_ref().map_or(&self.distill.input, |teacher| &teacher.input);
        checks.at_least("cpt.pack_tokens", self.cpt.pack_tokens, input.longest());
    }

    /// One teacher agrees with itself.
    fn check_spread(&self, checks: &mut Checks) {
        let weighted = self.distill.spread_weight.filter(|&weight| weight > 0.0);
        let disagree = self.score.teachers().len() > 1;
        let expected = "none, or several teachers in [[score.teacher]]";
        checks.require(disagree || weighted.is_none(), "distill.spread_weight", expected, &weighted.unwrap_or(0.0));
    }

    /// Only a student can start from this run's teacher, and only from one with a base model: the label-only student starts
    /// from that.
    fn check_descent(&self, checks: &mut Checks) {
        let Some(teacher) = &self.teacher else { return };
        let own = teacher.base == Some(BaseModel::Teacher);
        checks.require(
            !own,
            "teacher.base",
            "a folder or hf:org/name[@revision]",
            &"the teacher itself; a folder of that name is ./teacher",
        );
        let orphan = self.distill.base == Some(BaseModel::Teacher) && teacher.origin().is_none();
        checks.require(!orphan, "distill.base", "teacher.base beside `teacher`", &"the table teacher.model");
        let split = teacher.adapter_base().is_some() && self.distill.base == Some(BaseModel::Teacher);
        checks.require(!split, "teacher.lora.merge", "true beside distill.base = \"teacher\"", &false);
    }

    /// A base model has a tokenizer of its own.
    fn check_tokenizers(&self, checks: &mut Checks) {
        let of_teacher = |base: fn(&TeacherConfig) -> Option<&BaseModel>| self.teacher.as_ref().and_then(base);
        let (teacher, student) = (self.cpt.teacher_tokenizer.is_some(), self.cpt.student_tokenizer.is_some());
        let pairs = [
            ("cpt.teacher_tokenizer", "teacher.base", teacher, of_teacher(|teacher| teacher.base.as_ref())),
            ("cpt.teacher_tokenizer", "teacher.use", teacher, of_teacher(|teacher| teacher.saved.as_ref())),
            ("cpt.student_tokenizer", "distill.base", student, self.distill.base.as_ref()),
        ];
        for (key, base_key, given, base) in pairs {
            if let Some(base) = base {
                let expected = format!("none beside {base_key}, whose tokenizer is used");
                checks.require(!given, key, &expected, &format!("a table, and {base}"));
            }
        }
    }
}

fn set(tree: &mut toml::Table, given: &str) -> Result<(), ConfigError> {
    let bad = || ConfigError::BadSet { given: given.to_string() };
    let (key, value) = given.split_once('=').ok_or_else(bad)?;
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_string()));
    let (tables, last) = key.trim().rsplit_once('.').ok_or_else(bad)?;
    let mut table = tree;
    for name in tables.split('.') {
        let entry = table.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry.as_table_mut().ok_or_else(bad)?;
    }
    table.insert(last.to_string(), value);
    Ok(())
}

/// The parser's message without its picture of the source line, on one line.
fn one_line(message: &str) -> String {
    let words = message.lines().map(str::trim).filter(|line| !line.starts_with('|') && !line.contains(" | "));
    words.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ranking::loss::{Hinge, Hybrid, Lambda, Loss};

    fn default_text() -> String {
        std::fs::read_to_string("../../pipeline.toml").unwrap()
    }

    fn load_text(text: &str, overrides: &[&str]) -> Result<Pipeline, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.toml");
        std::fs::write(&path, text).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
        let prefix = format!("{}/", dir.path().display());
        load(&path, &overrides).map_err(|e| e.to_string().replace(&prefix, ""))
    }

    #[test]
    fn the_default_pipeline_is_valid_and_overridable() {
        let pipeline = load_text(&default_text(), &["distill.learning_rate=0.5", "run.name=other"]).unwrap();
        assert_eq!(pipeline.distill.learning_rate, 0.5);
        assert!(pipeline.paths().run_dir().ends_with("data/runs/other"));
    }

    #[test]
    fn slips_are_named() {
        let text = default_text();
        let cases = [
            ("distill.learning_rat=1", "distill.learning_rat: unknown field `learning_rat`"),
            ("distill.learning_rate=\"fast\"", "distill.learning_rate: invalid type: string \"fast\", expected f64"),
            ("distill.learning_rate=-1", "distill.learning_rate: expected a number above 0, found -1"),
            ("distil.steps=1", "distil: unknown field `distil`"),
            ("distill.alpha=2", "distill.alpha: expected a number from 0 to 1, found 2"),
            (
                "distill.loss={ name = \"hybrid\", alpha = 2 }",
                "distill.loss.alpha: expected a number from 0 to 1, found 2",
            ),
            (
                "distill.loss=hing",
                "distill.loss: unknown variant `hing`, expected one of `hinge`, `logistic`, `softmax`",
            ),
            ("teacher.rank.margin=-1", "teacher.rank.margin: expected a number above 0, found -1"),
            (
                "teacher.rank.loss={ name = \"hinge\", margin = 0 }",
                "teacher.rank.loss.margin: expected a number above 0, found 0",
            ),
            (
                "teacher.rank.loss={ name = \"softmax\", margin = 1 }",
                "teacher.rank.loss: unknown field `margin`, there are no fields",
            ),
            (
                "evaluate.metrics=[\"ndcg\", \"ndgc\"]",
                "evaluate.metrics[1]: expected one of ndcg[@k], mrr[@k], map[@k],",
            ),
            (
                "evaluate.metrics=[\"map\"]",
                "evaluate.primary: expected one of evaluate.metrics, not pnr, found ndcg@10",
            ),
            ("evaluate.primary=pnr", "evaluate.primary: expected one of evaluate.metrics, not pnr, found pnr"),
            ("evaluate.metrics=[\"map\", \"map\"]", "evaluate.metrics: expected each metric once, found map twice"),
            ("evaluate.relevant_grade=0", "evaluate.relevant_grade: expected a grade from 1 to 4, found 0"),
            ("run.precision=f64", "run.precision: unknown variant `f64`"),
            ("run=1", "--set run=1: expected table.key=value"),
            ("teacher.base=b", "teacher.base: expected either this key or the table teacher.model, found both"),
            ("distill.base=b", "distill.base: expected either this key or the table distill.model, found both"),
            ("distill.base=hf:", "distill.base: expected a folder or hf:org/name[@revision], found `hf:`"),
            (
                "evaluate.merge_runs=[\"default\"]",
                "evaluate.merge_runs: expected letters, digits, `-`, `_` and `.`, not starting with a dot, of other runs than default, found default",
            ),
            ("ingest.split={ folds = 1 }", "ingest.split.folds: expected at least 2, found 1"),
            ("ingest.split={ folds = 3, test_fold = 3 }", "ingest.split.test_fold: expected a fold below 3, found 3"),
            (
                "distill.keep_layers=[2, 1]",
                "distill.keep_layers: expected layers from 0 in increasing order, found [2, 1]",
            ),
            (
                "distill.spread_weight=0.5",
                "distill.spread_weight: expected none, or several teachers in [[score.teacher]], found 0.5",
            ),
            ("distill.spread_weight=-1", "distill.spread_weight: expected a number from 0, found -1"),
            ("distill.term_control={ weight = 0 }", "distill.term_control.weight: expected a number above 0, found 0"),
            ("teacher.pooling=first", "teacher.pooling: unknown variant `first`, expected `last_token` or `mean`"),
            ("distill.keep_layers=[0]", "distill.keep_layers: expected it beside distill.base alone, found [0]"),
        ];
        for (given, expected) in cases {
            let error = load_text(&text, &[given]).unwrap_err();
            assert!(error.contains(expected), "{given}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(load_text("[run\n", &[]).unwrap_err().contains("line 1"));
    }

    #[test]
    fn each_training_on_lists_has_its_own_length() {
        let phase =
            "loss = 'softmax', steps = 4, learning_rate = 1e-3, lists_per_step = 1, list_size = 4, max_length =";
        let overrides = [
            format!("teacher.titles={{ {phase} 20, negatives_depth = 9 }}"),
            "teacher.rank.max_length=21".into(),
            format!("teacher.mined={{ {phase} 22, candidates = 6, negatives_depth = 3 }}"),
            format!("distill.phases=[{{ {phase} 23, name = 'first', labels = 'best' }}]"),
            "distill.max_length=24".into(),
            format!("distill.labels_only={{ {phase} 25 }}"),
        ];
        let pipeline = load_text(&default_text(), &overrides.each_ref().map(String::as_str)).unwrap();
        let (teacher, distill) = (pipeline.teacher.unwrap(), pipeline.distill);
        let trainings = [
            teacher.titles.unwrap().list_training(),
            teacher.rank.unwrap().list_training(),
            teacher.mined.unwrap().list_training(),
            distill.phases[0].list_training(),
            distill.list_training(),
            distill.labels_only.unwrap().list_training(),
        ];
        assert_eq!(trainings.map(|training| training.max_length.unwrap()), [20, 21, 22, 23, 24, 25]);
        let error = load_text(&default_text(), &["distill.max_length=0"]).unwrap_err();
        assert!(error.contains("distill.max_length: expected 1 to "), "{error}");
    }

    #[test]
    fn a_loss_has_its_parameters_beside_its_name_or_in_its_table() {
        let text = default_text();
        let losses = |overrides: &[&str]| {
            let pipeline = load_text(&text, overrides).unwrap();
            (pipeline.teacher.unwrap().rank.unwrap().list_training().loss, pipeline.distill.list_training().loss)
        };
        let (hinge, hybrid) =
            (|margin| Loss::Hinge(Hinge { margin }), |alpha| Loss::Hybrid(Hybrid { alpha, ..Hybrid::default() }));
        assert_eq!(losses(&[]), (hinge(1.0), hybrid(0.5)));
        assert_eq!(losses(&["teacher.rank.margin=0.3", "distill.alpha=0.3"]), (hinge(0.3), hybrid(0.3)));
        let table = ["teacher.rank.loss={ name = \"hybrid\", alpha = 0.2 }"];
        assert_eq!(losses(&table), (hybrid(0.2), hybrid(0.5)));
        let distill = |overrides: &[&str]| load_text(&text, overrides).map(|p| p.distill.list_training().loss);
        assert_eq!(distill(&["distill.loss={ name = \"hinge\", margin = 2 }"]), Ok(hinge(2.0)));
        let refused = |overrides: &[&str], expected: &str| {
            let error = distill(overrides).unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        };
        let table = "distill.loss={ name = \"hybrid\" }";
        refused(&["distill.alpha=0.3", table], "distill.alpha: expected it in the table distill.loss, found 0.3");
        let beside = ["distill.alpha=0.3", "distill.loss=hinge"];
        refused(&beside, "distill.alpha: expected none beside loss = \"hinge\", found 0.3");
        let standardised = "distill.standardise: expected false beside loss = \"lambda\", which is defined on labels from 0, found true";
        refused(&["distill.loss=lambda"], standardised);
        let scores = "distill.loss: expected a loss on scores, as a teacher's scores are no grades from 0 to 4, found grade_cross_entropy";
        refused(&["distill.loss=grade_cross_entropy"], scores);
        let lambda = distill(&["distill.loss=lambda", "distill.standardise=false"]);
        assert_eq!(lambda, Ok(Loss::Lambda(Lambda::default())));
    }

    #[test]
    fn lists_and_phases_refuse_what_does_not_apply() {
        let text = default_text();
        let phase = |keys: &str| {
            format!(
                "distill.phases=[{{ name = \"first\", steps = 1, learning_rate = 1e-3, lists_per_step = 1, list_size = 2, {keys} }}]"
            )
        };
        let accepted = [
            "score.unseen_from_rank=9".to_string(),
            "teacher.rank.negatives_depth=9".into(),
            phase("labels = \"best\", loss = \"infonce\", negatives_from_rank = 5, negatives_relative_margin = 0.1"),
            phase("labels = \"judgments\", loss = \"lambda\", negatives_depth = 9, negatives_max_score = -1"),
            phase("labels = \"best\", loss = \"lambda\", sampler = \"rotating\""),
        ];
        for given in accepted {
            load_text(&text, &["score.unseen_documents=2", &given]).unwrap();
        }
        let alone = "expected it beside labels = \"best\", or \"judgments\" with negatives_depth, alone, found";
        let twice = "distill.phases[1].name: expected a name for each phase of its own, found first";
        let first = phase("labels = \"teacher\", loss = \"hybrid\"");
        let both = format!("{}, {}", first.trim_end_matches(']'), first.trim_start_matches("distill.phases=["));
        let refused = [
            (both, twice.to_string()),
            (first.replace("first", "student"), "distill.phases[0].name: expected another name than that".into()),
            (first.replace("first", "a/b"), "distill.phases[0].name: expected letters, digits, `-` and `_`".into()),
            (
                phase("labels = \"clicks\", loss = \"hybrid\""),
                "distill.phases[0].labels: unknown variant `clicks`".into(),
            ),
            (
                phase("labels = \"teacher\", loss = \"lambda\""),
                "distill.phases[0].loss: expected a loss that is defined on standardised scores, or".into(),
            ),
            (
                phase("labels = \"teacher\", loss = \"hinge\", negatives_max_score = 1"),
                format!("distill.phases[0].negatives_max_score: {alone} 1"),
            ),
            (
                phase("labels = \"judgments\", loss = \"hinge\", negatives_relative_margin = 0.5"),
                format!("distill.phases[0].negatives_relative_margin: {alone} 0.5"),
            ),
            (
                phase("labels = \"best\", loss = \"hinge\", negatives_relative_margin = 1"),
                "distill.phases[0].negatives_relative_margin: expected a number from 0 to below 1, found 1".into(),
            ),
            (
                phase("labels = \"best\", loss = \"hinge\", negatives_depth = 3"),
                "distill.phases[0].negatives_depth: expected it beside labels = \"judgments\" alone, found 3".into(),
            ),
            (
                "distill.labels_only.negatives_max_score=1".into(),
                "distill.labels_only.negatives_max_score: unknown field `negatives_max_score`".into(),
            ),
            (
                "teacher.rank.negatives_from_rank=2".into(),
                "teacher.rank.negatives_from_rank: expected 1 without negatives_depth, found 2".into(),
            ),
            (
                "score.unseen_sampler=random".into(),
                "score.unseen_depth: expected a rank beside a sampler other than \"top\", found none".into(),
            ),
            (
                "score.unseen_depth=5".into(),
                "score.unseen_depth: expected it beside a sampler other than \"top\"".into(),
            ),
        ];
        for (given, expected) in refused {
            let error = load_text(&text, &["score.unseen_documents=2", &given]).unwrap_err();
            assert!(error.contains(&expected), "{given}: {error}");
        }
        let without = ["score.unseen_documents=0", "score.unseen_from_rank=2"];
        let expected = "score.unseen_from_rank: expected 1 without score.unseen_documents, found 2";
        assert_eq!(load_text(&text, &without).unwrap_err(), format!("p.toml: {expected}"));
    }

    #[test]
    fn a_base_model_stands_in_for_table_and_tokenizer() {
        let mut tree: toml::Table = toml::from_str(&default_text()).unwrap();
        tree["distill"].as_table_mut().unwrap().remove("model").unwrap();
        let error = load_text(&tree.to_string(), &[]).unwrap_err();
        assert!(error.contains("distill.base: expected either this key or the table distill.model, found neither"));
        let error = load_text(&tree.to_string(), &["distill.base=hf:org/name"]).unwrap_err();
        let expected = "cpt.student_tokenizer: expected none beside distill.base, whose tokenizer is used, found a table, and hf:org/name@main";
        assert!(error.contains(expected), "{error}");
        tree["cpt"].as_table_mut().unwrap().remove("student_tokenizer").unwrap();
        let text = tree.to_string();
        let orphan = load_text(&text, &["distill.base=teacher"]).unwrap_err();
        let expected = "distill.base: expected teacher.base beside `teacher`, found the table teacher.model";
        assert!(orphan.contains(expected), "{orphan}");
        let pipeline = load_text(&text, &["distill.base=hf:org/name", "distill.keep_layers=[0, 2]"]).unwrap();
        assert_eq!(pipeline.distill.keep_layers, Some(vec![0, 2]));
    }
}
