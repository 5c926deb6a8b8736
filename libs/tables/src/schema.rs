//! The schemas of `schemas/*.toml`, embedded, parsed once.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use serde::Deserialize;

use crate::{Error, Result};

/// The columns of a table and the order of its rows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schema {
    /// Name of the table and of its folder.
    pub name: String,
    /// Version; to be raised with every change of the columns.
    pub version: u32,
    /// What one row is.
    pub description: String,
    /// Columns the rows are sorted by, ascending, byte-wise for text.
    pub sort: Vec<String>,
    /// The stages whose output has the table, in the order they run, and `bench`, which measures; none for one that is not
    /// part of a run.
    #[serde(default)]
    pub stages: Vec<String>,
    /// The columns in file order.
    pub columns: Vec<Column>,
}

/// One column of a [`Schema`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Column name.
    pub name: String,
    /// Physical type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// True if a value may be missing.
    pub nullable: bool,
    /// Unit or value set; empty where there is none.
    pub unit: String,
    /// Description of the values.
    pub meaning: String,
}

/// The column types tables use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// UTF-8 text.
    String,
    /// True or false.
    Bool,
    /// 32-bit signed integer.
    Int32,
    /// 64-bit signed integer.
    Int64,
    /// 32-bit float.
    Float32,
    /// 64-bit float.
    Float64,
    /// Microseconds since 1970, UTC.
    Timestamp,
    /// List of 32-bit signed integers.
    ListInt32,
}

impl ColumnType {
    /// The Arrow type.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            ColumnType::String => DataType::Utf8,
            ColumnType::Bool => DataType::Boolean,
            ColumnType::Int32 => DataType::Int32,
            ColumnType::Int64 => DataType::Int64,
            ColumnType::Float32 => DataType::Float32,
            ColumnType::Float64 => DataType::Float64,
            ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            ColumnType::ListInt32 => DataType::List(Arc::new(Field::new("item", DataType::Int32, false))),
        }
    }
}

const SOURCES: [(&str, &str); 20] = [
    ("benchmarks", include_str!("../../../schemas/benchmarks.toml")),
    ("comparisons", include_str!("../../../schemas/comparisons.toml")),
    ("cpt_examples", include_str!("../../../schemas/cpt_examples.toml")),
    ("documents", include_str!("../../../schemas/documents.toml")),
    ("generated_queries", include_str!("../../../schemas/generated_queries.toml")),
    ("held_out_scores", include_str!("../../../schemas/held_out_scores.toml")),
    ("impressions", include_str!("../../../schemas/impressions.toml")),
    ("ingest_report", include_str!("../../../schemas/ingest_report.toml")),
    ("judgments", include_str!("../../../schemas/judgments.toml")),
    ("metrics", include_str!("../../../schemas/metrics.toml")),
    ("pair_scores", include_str!("../../../schemas/pair_scores.toml")),
    ("pairs", include_str!("../../../schemas/pairs.toml")),
    ("propensities", include_str!("../../../schemas/propensities.toml")),
    ("queries", include_str!("../../../schemas/queries.toml")),
    ("query_metrics", include_str!("../../../schemas/query_metrics.toml")),
    ("rejects", include_str!("../../../schemas/rejects.toml")),
    ("runs", include_str!("../../../schemas/runs.toml")),
    ("score_parts", include_str!("../../../schemas/score_parts.toml")),
    ("teacher_scores", include_str!("../../../schemas/teacher_scores.toml")),
    ("training_metrics", include_str!("../../../schemas/training_metrics.toml")),
];

impl Schema {
    /// Every schema, by name.
    ///
    /// # Errors
    /// [`Error::BadSchema`] on a malformed schema file; the crate's tests check that none is.
    pub fn all() -> Result<&'static [Schema]> {
        static ALL: OnceLock<std::result::Result<Vec<Schema>, (String, String)>> = OnceLock::new();
        let all = ALL.get_or_init(|| {
            SOURCES
                .iter()
                .map(|(name, text)| toml::from_str(text).map_err(|e| (name.to_string(), e.to_string())))
                .collect()
        });
        match all {
            Ok(all) => Ok(all),
            Err((name, reason)) => Err(Error::BadSchema { name: name.clone(), reason: reason.clone() }),
        }
    }

    /// The schema called `name`.
    ///
    /// # Errors
    /// [`Error::UnknownSchema`] where there is none.
    pub fn named(name: &str) -> Result<&'static Schema> {
        let found = Schema::all()?.iter().find(|schema| schema.name == name);
        found.ok_or_else(|| Error::UnknownSchema(name.to_string()))
    }

    /// The Arrow schema: the same columns, in order.
    #[must_use]
    pub fn arrow(&self) -> SchemaRef {
        let fields: Vec<Field> = self.columns.iter().map(|c| Field::new(&c.name, c.kind.arrow(), c.nullable)).collect();
        Arc::new(arrow::datatypes::Schema::new(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_is_well_formed() {
        for (schema, (name, _)) in Schema::all().unwrap().iter().zip(SOURCES) {
            assert_eq!(schema.name, name);
            for sort in &schema.sort {
                assert!(schema.columns.iter().any(|c| &c.name == sort && !c.nullable), "{name}: {sort}");
            }
            let mut names: Vec<_> = schema.columns.iter().map(|c| &c.name).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), schema.columns.len(), "{name}: a column stands twice");
        }
    }

    #[test]
    fn a_column_has_one_type_in_every_table() {
        let mut seen = std::collections::BTreeMap::new();
        for schema in Schema::all().unwrap() {
            for column in &schema.columns {
                // A teacher's score is the model's own f32; other systems' scores are computed in f64.
                if column.name == "score" {
                    continue;
                }
                let kind = *seen.entry(&column.name).or_insert(column.kind);
                assert_eq!(kind, column.kind, "{}.{}", schema.name, column.name);
            }
        }
    }

    #[test]
    fn the_folder_holds_no_other_schema() {
        let files = std::fs::read_dir("../../schemas").unwrap().map(|entry| entry.unwrap().path());
        assert_eq!(files.filter(|path| path.extension() == Some("toml".as_ref())).count(), SOURCES.len());
    }
}
