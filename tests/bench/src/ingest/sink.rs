//! The files of a made-up log and its documents, in each format.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int32Builder, RecordBatch, StringBuilder, TimestampMicrosecondBuilder,
};
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use zstd::stream::write::AutoFinishEncoder;

use super::events::{self, DAYS, Page, Row, Shape};
use super::texts;

/// Day number, since 1970, of the log's first day, a second of March.
const FIRST_DAY: i64 = 20_514;
const FIRST_DAY_OF_MARCH: i64 = 2;
/// Rows of a batch that goes to the Parquet writer.
const BATCH: usize = 65_536;
const ZSTD_LEVEL: i32 = 3;

/// A format of log and documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON lines, zstd
    Jsonl,
    /// CSV with a header
    Csv,
    /// Parquet, zstd
    Parquet,
}

impl Format {
    /// As the command line and the configuration call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        }
    }

    /// The end of its files' names.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl.zst",
            Format::Csv => "csv",
            Format::Parquet => "parquet",
        }
    }
}

/// Writes `log/DATE.EXTENSION`, a file for each day, and `documents.EXTENSION` into a folder.
pub(crate) fn write(folder: &Path, format: Format, shape: &Shape) -> Result<()> {
    let log = folder.join("log");
    std::fs::create_dir_all(&log).with_context(|| format!("{}: making failed", log.display()))?;
    let path = |day| log.join(format!("2026-03-{:02}.{}", FIRST_DAY_OF_MARCH + day, format.extension()));
    let open = |day: usize| DayWriter::open(format, &path(day as i64));
    let mut days = (0..DAYS).map(open).collect::<Result<Vec<_>>>()?;
    events::each(shape, &mut |day, page, row| days[day].row(page, row))?;
    for day in days {
        day.finish()?;
    }
    documents(&folder.join(format!("documents.{}", format.extension())), format, shape.documents)
}

/// The log of a day.
enum DayWriter {
    Text(Text),
    Parquet(Box<Columns>),
}

impl DayWriter {
    fn open(format: Format, path: &Path) -> Result<DayWriter> {
        let header = "search_id,session_id,user_id,query,doc_id,position,clicked,dwell_seconds,shown_at\n";
        Ok(match format {
            Format::Parquet => DayWriter::Parquet(Box::new(Columns::open(path)?)),
            _ => DayWriter::Text(Text::open(format, path, header)?),
        })
    }

    fn row(&mut self, page: &Page, row: &Row) -> Result<()> {
        match self {
            DayWriter::Text(text) => text.row(page, row),
            DayWriter::Parquet(columns) => columns.row(page, row),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            DayWriter::Text(text) => text.finish(),
            DayWriter::Parquet(columns) => columns.finish(),
        }
    }
}

/// A file of JSON lines or CSV.
struct Text {
    format: Format,
    file: Box<dyn Write>,
    line: Vec<u8>,
}

impl Text {
    fn open(format: Format, path: &Path, header: &str) -> Result<Text> {
        let file = BufWriter::with_capacity(1 << 20, create(path)?);
        let mut text = match format {
            Format::Jsonl => {
                let encoder: AutoFinishEncoder<_> = zstd::Encoder::new(file, ZSTD_LEVEL)?.auto_finish();
                let file = BufWriter::with_capacity(1 << 17, encoder);
                Text { format, file: Box::new(file), line: Vec::new() }
            }
            _ => Text { format, file: Box::new(file), line: Vec::new() },
        };
        if format == Format::Csv {
            text.file.write_all(header.as_bytes())?;
        }
        Ok(text)
    }

    fn row(&mut self, page: &Page, row: &Row) -> Result<()> {
        let json = self.format == Format::Jsonl;
        self.text("search_id", &page.search_id);
        self.text("session_id", &page.session_id);
        self.text("user_id", &page.user_id);
        self.text("query", &page.query);
        self.text("doc_id", &texts::doc_id(row.document));
        self.key("position");
        match row.position {
            Some(position) => write!(self.line, "{position}")?,
            None => self.line.extend_from_slice(if json { b"\"top\"" } else { b"top" }),
        }
        self.key("clicked");
        write!(self.line, "{}", row.clicked)?;
        self.key("dwell_seconds");
        match row.dwell {
            Some(dwell) => write!(self.line, "{}.{}", dwell / 10, dwell % 10)?,
            None => self.line.extend_from_slice(if json { b"null" } else { b"" }),
        }
        self.key("shown_at");
        let (seconds, milliseconds) = (row.shown_at / 1000, row.shown_at % 1000);
        let (day, hour) = (FIRST_DAY_OF_MARCH + seconds / 86_400, seconds / 3600 % 24);
        let (minute, second) = (seconds / 60 % 60, seconds % 60);
        let quote = if json { "\"" } else { "" };
        write!(self.line, "{quote}2026-03-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z{quote}")?;
        self.end()
    }

    /// What stands before a value.
    fn key(&mut self, name: &str) {
        let first = self.line.is_empty();
        match self.format {
            Format::Jsonl => {
                self.line.extend_from_slice(if first { b"{\"" } else { b",\"" });
                self.line.extend_from_slice(name.as_bytes());
                self.line.extend_from_slice(b"\":");
            }
            _ if first => {}
            _ => self.line.push(b','),
        }
    }

    fn text(&mut self, name: &str, value: &str) {
        self.key(name);
        let json = self.format == Format::Jsonl;
        let quoted = json || value.contains(['"', ',']);
        if quoted {
            self.line.push(b'"');
        }
        for byte in value.bytes() {
            if byte == b'"' {
                self.line.push(if json { b'\\' } else { b'"' });
            }
            self.line.push(byte);
        }
        if quoted {
            self.line.push(b'"');
        }
    }

    fn end(&mut self) -> Result<()> {
        self.line.extend_from_slice(if self.format == Format::Jsonl { b"}\n" } else { b"\n" });
        self.file.write_all(&self.line).context("writing a line failed")?;
        self.line.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.file.flush().context("writing a file failed")
    }
}

/// A Parquet file and the rows that it is to get next.
struct Columns {
    writer: Option<ArrowWriter<File>>,
    path: std::path::PathBuf,
    rows: usize,
    search_id: StringBuilder,
    session_id: StringBuilder,
    user_id: StringBuilder,
    query: StringBuilder,
    doc_id: StringBuilder,
    position: Int32Builder,
    clicked: BooleanBuilder,
    dwell_seconds: Float64Builder,
    shown_at: TimestampMicrosecondBuilder,
}

impl Columns {
    fn open(path: &Path) -> Result<Columns> {
        Ok(Columns {
            writer: None,
            path: path.to_owned(),
            rows: 0,
            search_id: StringBuilder::new(),
            session_id: StringBuilder::new(),
            user_id: StringBuilder::new(),
            query: StringBuilder::new(),
            doc_id: StringBuilder::new(),
            position: Int32Builder::new(),
            clicked: BooleanBuilder::new(),
            dwell_seconds: Float64Builder::new(),
            shown_at: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
        })
    }

    fn row(&mut self, page: &Page, row: &Row) -> Result<()> {
        self.search_id.append_value(&page.search_id);
        self.session_id.append_value(&page.session_id);
        self.user_id.append_value(&page.user_id);
        self.query.append_value(&page.query);
        self.doc_id.append_value(texts::doc_id(row.document));
        self.position.append_value(row.position.map_or(-1, |position| position as i32));
        self.clicked.append_value(row.clicked);
        self.dwell_seconds.append_option(row.dwell.map(|tenths| f64::from(tenths) / 10.0));
        self.shown_at.append_value(FIRST_DAY * 86_400_000_000 + row.shown_at * 1000);
        self.rows += 1;
        if self.rows == BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.rows = 0;
        let columns: [(&str, ArrayRef); 9] = [
            ("search_id", Arc::new(self.search_id.finish())),
            ("session_id", Arc::new(self.session_id.finish())),
            ("user_id", Arc::new(self.user_id.finish())),
            ("query", Arc::new(self.query.finish())),
            ("doc_id", Arc::new(self.doc_id.finish())),
            ("position", Arc::new(self.position.finish())),
            ("clicked", Arc::new(self.clicked.finish())),
            ("dwell_seconds", Arc::new(self.dwell_seconds.finish())),
            ("shown_at", Arc::new(self.shown_at.finish())),
        ];
        write_batch(&mut self.writer, &self.path, columns.map(|(name, values)| (name, values, true)))
    }

    fn finish(mut self) -> Result<()> {
        self.flush()?;
        close(self.writer)
    }
}

/// Adds rows of (name, values, nullable) to a Parquet file, which is made with the first.
fn write_batch<const N: usize>(
    writer: &mut Option<ArrowWriter<File>>,
    path: &Path,
    columns: [(&str, ArrayRef, bool); N],
) -> Result<()> {
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    if writer.is_none() {
        let level = ZstdLevel::try_new(ZSTD_LEVEL)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        *writer = Some(ArrowWriter::try_new(create(path)?, batch.schema(), Some(properties))?);
    }
    if let Some(writer) = writer {
        writer.write(&batch)?;
    }
    Ok(())
}

fn close(writer: Option<ArrowWriter<File>>) -> Result<()> {
    if let Some(writer) = writer {
        writer.close()?;
    }
    Ok(())
}

fn documents(path: &Path, format: Format, count: u64) -> Result<()> {
    if format == Format::Parquet {
        return document_columns(path, count);
    }
    let mut text = Text::open(format, path, "doc_id,title,summary\n")?;
    for number in 0..count {
        let (title, summary) = texts::document(number);
        text.text("doc_id", &texts::doc_id(number));
        text.text("title", &title);
        text.text("summary", &summary);
        text.end()?;
    }
    text.finish()
}

fn document_columns(path: &Path, count: u64) -> Result<()> {
    let mut writer = None;
    for start in (0..count).step_by(BATCH) {
        let mut builders = [StringBuilder::new(), StringBuilder::new(), StringBuilder::new()];
        for number in start..count.min(start + BATCH as u64) {
            let (title, summary) = texts::document(number);
            for (builder, text) in builders.iter_mut().zip([texts::doc_id(number), title, summary]) {
                builder.append_value(text);
            }
        }
        let [ids, titles, summaries] = builders.map(|mut builder| Arc::new(builder.finish()) as ArrayRef);
        write_batch(
            &mut writer,
            path,
            [("doc_id", ids, false), ("title", titles, true), ("summary", summaries, true)],
        )?;
    }
    close(writer)
}

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("{}: making failed", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn formats_hold_the_same_rows() {
        let folder = tempfile::tempdir().unwrap();
        let shape = Shape { impressions: 3_000, documents: 200, seed: 3 };
        let mut rows = 0;
        events::each(&shape, &mut |_, _, _| {
            rows += 1;
            Ok(())
        })
        .unwrap();
        let lines = |format: Format, read: fn(&Path) -> usize| {
            let folder = folder.path().join(format.name());
            write(&folder, format, &shape).unwrap();
            let files = fs::read_dir(folder.join("log")).unwrap();
            files.map(|file| read(&file.unwrap().path())).sum::<usize>()
        };
        let json = lines(Format::Jsonl, |path| {
            let bytes = zstd::decode_all(File::open(path).unwrap()).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count()
        });
        let csv = lines(Format::Csv, |path| {
            let mut reader = csv::Reader::from_path(path).unwrap();
            reader.records().filter(|record| record.as_ref().unwrap().len() == 9).count()
        });
        let parquet = lines(Format::Parquet, |path| {
            let file = File::open(path).unwrap();
            let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            reader.metadata().file_metadata().num_rows() as usize
        });
        assert_eq!((json, csv, parquet), (rows, rows, rows));
    }
}
