//! The table `training_metrics`, which grows while a training runs.

use std::path::Path;

use pipeline::StageContext;
use tables::{AppendTable, Columns, Rows, StageDir};

const TABLE: &str = "training_metrics";

/// One logged value.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    phase: String,
    step: i64,
    metric: String,
    value: f64,
}

/// Collects values and appends them to the table a few hundred at a time.
#[derive(Debug)]
pub struct TrainingLog {
    table: AppendTable,
    pending: Vec<Row>,
}

impl TrainingLog {
    /// Opens the log below `dir`, with what an interrupted run left.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn open(dir: &Path) -> tables::Result<TrainingLog> {
        Ok(TrainingLog { table: AppendTable::open(dir, TABLE)?, pending: Vec::new() })
    }

    /// Notes values of one step.
    pub fn add(&mut self, phase: &str, step: usize, values: &[(&str, f64)]) {
        self.pending.extend(values.iter().map(|&(metric, value)| Row {
            phase: phase.into(),
            step: step as i64,
            metric: metric.into(),
            value,
        }));
    }

    /// Notes all values of a phase that an earlier output holds.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn copy_phase(&mut self, earlier: &StageDir, phase: &str) -> tables::Result<()> {
        let rows = rows_of(&earlier.table(TABLE)?)?;
        self.pending.extend(rows.into_iter().filter(|row| row.phase == phase));
        self.flush()
    }

    /// Drops all values of a phase, whose training starts anew.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn forget_phase(&mut self, phase: &str) -> tables::Result<()> {
        self.flush()?;
        let rows = rows_of(&self.table.rows()?)?;
        self.table.clear()?;
        self.pending.extend(rows.into_iter().filter(|row| row.phase != phase));
        self.flush()
    }

    /// Makes all noted values visible to readers.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn flush(&mut self) -> tables::Result<()> {
        if !self.pending.is_empty() {
            self.table.append(columns(&self.pending))?;
            self.pending.clear();
        }
        Ok(())
    }

    /// Turns the log into the run's finished table: sorted, one value per phase, step and metric (a resumed training
    /// repeats the steps since its checkpoint).
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn finish(mut self, context: &mut StageContext) -> tables::Result<()> {
        self.flush()?;
        let mut rows = rows_of(&self.table.rows()?)?;
        rows.sort_by(|a, b| (&a.phase, a.step, &a.metric).cmp(&(&b.phase, b.step, &b.metric)));
        rows.dedup_by(|a, b| (&a.phase, a.step, &a.metric) == (&b.phase, b.step, &b.metric));
        self.table.clear()?;
        let mut table = context.create_table(TABLE, &[])?;
        table.write(columns(&rows))?;
        context.finish_table(TABLE, table)?;
        Ok(())
    }
}

fn rows_of(table: &Columns) -> tables::Result<Vec<Row>> {
    let (phases, steps) = (table.strings("phase")?, table.int64s("step")?);
    let (metrics, values) = (table.strings("metric")?, table.float64s("value")?);
    let rows = (0..table.rows()).map(|row| Row {
        phase: phases.value(row).into(),
        step: steps.value(row),
        metric: metrics.value(row).into(),
        value: values.value(row),
    });
    Ok(rows.collect())
}

fn columns(rows: &[Row]) -> Rows<'_, Row> {
    Rows::of(rows)
        .strings("phase", |row| row.phase.as_str())
        .int64s("step", |row| row.step)
        .strings("metric", |row| row.metric.as_str())
        .float64s("value", |row| row.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::RunPaths;

    #[test]
    fn a_resumed_training_leaves_one_value_per_step() {
        let root = tempfile::tempdir().unwrap();
        let paths = RunPaths::new(root.path(), "runs", "test");
        let mut context = StageContext::new(paths, root.path().to_path_buf(), Vec::new());
        let mut log = TrainingLog::open(root.path()).unwrap();
        for step in 1..=3 {
            log.add("rank", step, &[("loss", step as f64), ("learning_rate", 0.5)]);
        }
        log.flush().unwrap();
        drop(log);
        let mut log = TrainingLog::open(root.path()).unwrap();
        for step in 3..=4 {
            log.add("rank", step, &[("loss", step as f64), ("learning_rate", 0.5)]);
        }
        log.add("cpt", 1, &[("loss", 9.0)]);
        log.finish(&mut context).unwrap();
        let rows = rows_of(&AppendTable::open(root.path(), TABLE).unwrap().rows().unwrap()).unwrap();
        let told: Vec<_> = rows.iter().map(|row| (&row.phase[..], row.step, &row.metric[..], row.value)).collect();
        let mut expected = vec![("cpt", 1, "loss", 9.0)];
        for step in 1..=4 {
            expected.extend([("rank", step, "learning_rate", 0.5), ("rank", step, "loss", step as f64)]);
        }
        assert_eq!(told, expected);
    }
}
