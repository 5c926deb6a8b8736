//! Tests across stages: the real binaries, started as a user starts them.
//!
//! Build them first (`cargo build --release --workspace --bins`); the tests look for them beside their own executable.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

mod ablation;
mod base_models;
mod browser;
mod candidate_lists;
mod check;
mod cluster;
mod config_errors;
mod dense;
mod determinism;
mod evaluate_files;
mod export;
mod folds;
mod full_disk;
mod grade;
mod hub;
mod ingest_parts;
mod input_errors;
mod interrupt;
mod kept_scores;
mod keys;
mod kubernetes;
mod languages;
mod lora;
mod losses_and_metrics;
mod method_options;
mod model_cards;
mod my_log;
mod no_log;
mod object_store;
mod phases;
mod process;
mod query;
mod ranks;
mod real_data;
mod real_servers;
mod recipes;
mod report_page;
mod resume;
mod round_trip;
mod run_all;
mod sample;
mod sandbox;
mod saved_teacher;
mod score_pairs;
mod score_pairs_interrupted;
mod score_parts;
mod scores_alone;
mod scoring_teachers;
mod serve;
mod serve_overload;
mod serve_page;
mod serve_reload;
mod serve_robust;
mod serving;
mod small_server;
