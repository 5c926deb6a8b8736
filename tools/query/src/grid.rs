//! A table of text that fits a terminal.

use std::io::{self, Write};

use console::{measure_text_width, truncate_str};

use crate::answer::{Column, Kind};

/// What a cut text ends with, and what stands in the place of columns that do not fit.
const CUT: &str = "…";
/// No column is made narrower than this.
const NARROWEST: usize = 8;
/// What a column takes beside its text: a bar and two blanks.
const FRAME: usize = 3;

/// Rows of a table before they are written.
pub(crate) struct Grid {
    /// Terminal columns that a line may take; all that it needs without.
    width: Option<usize>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// A table whose header is the names of `columns`.
    pub(crate) fn new(columns: &[Column], width: Option<usize>) -> Grid {
        let right = columns.iter().map(|column| matches!(column.kind, Kind::Number | Kind::Float)).collect();
        let mut grid = Grid { width, right, rows: Vec::new() };
        grid.add(columns.iter().map(|column| column.name.clone()).collect());
        grid
    }

    /// Adds a row, a text for each column.
    pub(crate) fn add(&mut self, row: Vec<String>) {
        self.rows.push(row.iter().map(|cell| one_line(cell)).collect());
    }

    /// Writes the table.
    ///
    /// # Errors
    /// Where `out` cannot be written.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.fitted();
        let line = |left: &str, middle: &str, right: &str| {
            let bars: Vec<String> = columns.iter().map(|(_, width)| "─".repeat(width + 2)).collect();
            format!("{left}{}{right}", bars.join(middle))
        };
        writeln!(out, "{}", line("┌", "┬", "┐"))?;
        for (number, row) in self.rows.iter().enumerate() {
            let cells = columns.iter().map(|&(column, width)| {
                let (text, right) = column.map_or((CUT, false), |index| (row[index].as_str(), self.right[index]));
                padded(text, width, right)
            });
            writeln!(out, "│ {} │", cells.collect::<Vec<_>>().join(" │ "))?;
            if number == 0 {
                writeln!(out, "{}", line("├", "┼", "┤"))?;
            }
        }
        writeln!(out, "{}", line("└", "┴", "┘"))
    }

    /// The columns that are shown with their widths; `None` stands for those in the middle that do not fit.
    fn fitted(&self) -> Vec<(Option<usize>, usize)> {
        let width = |column: usize| self.rows.iter().map(|row| measure_text_width(&row[column])).max();
        let mut columns: Vec<(Option<usize>, usize)> =
            (0..self.right.len()).map(|column| (Some(column), width(column).unwrap_or(0))).collect();
        let Some(available) = self.width else { return columns };
        let least = |columns: &[(Option<usize>, usize)]| -> usize {
            columns.iter().map(|(_, width)| width.min(&NARROWEST) + FRAME).sum::<usize>() + 1
        };
        if least(&columns) > available {
            let middle = columns.len() / 2;
            columns[middle] = (None, 1);
            while least(&columns) > available && columns.len() > 3 {
                let at = columns.iter().position(|(column, _)| column.is_none()).unwrap_or(0);
                let longer_right = columns.len() - at > at + 1;
                columns.remove(if longer_right { at + 1 } else { at - 1 });
            }
        }
        while columns.iter().map(|(_, width)| width + FRAME).sum::<usize>() + 1 > available {
            let Some((_, widest)) = columns.iter_mut().max_by_key(|(_, width)| *width) else { break };
            if *widest <= NARROWEST {
                break;
            }
            *widest -= 1;
        }
        columns
    }
}

/// `text` in exactly `width` terminal columns.
fn padded(text: &str, width: usize, right: bool) -> String {
    let text = truncate_str(text, width, CUT);
    let blanks = " ".repeat(width.saturating_sub(measure_text_width(&text)));
    if right { format!("{blanks}{text}") } else { format!("{text}{blanks}") }
}

/// The text without line breaks and other characters that move a terminal's cursor, which are written as escapes.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(names: &[&str], rows: &[&[&str]], width: Option<usize>) -> String {
        let columns: Vec<Column> = names.iter().map(|&name| Column { name: name.into(), kind: Kind::Text }).collect();
        let mut grid = Grid::new(&columns, width);
        rows.iter().for_each(|row| grid.add(row.iter().map(ToString::to_string).collect()));
        let mut out = Vec::new();
        grid.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_table_takes_what_it_needs() {
        let expected = "┌───┬─────┐\n│ a │ b   │\n├───┼─────┤\n│ x │ é\\n │\n└───┴─────┘\n";
        assert_eq!(grid(&["a", "b"], &[&["x", "é\n"]], None), expected);
        assert_eq!(grid(&["a", "b"], &[&["x", "é\n"]], Some(80)), expected);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "北京".repeat(40) + "\u{1b}[31m" + &"x".repeat(200);
        let names: Vec<String> = (0..60).map(|index| format!("column {index}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for columns in [1, 2, 3, 7, 60] {
            for width in [40, 80, 133] {
                let row: Vec<&str> = (0..columns).map(|_| long.as_str()).collect();
                let table = grid(&names[..columns], &[&row], Some(width));
                let widest = table.lines().map(measure_text_width).max();
                assert!(widest <= Some(width), "{columns} columns, {width}: {widest:?}\n{table}");
                assert!(table.contains("column 0") && table.contains(CUT), "{table}");
            }
        }
    }
}
