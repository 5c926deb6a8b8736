//! Shows what an analyzer makes of texts: lines in, the tokens of each line as a JSON array out.

use std::io::{BufRead, ErrorKind, Write};
use std::process::ExitCode;

use analysis::{Analyzer, AnalyzerName};
use clap::Parser;

/// Shows the tokens that BM25 counts: reads texts from stdin, one a line, and writes the tokens of each as a JSON array
#[derive(Debug, Parser)]
#[command(name = "analyze", version)]
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

fn main() -> ExitCode {
    let analyzer = Analyzer::new(Arguments::parse().analyzer);
    match analyze(&analyzer, std::io::stdin().lock(), std::io::stdout().lock()) {
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Output(error)) => failed(&format!("stdout: writing failed: {error}"), 1),
        Err(Failure::Input(line, error)) => {
            failed(&format!("stdin:{line}: expected text in UTF-8, found none: {error}"), 3)
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn failed(message: &str, code: u8) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(code)
}

/// What can fail: a line of the input, or the output.
enum Failure {
    Input(usize, std::io::Error),
    Output(std::io::Error),
}

fn analyze(analyzer: &Analyzer, input: impl BufRead, output: impl Write) -> Result<(), Failure> {
    let mut output = std::io::BufWriter::new(output);
    for (number, line) in (1..).zip(input.lines()) {
        let line = line.map_err(|error| Failure::Input(number, error))?;
        writeln!(output, "{}", serde_json::json!(analyzer.tokens(&line))).map_err(Failure::Output)?;
    }
    output.flush().map_err(Failure::Output)
}
