//! What is ranked.

/// A query or a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// What messages call it; servers never see it.
    pub id: &'a str,
    /// The text.
    pub text: &'a str,
}

/// A query and its documents, in an order that results keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<'a> {
    /// The query.
    pub query: Text<'a>,
    /// Its documents.
    pub documents: Vec<Text<'a>>,
}
