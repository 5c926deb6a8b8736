//! Pieces of HTML. Every text from outside goes through [`escape`].

/// `text` with the characters that mean something in markup replaced.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text of our own, in which a number stays with its percent sign.
pub(super) fn prose(text: &str) -> String {
    escape(text).replace(" %", "\u{a0}%")
}

/// A paragraph of plain text.
pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", prose(text))
}

/// A table that scrolls in itself where it is wider than the page. Cells are texts, the columns from `numbers` on are aligned right;
/// `label` is what a screen reader calls it.
pub(super) fn table(label: &str, header: &[&str], rows: &[Vec<String>], numbers: usize) -> String {
    let table = bare_table(header, rows, numbers);
    format!("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{}\">\n{table}</div>\n", escape(label))
}

/// A table that fits the page.
pub(super) fn bare_table(header: &[&str], rows: &[Vec<String>], numbers: usize) -> String {
    let row = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .enumerate()
            .map(|(i, cell)| {
                let class = if i >= numbers { " class=\"number\"" } else { "" };
                format!("<{tag}{class}>{}</{}>", cell_text(cell), tag.split(' ').next().unwrap_or_default())
            })
            .collect();
        format!("<tr>{}</tr>\n", cells.concat())
    };
    let head = row("th scope=\"col\"", &mut header.iter().copied());
    let body: Vec<String> = rows.iter().map(|cells| row("td", &mut cells.iter().map(String::as_str))).collect();
    format!("<table>\n<thead>{head}</thead>\n<tbody>\n{}</tbody>\n</table>\n", body.concat())
}

/// A line break within a cell sets what follows small: an interval below its value.
fn cell_text(cell: &str) -> String {
    match cell.split_once('\n') {
        Some((first, rest)) => format!("{}<br><small>{}</small>", prose(first), prose(rest).replace('\n', "<br>")),
        None => prose(cell),
    }
}

/// What is shown when its summary, a text, is opened; nothing where it would be empty.
pub(super) fn folded(summary: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("<details>\n<summary>{}</summary>\n{body}</details>\n", prose(summary))
}

/// A heading below that of a section, with its body; nothing where it would be empty.
pub(super) fn part(heading: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("<h3>{}</h3>\n{body}", prose(heading))
}

/// A section of the page.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) heading: &'static str,
    /// Nothing where the section is left out.
    pub(super) body: String,
}

/// The sections that have a body, after a table of contents.
pub(super) fn sections(sections: &[Section]) -> String {
    let filled = || sections.iter().filter(|section| !section.body.is_empty());
    let link = |Section { id, heading, .. }: &Section| format!("<li><a href=\"#{id}\">{}</a></li>\n", escape(heading));
    let contents: String = filled().map(link).collect();
    let section = |Section { id, heading, body }: &Section| {
        format!("<section id=\"{id}\">\n<h2>{}</h2>\n{body}</section>\n", escape(heading))
    };
    let body: String = filled().map(section).collect();
    format!(
        "<nav aria-label=\"Contents\">\n<ol>\n{contents}</ol>\n</nav>\n<main id=\"main\" tabindex=\"-1\">\n{body}</main>\n"
    )
}
