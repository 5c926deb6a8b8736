use super::html::{folded, part, table};
use super::*;

#[test]
fn text_cannot_become_markup() {
    assert_eq!(escape("<a href='x'>\"&\""), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;&quot;");
    let cells = table("\"><i>", &["<i>"], &[vec!["<i>\n<u>".to_string()]], 1);
    assert!(!cells.contains("<i>") && !cells.contains("<u>"), "{cells}");
}

#[test]
fn what_is_empty_is_left_out_of_page_and_contents() {
    let section = |id, body: &str| Section { id, heading: "A & B", body: body.into() };
    let html = sections(&[section("full", "<p>1</p>"), section("empty", "")]);
    assert!(
        html.contains("<section id=\"full\">\n<h2>A &amp; B</h2>") && html.contains("<a href=\"#full\">"),
        "{html}"
    );
    assert!(!html.contains("empty"), "{html}");
    assert_eq!((part("a", ""), folded("a", "")), (String::new(), String::new()));
}
