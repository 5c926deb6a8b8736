//! The stage: its inputs, its steps and their order.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pipeline::config::{ConfigError, IngestConfig, LogConfig, UserIds};
use pipeline::{About, Input, NothingToDo, Pipeline, RunPaths, Shard, Stage, StageContext, counted};
use records::RawFile;
use serde::Serialize;
use serde_json::json;

use crate::buckets;
use crate::checks;
use crate::documents::{Collected, DocumentFiles, Documents};
use crate::files;
use crate::impressions::{self, Writing, Written};
use crate::input::{Counts, Reject};
use crate::inputs::{self, Files, without_empty};
use crate::judgments::{self, GRADE_SHARES, Judged};
use crate::log::{self, Log, LogFiles};
use crate::names::{order, ranks};
use crate::output::{self, InputReport, QueryTable};
use crate::pairs::{PRIOR_STRENGTH, Pairs};
use crate::parallel;
use crate::part::Part;
use crate::propensities::{self, Examination};
use crate::query::{self, Queries};
use crate::reading::Reading;
use crate::rejects::Rejects;
use crate::report::{Fate, Tallies};
use crate::sessions;
use crate::split::{self, Key};
use crate::stats::Stats;

/// The environment variable that holds the key of user ids.
const USER_KEY: &str = "DISRANKER_USER_KEY";

/// Raised with every change of what a part holds.
const PART_VERSION: u32 = 5;

/// Memory for the postings of an index that wait to be written, in bytes.
const INDEX_MEMORY: usize = 256 << 20;

/// The `ingest` stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ingest {
    /// The share of the log's files that this process reads; without it, all that were not read, and the output is made.
    pub shard: Option<Shard>,
}

/// The configuration of the stage.
#[derive(Debug, Clone, Serialize)]
pub struct Settings {
    /// The table `[ingest]`.
    #[serde(flatten)]
    pub config: IngestConfig,
    /// A digest of the key of user ids, so that another key makes the tables anew.
    pub user_key_digest: Option<String>,
    #[serde(skip)]
    user_key: Option<String>,
    /// Bytes; it changes no output.
    #[serde(skip)]
    memory_limit: Option<u64>,
}

impl Settings {
    /// How the records of the log are read; `None` without a log.
    ///
    /// # Errors
    /// [`ConfigError`] where what tells visitors apart is not kept, and on times that cannot be read so.
    pub(crate) fn reading(&self) -> Result<Option<Reading>> {
        let config = &self.config;
        let (Some(log), Some(reading)) = (&config.log, Reading::new(config, self.user_key.as_deref())?) else {
            return Ok(None);
        };
        let (visitors, privacy) = (log.all_columns(), config.privacy.user_ids);
        let by_user = visitors.into_iter().all(|columns| columns.search_id.is_none() && columns.session_id.is_none())
            && !reading.kinds.in_order();
        if by_user && (privacy == UserIds::Dropped || privacy == UserIds::Hashed && self.user_key.is_none()) {
            Err(ConfigError::Unusable(format!(
                "ingest.log.columns: expected search_id or session_id, found user_id alone, which is not kept; set the environment \
                 variable {USER_KEY}, or ingest.privacy.user_ids = \"plain\""
            )))?;
        }
        let users_kept = privacy == UserIds::Plain || self.user_key.is_some();
        let mapped = log.all_columns().any(|columns| columns.user_id.is_some());
        if config.privacy.min_query_users > 1 && !(users_kept && mapped) {
            Err(ConfigError::Unusable(format!(
                "ingest.privacy.min_query_users: expected user ids that can be counted, found none; map ingest.log.columns.user_id, and \
                 set the environment variable {USER_KEY} or ingest.privacy.user_ids = \"plain\""
            )))?;
        }
        Ok(Some(reading))
    }
}

impl Stage for Ingest {
    const NAME: &'static str = "ingest";
    const VERSION: u32 = 4;
    const ABOUT: About = About {
        does: "turns raw click logs, documents and judgments into validated tables",
        reads: "the files of ingest.log, ingest.documents, ingest.queries and ingest.judgments",
        writes: "impressions, queries, documents, pairs, judgments, propensities, ingest_report, rejects; the folder collection",
        keeps: Some("what was read of each log file"),
    };
    type Config = Settings;

    fn configure(&self, pipeline: &Pipeline) -> std::result::Result<Settings, NothingToDo> {
        let mut config = pipeline.ingest.clone();
        let memory_limit = config.memory_limit.take().map(|size| size.bytes);
        let key = std::env::var(USER_KEY).ok().filter(|key| !key.is_empty());
        let user_key = key.filter(|_| config.privacy.user_ids == UserIds::Hashed);
        // Hashed twice, so that the digest does not help to guess the key any faster than the hashed ids do.
        let digest = |key: &String| ::files::sha256(::files::sha256(format!("{USER_KEY}={key}").as_bytes()).as_bytes());
        Ok(Settings { user_key_digest: user_key.as_ref().map(digest), config, user_key, memory_limit })
    }

    fn inputs(&self, settings: &Settings, paths: &RunPaths) -> Result<Vec<Input>> {
        let Files { log, documents, judgments, propensities } = Files::list(&settings.config, paths)?;
        if let Some(shard) = self.shard {
            // What a share does not read it does not look at.
            let own = files::without_empty(log)?.0.into_iter().enumerate().filter(|(number, _)| shard.has(*number));
            return Ok(own.map(|(_, file)| Input::File(file.path)).collect());
        }
        let judged = judgments.files.into_iter().map(|(file, _)| file).chain(judgments.queries);
        let all = log.into_iter().chain(documents).chain(judged).chain(propensities);
        Ok(all.map(|file| Input::File(file.path)).collect())
    }

    fn commits(&self) -> bool {
        self.shard.is_none()
    }

    fn run(&self, settings: &Settings, context: &mut StageContext) -> Result<()> {
        if let Some(shard) = self.shard {
            let files = Files::list(&settings.config, context.paths())?;
            return read_share(settings, context, (files.log, shard));
        }
        let spills = context.out().join("spill");
        std::fs::create_dir_all(&spills).with_context(|| format!("{}: creating failed", spills.display()))?;
        let mut run = Run {
            settings,
            files: Files::list(&settings.config, context.paths())?,
            context,
            spills: spills.clone(),
            threads: rayon::current_num_threads(),
            reports: Vec::new(),
            rejects: Vec::new(),
        };
        run.run()?;
        std::fs::remove_dir_all(&spills).with_context(|| format!("{}: removing failed", spills.display()))
    }
}

/// One run of the stage.
struct Run<'r> {
    settings: &'r Settings,
    files: Files,
    context: &'r mut StageContext,
    spills: PathBuf,
    threads: usize,
    reports: Vec<InputReport>,
    rejects: Vec<Reject>,
}

/// What the clicks of the log give.
struct Clicks {
    pairs: Pairs,
    examination: Examination,
}

impl Run<'_> {
    fn run(&mut self) -> Result<()> {
        let config = &self.settings.config;
        let mut read = self.read_judgments()?;
        let mut collected = Collected::new(&self.spills)?;
        let document_files = self.read_documents(&mut collected)?;
        let files = std::mem::take(&mut self.files.log);
        let log_files = log_files(self.settings, self.context, files)?;
        let parts = log_files.as_ref().map(|log| self.read_log(log)).transpose()?.unwrap_or_default();
        if config.log.as_ref().is_some_and(LogConfig::holds_documents) {
            collected.add_seen(&parts)?;
        }
        let mut queries = Queries::default();
        if let Some(read) = &read {
            collected.add(&read.documents)?;
            read.add_queries(&mut queries, config.log.is_none());
        }
        let documents = self.number_documents(collected, document_files.as_ref())?;
        let files = log_files.as_ref().map_or(&[][..], |log| &log.files);
        let mut log = Log::number(files, parts, queries, documents, self.threads)?;
        if let Some((shared, example, texts)) = log.queries.shared_ids() {
            tracing::warn!(
                "log: {} with several query texts, such as `{}` with {texts} texts; its text is what a query is",
                counted(shared, "query id"),
                records::printable(example.as_bytes(), 60)
            );
        }
        let ids = log.queries.ids();
        let order = order(&ids);
        query::check_distinct(&ids, &order)?;
        let query_ranks = ranks(&order);

        let rejects = self.room_for_rejects(&log)?;
        let written = match &config.log {
            Some(log_config) => Some(self.write_log(log_config, &log, &ids, &query_ranks, &rejects)?),
            None => {
                let empty = self.context.create_table("impressions", &[])?;
                self.context.finish_table("impressions", empty)?;
                None
            }
        };
        let (searches, counted) = match written {
            Some(Written { searches, counted, .. }) => (searches, Some(counted)),
            None => (vec![0; ids.len()], None),
        };
        let clicks = match counted {
            Some(counted) => Some(self.count(counted.count(&self.spills, self.threads)?)?),
            None => None,
        };
        let judged = match &mut read {
            Some(read) => read.resolve(&mut log.queries, &log.documents)?,
            None if config.grades_from_clicks() => self.judge_clicks(clicks.as_ref(), &ids, &order)?,
            None => Judged::default(),
        };
        if let Some(read) = read {
            self.report_counts("judgments", read.counts)?;
            let queries = if config.judgments.is_some() { "judged_queries" } else { "queries" };
            self.report_counts(queries, read.query_counts)?;
        }
        let table = self.query_table(&log, &ids, &order, searches, &judged)?;
        self.write_tables(&log, &table, clicks.as_ref(), &judged, &query_ranks, &rejects)
    }

    fn read_judgments(&mut self) -> Result<Option<judgments::Read>> {
        let config = &self.settings.config;
        if config.grades_from_clicks() || config.judgments.is_none() && config.queries.is_none() {
            return Ok(None);
        }
        let files = std::mem::take(&mut self.files.judgments);
        judgments::read(files, config).map(Some)
    }

    /// Reads the documents of their own files.
    fn read_documents(&mut self, collected: &mut Collected) -> Result<Option<DocumentFiles>> {
        let config = &self.settings.config;
        let Some(documents) = &config.documents else { return Ok(None) };
        let width = config.log.as_ref().map_or(0, |log| log.doc_id_width);
        let files = std::mem::take(&mut self.files.documents);
        let files = without_empty(files)?;
        let files = DocumentFiles::new(files, documents, &config.clean, width);
        collected.read(&files, &config.clean, self.threads)?;
        Ok(Some(files))
    }

    fn read_log(&self, files: &LogFiles) -> Result<Vec<Part>> {
        let config = &self.settings.config;
        let parts = files.read(&parts(self.context), &config.clean, (self.threads, None))?;
        let mut stats = Stats::default();
        parts.iter().for_each(|part| stats.merge(part.stats()));
        files.check_columns(config, &stats)?;
        log::check_malformed(&files.files, parts.iter().map(Part::stats), &config.clean)?;
        if let Some(log) = &config.log {
            checks::can_teach(log, &stats, &config.clean)?;
        }
        Ok(parts)
    }

    fn number_documents(&mut self, collected: Collected, files: Option<&DocumentFiles>) -> Result<Documents> {
        let files = files.map_or(&[][..], |files| &files.files);
        let repeated = self.settings.config.documents.as_ref().map(|documents| documents.repeated).unwrap_or_default();
        let (documents, mut stats, rejects) = collected.number(&self.spills, (files, repeated), self.threads)?;
        checks::warn_of_other_texts(&stats.tallies, repeated);
        checks::documents_have_texts(&self.settings.config, documents.ids.len(), &stats)?;
        if !files.is_empty() {
            let (others, _) = stats.tallies.sum(|_| true);
            stats.tallies.add(Fate::Kept, "", stats.records - others, 0, "");
            self.reports.push(InputReport { input: "documents", tallies: stats.tallies, values: Vec::new() });
        }
        self.rejects.extend(rejects);
        Ok(documents)
    }

    fn room_for_rejects(&self, log: &Log) -> Result<Rejects> {
        let rejects = Rejects::create(&self.spills, &log.files_and_lines())?;
        let mut writer = rejects.writer();
        log.visit_rejects(|file, line, reason, content| writer.push(file, line, reason, content))?;
        writer.finish()?;
        Ok(rejects)
    }

    fn write_log(
        &mut self,
        config: &LogConfig,
        log: &Log,
        query_ids: &[String],
        query_ranks: &[u32],
        rejects: &Rejects,
    ) -> Result<Written> {
        let ingest = &self.settings.config;
        let clean = &ingest.clean;
        let least_users = ingest.privacy.min_query_users;
        let settings = buckets::Settings {
            session_gap: buckets::session_gap(config),
            memory_limit: memory_limit(self.settings.memory_limit),
            threads: self.threads,
            count_users: least_users > 1,
        };
        let results = buckets::clean(log, settings, &self.spills, rejects)?;
        let limits = sessions::limits(clean, config.clicks_only);
        let sessions = results.sessions.count(&limits, self.threads)?;
        let (merged, _) = results.tallies.sum(|_| true);
        checks::sessions_are_visitors(&sessions, log.stats.events - merged, clean)?;
        let rare = results.users.as_ref().map(|users| users.rare(query_ids.len(), least_users)).transpose()?;
        let timed = log.stats.values.get("dwell_seconds").is_some_and(|values| values.given > values.bad);
        if !timed && config.all_columns().any(|columns| columns.dwell_seconds.is_some()) {
            tracing::warn!("log: no row has a dwell time, so that every click counts as a satisfied one");
        }
        let writing = Writing {
            log,
            ranges: &results.ranges,
            query_ids,
            query_ranks,
            robots: &sessions.robots,
            rare: rare.as_deref(),
            satisfied: timed.then_some(clean.satisfied_dwell_seconds),
            rejects,
            threads: self.threads,
        };
        let written = impressions::write(self.context, &self.spills, &writing)?;
        let mut tallies = written.tallies.clone();
        tallies.merge(&results.tallies);
        tallies.merge(&log.stats.tallies);
        checks::nothing_is_missing(&tallies, &log.stats)?;
        let (_, kept_clicks) = written.tallies.sum(|_| true);
        let loss = checks::losses(&tallies, clean)
            .and_then(|()| checks::results_are_shown_once(&tallies, clean))
            .and_then(|()| checks::clicks_are_left(&tallies, kept_clicks));
        self.note_log(log, tallies);
        loss?;
        Ok(written)
    }

    fn note_log(&mut self, log: &Log, tallies: Tallies) {
        let (rows, clicks) = tallies.sum(|_| true);
        let (kept, kept_clicks) = tallies.sum(|fate| fate == Fate::Kept);
        let figures = json!({
            "lines_in": log.stats.lines,
            "rows_in": rows,
            "clicks_in": clicks,
            "rows_out": kept,
            "clicks_out": kept_clicks,
        });
        self.context.fact("log", figures);
        let values = log.stats.values.iter().map(|(column, values)| (column.to_string(), values.clone()));
        self.reports.push(InputReport { input: "log", tallies, values: values.collect() });
    }

    fn report_counts(&mut self, input: &'static str, mut counts: Counts) -> Result<()> {
        counts.check(input)?;
        if counts.records > 0 {
            counts.tallies.add(Fate::Kept, "", counts.rows, 0, "");
            self.reports.push(InputReport { input, tallies: counts.tallies, values: Vec::new() });
            self.rejects.extend(counts.rejects);
        }
        Ok(())
    }

    fn count(&mut self, pairs: Pairs) -> Result<Clicks> {
        let config = &self.settings.config;
        let clicks_only = config.log.as_ref().is_some_and(|log| log.clicks_only);
        let file = self.files.propensities.as_ref();
        let examination = propensities::find(&pairs, &config.debias, file, clicks_only, self.threads)?;
        self.context.fact("examination_by_position", examination.by_position.clone());
        let prior = json!({ "rate": examination.prior, "examinations": PRIOR_STRENGTH });
        self.context.fact("debiasing_prior", prior);
        Ok(Clicks { pairs, examination })
    }

    /// Grades from the clicks.
    fn judge_clicks(&mut self, clicks: Option<&Clicks>, ids: &[String], order: &[u32]) -> Result<Judged> {
        self.context.fact("judgments_source", "clicks");
        self.context.fact("grade_shares", GRADE_SHARES.to_vec());
        let mut judged = Judged::default();
        if let Some(Clicks { pairs, examination }) = clicks {
            let least = self.settings.config.clean.min_grade_impressions;
            let make = |partition| {
                let mut pairs = pairs.read_debiased(partition, examination)?;
                pairs.iter_mut().for_each(|pair| pair.query = order[pair.query as usize]);
                Ok(judgments::from_clicks(&pairs, least))
            };
            let all = &mut judged.judgments;
            parallel::in_order(pairs.partitions(), self.threads, make, |judgments| {
                all.extend(judgments);
                Ok(())
            })?;
        }
        let queries = judged.judgments.iter().map(|judgment| judgment.query);
        judged.ids = queries.map(|query| (query, ids[query as usize].clone())).collect();
        Ok(judged)
    }

    /// Ids, searches and splits of the queries that were searched or judged, or stand in the files of a collection without either.
    fn query_table<'a>(
        &mut self,
        log: &'a Log,
        ids: &'a [String],
        order: &'a [u32],
        searches: Vec<u64>,
        judged: &Judged,
    ) -> Result<QueryTable<'a>> {
        let all = self.settings.config.queries.is_some();
        let is_used = |query: u32| all || searches[query as usize] > 0 || judged.ids.contains_key(&query);
        let used: Vec<u32> = (0..ids.len() as u32).filter(|&query| is_used(query)).collect();
        let key = |&query: &u32| Key {
            hash: log.queries.hash(query).number(),
            judged_as: judged.ids.get(&query).map(String::as_str),
            official: judged.splits.get(&query).copied(),
        };
        let keys: Vec<Key> = used.iter().map(key).collect();
        let assignment = split::assign(&keys, &self.settings.config.split)?;
        self.context.fact("split_rule", assignment.rule);
        let mut splits = vec![None; ids.len()];
        for (query, split) in used.into_iter().zip(assignment.splits) {
            splits[query as usize] = Some(split);
        }
        Ok(QueryTable { queries: &log.queries, ids, order, splits, searches })
    }

    fn write_tables(
        &mut self,
        log: &Log,
        table: &QueryTable,
        clicks: Option<&Clicks>,
        judged: &Judged,
        query_ranks: &[u32],
        rejects: &Rejects,
    ) -> Result<()> {
        let config = &self.settings.config;
        if config.judgments.is_some() && !config.grades_from_clicks() {
            self.context.fact("judgments_source", "judgments");
        }
        let counted = clicks.map(|clicks| (&clicks.pairs, &clicks.examination));
        table.write(self.context)?;
        let memory = memory_limit(self.settings.memory_limit).min(INDEX_MEMORY);
        let work = search::Work { spills: &self.spills, memory, threads: self.threads };
        output::write_documents(self.context, &log.documents, config.analyzer, work)?;
        let expected = output::write_pairs(self.context, counted, &log.documents, table, self.threads)?;
        output::write_propensities(self.context, counted, &expected)?;
        output::write_judgments(self.context, &judged.judgments, &log.documents, table, query_ranks)?;
        output::write_rejects(self.context, Some(rejects), std::mem::take(&mut self.rejects))?;
        output::write_report(self.context, &self.reports)
    }
}

/// The files of the log and how they are read; `None` without a log.
fn log_files(settings: &Settings, context: &StageContext, files: Vec<RawFile>) -> Result<Option<LogFiles>> {
    let config = &settings.config;
    let (Some(log), Some(reading)) = (&config.log, settings.reading()?) else { return Ok(None) };
    let files = without_empty(files)?;
    let clean = &config.clean;
    let read_as = json!([
        PART_VERSION,
        LogConfig { paths: Vec::new(), ..log.clone() },
        clean.null_values,
        clean.max_query_chars,
        config.privacy.user_ids,
        settings.user_key_digest,
    ]);
    let parts = inputs::part_names(context, &files, &read_as);
    Ok(Some(LogFiles { files, layout: inputs::log_layout(log, clean), reading, parts }))
}

/// Reads the share of the log's files that is the shard's.
fn read_share(settings: &Settings, context: &StageContext, (files, shard): (Vec<RawFile>, Shard)) -> Result<()> {
    let Some(log) = log_files(settings, context, files)? else {
        tracing::info!("ingest: shard {shard} has nothing to do: there is no log whose files are shared out");
        return Ok(());
    };
    let read = log.read(&parts(context), &settings.config.clean, (rayon::current_num_threads(), Some(shard)))?;
    let (read, all) = (read.len(), log.files.len());
    tracing::info!(
        "ingest: shard {shard} is finished, {read} of {all} files; when all are, ingest without --shard makes the tables"
    );
    Ok(())
}

/// Where what was read of each file is kept.
fn parts(context: &StageContext) -> PathBuf {
    context.paths().run_dir().join("ingest.parts")
}

/// Memory for the rows of the log, in bytes: half of the machine's unless the configuration says otherwise.
fn memory_limit(given: Option<u64>) -> usize {
    given.unwrap_or_else(|| memory_of(Path::new("/proc/meminfo")).unwrap_or(4 << 30) / 2) as usize
}

/// The machine's memory in bytes, as Linux tells it.
fn memory_of(meminfo: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(meminfo).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}
