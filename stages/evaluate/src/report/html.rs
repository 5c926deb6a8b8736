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

/// A table; cells are texts, the columns from `numbers` on are aligned right.
pub(super) fn table(header: &[&str], rows: &[Vec<String>], numbers: usize) -> String {
    let row = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
        let cells: Vec<String> = cells
            .enumerate()
            .map(|(i, cell)| {
                let class = if i >= numbers { " class=\"number\"" } else { "" };
                // A line break within a cell sets what follows small: an interval below its value.
                let text = match cell.split_once('\n') {
                    Some((first, rest)) => {
                        let rest = escape(rest).replace('\n', "<br>");
                        format!("{}<br><small>{rest}</small>", escape(first))
                    }
                    None => escape(cell),
                };
                format!("<{tag}{class}>{text}</{tag}>")
            })
            .collect();
        format!("<tr>{}</tr>\n", cells.concat())
    };
    let head = row("th", &mut header.iter().copied());
    let body: Vec<String> = rows.iter().map(|cells| row("td", &mut cells.iter().map(String::as_str))).collect();
    format!("<table>\n<thead>{head}</thead>\n<tbody>\n{}</tbody>\n</table>\n", body.concat())
}

/// A section with its heading; nothing where it would be empty.
pub(super) fn section(heading: &str, body: &str) -> String {
    if body.is_empty() {
        return String::new();
    }
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", escape(heading))
}

/// A paragraph of plain text.
pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escape(text))
}

/// A chart with its caption.
pub(super) fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>\n{svg}<figcaption>{}</figcaption>\n</figure>\n", escape(caption))
}
