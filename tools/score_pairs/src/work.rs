//! Scoring the windows of a file that have no scores yet, and writing the output.

use std::time::Instant;

use nn::text::Texts;
use pipeline::{Progress, Shard};
use tables::{Parts, Rows};

use crate::model::Scorer;
use crate::pairs::{Output, Pairs, Window};
use crate::request::Request;
use crate::unfinished::Unfinished;

/// Rows that are scored at once, after which progress is told.
const STEP: usize = 1024;

/// A request whose model is loaded and whose folder of parts is open.
pub(crate) struct Work<'a> {
    pub(crate) request: &'a Request<'a>,
    pub(crate) scorer: Scorer<'a>,
    /// The scores of windows, a part each, made of the window's texts.
    pub(crate) parts: Parts,
    pub(crate) unfinished: Unfinished,
}

/// What there is to do.
#[derive(Default)]
struct Found {
    windows: usize,
    rows: u64,
    /// Those that an interrupted run scored.
    scored_windows: usize,
    scored_rows: u64,
}

impl Work<'_> {
    /// Reads the file that `open` opens twice, and writes the output.
    pub(crate) fn run<P: Pairs>(&self, open: impl Fn() -> anyhow::Result<P>) -> anyhow::Result<()> {
        let found = self.look_through(open()?)?;
        if found.scored_windows > 0 {
            tracing::info!("score: {} of {} parts to make", found.windows - found.scored_windows, found.windows);
        }
        let mut meter = Meter::start(&found, self.request.bars);
        let mut pairs = open()?;
        if let Some(shard) = self.request.shard {
            return self.make_share(&mut pairs, shard, &mut meter);
        }
        let out = self.request.out;
        let mut output = pairs.output(out, self.unfinished.create(out)?)?;
        let mut number = 0;
        while let Some(window) = pairs.next()? {
            let scores = self.scores(number, &window.texts(), &mut meter)?;
            output.write(window, &scores)?;
            number += 1;
        }
        let file = output.finish()?;
        self.unfinished.allow_replacing()?;
        file.commit()?;
        self.unfinished.remove()?;
        let (made, seconds) = (meter.made, meter.started.elapsed().as_secs_f64());
        let rate = made as f64 / seconds.max(1e-9);
        tracing::info!("{}: {} rows, {made} scored in {seconds:.1}s, {rate:.0} pairs/s", out.display(), found.rows);
        Ok(())
    }

    /// Makes the shard's parts that are missing, and leaves the output to a run that is no shard.
    fn make_share(&self, pairs: &mut impl Pairs, shard: Shard, meter: &mut Meter) -> anyhow::Result<()> {
        let mut number = 0;
        while let Some(window) = pairs.next()? {
            if shard.has(number) {
                self.scores(number, &window.texts(), meter)?;
            }
            number += 1;
        }
        tracing::info!("score: shard {shard} is finished; when all are, the command without --shard writes the output");
        Ok(())
    }

    /// Reads the whole file: a bad row is told before hours of work, and the work that is left is known.
    fn look_through(&self, mut pairs: impl Pairs) -> anyhow::Result<Found> {
        let mut found = Found::default();
        while let Some(window) = pairs.next()? {
            let texts = window.texts();
            if self.parts.is_made_of(found.windows, &digest(&texts))? {
                found.scored_windows += 1;
                found.scored_rows += texts.len() as u64;
            }
            found.windows += 1;
            found.rows += texts.len() as u64;
        }
        Ok(found)
    }

    /// The scores of window `number`, out of its part where that was made of the same texts.
    fn scores(&self, number: usize, texts: &[Texts<'_>], meter: &mut Meter) -> anyhow::Result<Vec<f32>> {
        let inputs = digest(texts);
        if self.parts.is_made_of(number, &inputs)? {
            return Ok(self.parts.read(number)?.float32s("score")?.values().to_vec());
        }
        let mut scores = Vec::with_capacity(texts.len());
        for texts in texts.chunks(STEP) {
            scores.extend(self.scorer.scores(texts)?);
            meter.add(texts.len());
        }
        self.parts.write_made_of(number, &inputs, Rows::of(&scores).float32s("score", |&score| score))?;
        Ok(scores)
    }
}

/// Tells how far the work is and how fast.
struct Meter {
    progress: Progress,
    started: Instant,
    /// Rows that this run scored.
    made: usize,
}

impl Meter {
    fn start(found: &Found, bars: bool) -> Meter {
        let mut progress = Progress::new("scored pairs", found.rows, bars);
        progress.go_on_from(found.scored_rows);
        Meter { progress, started: Instant::now(), made: 0 }
    }

    fn add(&mut self, rows: usize) {
        self.made += rows;
        self.progress.add(rows as u64);
    }
}

/// A digest of the texts of rows and where each begins.
fn digest(texts: &[Texts<'_>]) -> String {
    let mut bytes = Vec::new();
    for &Texts { query, title, summary } in texts {
        for text in [query, title, summary] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
    }
    files::sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_another_column_or_row_is_another_input() {
        let row = |query, title, summary| Texts { query, title, summary };
        let inputs = [
            vec![row("a", "b", "")],
            vec![row("a", "", "b")],
            vec![row("ab", "", "")],
            vec![row("a", "b", ""), row("", "", "")],
            vec![],
        ];
        let digests: std::collections::BTreeSet<String> = inputs.iter().map(|texts| digest(texts)).collect();
        assert_eq!(digests.len(), inputs.len());
    }
}
