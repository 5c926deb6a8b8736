//! Shows what an analyzer makes of texts: lines in, the tokens of each line as a JSON array out.

use std::io::{BufRead, Write};

use analysis::{Analyzer, AnalyzerName};
use anyhow::Context;
use clap::Parser;

/// Shows the tokens that BM25 counts: reads texts from stdin, one a line, and writes the tokens of each as a JSON array
#[derive(Debug, Parser)]
#[command(name = "analyze")]
struct Arguments {
    /// The analyzer, as ingest.analyzer names it
    #[arg(long, default_value = "unicode", value_parser = analyzer)]
    analyzer: AnalyzerName,
}

fn analyzer(name: &str) -> Result<AnalyzerName, String> {
    let names: Vec<&str> = AnalyzerName::ALL.iter().map(|analyzer| analyzer.name()).collect();
    let found = AnalyzerName::ALL.iter().find(|analyzer| analyzer.name() == name);
    found.copied().ok_or_else(|| format!("expected one of {}", names.join(", ")))
}

fn main() -> anyhow::Result<()> {
    let analyzer = Analyzer::new(Arguments::parse().analyzer);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line.context("stdin: reading failed")?;
        writeln!(out, "{}", serde_json::to_string(&analyzer.tokens(&line))?).context("stdout: writing failed")?;
    }
    out.flush().context("stdout: writing failed")
}
