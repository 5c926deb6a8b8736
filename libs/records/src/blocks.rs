//! Files in blocks of whole records: cut one after the other, read side by side.

use std::sync::Arc;

use crate::delimited::{self, Table, endless};
use crate::error::{Error, Result};
use crate::json::{Parser, first_keys};
use crate::json_pieces::{column_of, spans_lines};
use crate::json_plan::Plan;
use crate::json_records::{self, Piece, Place};
use crate::layout::{Form, Layout};
use crate::parquet_rows::{self, Rows};
use crate::raw_file::RawFile;
use crate::record::{Field, Found, Visit, names};
use crate::source::Source;
use crate::text_lines::count;
use crate::values::Nulls;

/// Bytes of a file that show how its JSON is written.
const SAMPLE: usize = 1 << 18;

/// A file that is cut into blocks in order, without reading its records.
pub struct Blocks {
    cutter: Cutter,
    columns: Vec<String>,
    /// What the file has, for an error message.
    names: String,
}

enum Cutter {
    Text(Box<TextCutter>),
    Parquet(parquet_rows::Cutter),
}

struct TextCutter {
    source: Source,
    shared: Arc<Shared>,
    place: Place,
}

/// What the blocks of a text file share.
struct Shared {
    fields: Vec<Field>,
    nulls: Arc<Nulls>,
    syntax: Syntax,
}

enum Syntax {
    /// One JSON object or more a line.
    JsonLines(Plan),
    /// Any other text of JSON objects.
    Json(Plan),
    Delimited(Table),
}

/// Whole records of a file, still to be read; several blocks can be read at once.
pub struct Block {
    part: Part,
}

enum Part {
    Text { shared: Arc<Shared>, bytes: Vec<u8>, line: u64, pieces: Vec<Piece> },
    Rows(Rows),
}

impl Blocks {
    /// Opens `file` and reads its header or schema.
    ///
    /// # Errors
    /// [`Error`] on a file that cannot be opened, an empty or damaged one, one that is not of this layout, and one whose header
    /// or schema lacks a required field, has a wanted one twice, or says that it is a list or record where a single value is
    /// wanted.
    pub fn open(file: &RawFile, layout: &Layout, fields: &[Field]) -> Result<Blocks> {
        let nulls = layout.nulls.clone();
        if let Form::Parquet = layout.form {
            let (cutter, columns) = parquet_rows::Cutter::open(file, nulls, fields)?;
            let names = names(columns.iter().map(String::as_str));
            return Ok(Blocks { cutter: Cutter::Parquet(cutter), columns, names });
        }
        let mut source = Source::open(file)?;
        let (sample, whole) = source.peek(SAMPLE)?;
        if whole && sample.trim_ascii().is_empty() {
            return Err(file.bad("expected records, found an empty file; remove it or write it again"));
        }
        let (syntax, line, columns, names) = match &layout.form {
            Form::Delimited(form) => {
                let (table, line) = form.open(&mut source, fields)?;
                let (columns, names) = (table.header.clone(), table.names());
                (Syntax::Delimited(table), line, columns, names)
            }
            _ => {
                let columns = first_keys(sample).unwrap_or_default();
                let names = names(columns.iter().map(String::as_str));
                let form = if spans_lines(sample, whole) { Syntax::Json } else { Syntax::JsonLines };
                (form(Plan::new(fields)), 1, columns, names)
            }
        };
        let shared = Arc::new(Shared { fields: fields.to_vec(), nulls, syntax });
        Ok(Blocks {
            cutter: Cutter::Text(Box::new(TextCutter { source, shared, place: Place { line, column: 0, covered: 0 } })),
            columns,
            names,
        })
    }

    /// The names of the file's header or schema, or those of its first object; none of numbered columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// What the file has, for [`crate::missing_field`]: the names of its header or schema, or those of its first object.
    #[must_use]
    pub fn names(&self) -> &str {
        &self.names
    }

    /// The next whole records, about `bytes` of them; more if one is longer, and up to 65,536 rows of Parquet. `None` at the end.
    /// Where a block ends depends on the file and on `bytes` alone.
    ///
    /// # Errors
    /// [`Error`] on a file that cannot be read, on damaged compression, on a record of more than 256 MiB, and on a quote that is
    /// never closed.
    pub fn next(&mut self, bytes: usize) -> Result<Option<Block>> {
        let part = match &mut self.cutter {
            Cutter::Text(text) => text.next(bytes)?,
            Cutter::Parquet(parquet) => parquet.next(bytes).map(Part::Rows),
        };
        Ok(part.map(|part| Block { part }))
    }

    /// Refuses records longer than `bytes`.
    #[cfg(test)]
    pub(crate) fn set_longest(&mut self, bytes: usize) {
        if let Cutter::Text(text) = &mut self.cutter {
            text.source.longest = bytes;
        }
    }
}

impl TextCutter {
    fn next(&mut self, bytes: usize) -> Result<Option<Part>> {
        let mut wanted = bytes.max(1);
        loop {
            let (window, whole) = self.source.peek(wanted)?;
            if window.is_empty() {
                return Ok(None);
            }
            let cut = cut(&self.shared.syntax, window, whole, &mut self.place);
            if cut.end > 0 {
                let bytes = self.source.take(cut.end);
                let line = self.place.line;
                self.place.line += count(self.line_end(), &bytes);
                self.place.column = column_of(&bytes, self.place.column, bytes.len());
                return Ok(Some(Part::Text { shared: self.shared.clone(), bytes, line, pieces: cut.pieces }));
            }
            if whole || window.len() > self.source.longest {
                return Err(self.endless(cut.open));
            }
            wanted = (wanted * 2).min(self.source.longest.saturating_add(1)).max(wanted);
        }
    }

    fn line_end(&self) -> u8 {
        match &self.shared.syntax {
            Syntax::Delimited(table) => table.syntax.line_end,
            Syntax::Json(_) | Syntax::JsonLines(_) => b'\n',
        }
    }

    fn endless(&self, open: bool) -> Error {
        match &self.shared.syntax {
            Syntax::Delimited(table) => endless(&self.source.file, self.place.line, &table.syntax, open),
            Syntax::Json(_) | Syntax::JsonLines(_) => {
                let problem = "expected records of up to 256 MiB, found a longer one; split or remove it";
                self.source.file.bad_line(self.place.line, problem)
            }
        }
    }
}

/// Where a block ends.
struct Cut {
    /// 0 if there is no whole record.
    end: usize,
    /// True if there is none because of an open quote.
    open: bool,
    pieces: Vec<Piece>,
}

/// Cuts `window`; with `whole` the file ends with it.
fn cut(syntax: &Syntax, window: &[u8], whole: bool, place: &mut Place) -> Cut {
    let mut pieces = Vec::new();
    let (end, open) = match syntax {
        Syntax::JsonLines(_) if whole => (window.len(), false),
        Syntax::JsonLines(_) => (memchr::memrchr(b'\n', window).map_or(0, |at| at + 1), false),
        Syntax::Json(_) => (json_records::cut(window, whole, place, &mut pieces), false),
        Syntax::Delimited(table) => {
            let ends = table.syntax.ends(window);
            (if whole && !ends.open { window.len() } else { ends.last }, ends.open)
        }
    };
    Cut { end, open, pieces }
}

impl Block {
    /// Reads the records and calls `visit` with each. Returns, for each wanted field, whether the block has it.
    ///
    /// # Errors
    /// [`Error`] on a damaged Parquet file; whatever `visit` returns.
    pub fn visit<E: From<Error>>(&self, visit: &mut Visit<E>) -> std::result::Result<Found, E> {
        match &self.part {
            Part::Rows(rows) => rows.visit(visit),
            Part::Text { shared, bytes, line, pieces } => {
                let Shared { fields, nulls, syntax } = &**shared;
                match syntax {
                    Syntax::Delimited(table) => delimited::visit(table, fields, nulls, bytes, *line, visit),
                    Syntax::JsonLines(plan) => {
                        json_records::visit_lines(Parser::new(fields, plan, nulls), bytes, *line, visit)
                    }
                    Syntax::Json(plan) => {
                        json_records::visit_pieces(Parser::new(fields, plan, nulls), bytes, pieces, visit)
                    }
                }
            }
        }
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Blocks").field("names", &self.names).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Block").finish_non_exhaustive()
    }
}
