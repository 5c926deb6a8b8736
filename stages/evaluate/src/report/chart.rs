//! The frame of a chart: what plotly.js draws, and the table that says the same.

use plotly::common::{Anchor, Font, Mode, Orientation, Title};
use plotly::layout::{Axis, HoverMode, Legend, Margin};
use plotly::{Layout, Plot, Trace};

use super::html::{escape, folded, prose, table};

/// Most rows of the table of a chart.
const MOST_ROWS: usize = 60;

/// Draws the charts of a page.
const SCRIPT: &str = include_str!("page.js");

/// Colours are named, and have a value in each colour scheme in `style.css`.
pub(super) const FIRST: &str = "--first";
pub(super) const SECOND: &str = "--second";
pub(super) const FAINT: &str = "--faint";
pub(super) const INK: &str = "--ink";

/// A chart of a page.
pub(super) struct Chart {
    /// What it shows.
    pub(super) title: String,
    /// What is to be known beside.
    pub(super) caption: String,
    /// What is drawn.
    pub(super) traces: Vec<Box<dyn Trace>>,
    /// Axes.
    pub(super) layout: Layout,
    /// Columns of the table.
    pub(super) header: Vec<&'static str>,
    /// Its rows; of many, some at even distances are shown.
    pub(super) rows: Vec<Vec<String>>,
    /// The first column of numbers.
    pub(super) numbers: usize,
}

impl Chart {
    /// The figure, which [`scripts`] draws.
    pub(super) fn html(self) -> String {
        let Chart { title, caption, traces, layout, header, rows, numbers } = self;
        let shown = thinned(&rows);
        let mut values = table(&format!("Values: {title}"), &header, &shown, numbers);
        if shown.len() < rows.len() {
            values += &format!("<p>{} of {} rows, at even distances.</p>\n", shown.len(), rows.len());
        }
        format!(
            "<figure>\n<figcaption><strong>{}</strong> {}</figcaption>\n\
             <div class=\"chart\" role=\"img\" tabindex=\"0\" aria-label=\"{}\"></div>\n\
             <script type=\"application/json\">{}</script>\n{}</figure>\n",
            prose(&title),
            prose(&caption),
            escape(&format!(
                "Chart: {title}. {caption} The table below has its values; arrow keys go through the points."
            )),
            json(traces, layout),
            folded(&format!("Values: {title}"), &values),
        )
    }
}

/// Traces and layout as plotly.js reads them, without a character that could end the element that holds them.
fn json(traces: Vec<Box<dyn Trace>>, layout: Layout) -> String {
    let mut plot = Plot::new();
    plot.add_traces(traces);
    plot.set_layout(layout);
    plot.to_json().replace('<', "\\u003c")
}

/// Charts side by side.
pub(super) fn row(charts: impl IntoIterator<Item = Chart>) -> String {
    let charts: String = charts.into_iter().map(Chart::html).collect();
    if charts.is_empty() { charts } else { format!("<div class=\"charts\">\n{charts}</div>\n") }
}

/// The scripts at the end of a page: plotly.js and ours.
pub(super) fn scripts() -> String {
    let sources = Plot::offline_js_sources();
    // The crate's other script typesets formulas, of which there are none.
    let plotly = sources.split_inclusive("</script>").next().unwrap_or_default();
    format!("{plotly}\n<script>\n{SCRIPT}</script>\n")
}

/// The layout of a chart whose axes have these titles.
pub(super) fn layout(x: &str, y: &str) -> Layout {
    Layout::new()
        .margin(Margin::new().left(8).right(8).top(8).bottom(8).auto_expand(true))
        .legend(
            Legend::new()
                .orientation(Orientation::Horizontal)
                .x(0.0)
                .x_anchor(Anchor::Left)
                .y(1.02)
                .y_anchor(Anchor::Bottom),
        )
        .hover_mode(HoverMode::Closest)
        .x_axis(axis(x))
        .y_axis(axis(y))
}

/// An axis with a title, which may be empty.
pub(super) fn axis(title: &str) -> Axis {
    let axis = Axis::new().auto_margin(true).fixed_range(true);
    if title.is_empty() { axis } else { axis.title(Title::with_text(title).font(Font::new().size(12))) }
}

/// Points alone, or joined by a line.
pub(super) fn mode(points: usize) -> Mode {
    if points <= 30 { Mode::LinesMarkers } else { Mode::Lines }
}

/// At most [`MOST_ROWS`] rows at even distances, the first and the last among them.
fn thinned(rows: &[Vec<String>]) -> Vec<Vec<String>> {
    if rows.len() <= MOST_ROWS {
        return rows.to_vec();
    }
    (0..MOST_ROWS).map(|i| rows[i * (rows.len() - 1) / (MOST_ROWS - 1)].clone()).collect()
}

#[cfg(test)]
mod tests {
    use plotly::Scatter;

    use super::*;

    #[test]
    fn a_chart_cannot_end_its_element() {
        let chart = Chart {
            title: "</script><b>".into(),
            caption: String::new(),
            traces: vec![Scatter::new(vec!["</script>"], vec![f64::NAN]).name("<b>")],
            layout: layout("x</script>", "y"),
            header: vec!["x"],
            rows: vec![vec!["<i>".into()]],
            numbers: 0,
        };
        let html = chart.html();
        assert_eq!(html.matches("</script>").count(), 1);
        assert!(!html.contains("<b>") && !html.contains("<i>"), "{html}");
        assert!(html.contains("\"y\":[null]"), "{html}");
    }

    #[test]
    fn long_tables_are_thinned_from_end_to_end() {
        let rows: Vec<Vec<String>> = (0..1000).map(|i: usize| vec![i.to_string()]).collect();
        let shown = thinned(&rows);
        assert_eq!((shown.len(), &shown[0][0][..], &shown[59][0][..]), (60, "0", "999"));
        assert_eq!(thinned(&rows[..60]), rows[..60]);
    }

    #[test]
    fn the_library_is_one_script_and_ours_another() {
        let scripts = scripts();
        assert_eq!(scripts.matches("</script>").count(), 2);
        assert!(scripts.contains("plotly.js v") && !scripts.contains("MathJax.loader"));
    }
}
