//! The subject of a document or query, and the grade of a document for a query.

use crate::collection::TOP_GRADE;
use crate::lexicon::Lexicon;

/// The concepts and qualifiers of a document or a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The main concept.
    pub(crate) main: usize,
    /// Another concept.
    pub(crate) second: Option<usize>,
    /// Qualifiers, none twice; at least one in a document.
    pub(crate) qualifiers: Vec<usize>,
}

impl Subject {
    fn has_concept(&self, concept: usize) -> bool {
        self.main == concept || self.second == Some(concept)
    }

    /// The grade of a document with the subject `document` for a query with this subject.
    ///
    /// 4: every concept and qualifier asked for; 3: every concept, and some of the qualifiers; 2: the main concept;
    /// 1: the second concept, or another concept of the main one's category; 0: anything else.
    pub(crate) fn grade(&self, document: &Subject, lexicon: &Lexicon) -> u8 {
        let category = |concept: usize| lexicon.concepts[concept].category;
        if !document.has_concept(self.main) {
            let related = self.second.is_some_and(|second| document.has_concept(second))
                || category(document.main) == category(self.main);
            return u8::from(related);
        }
        let shared = self.qualifiers.iter().filter(|qualifier| document.qualifiers.contains(qualifier)).count();
        let all_concepts = self.second.is_none_or(|second| document.has_concept(second));
        match all_concepts {
            true if shared == self.qualifiers.len() => TOP_GRADE,
            true if shared > 0 => 3,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use pipeline::config::WorldConfig;

    use super::*;

    fn subject(main: usize, second: Option<usize>, qualifiers: &[usize]) -> Subject {
        Subject { main, second, qualifiers: qualifiers.to_vec() }
    }

    #[test]
    fn grades_fall_with_what_is_missing() {
        let config = WorldConfig { concepts: 20, qualifiers: 10, ..WorldConfig::default() };
        let lexicon = Lexicon::generate(&config, 1);
        let query = subject(0, Some(2), &[4, 5]);
        let cases = [
            (subject(0, Some(2), &[5, 4, 6]), 4),
            (subject(2, Some(0), &[4, 5]), 4),
            (subject(0, Some(2), &[5]), 3),
            (subject(0, Some(2), &[6]), 2),
            (subject(0, None, &[4, 5]), 2),
            (subject(7, Some(0), &[]), 2),
            (subject(2, None, &[4, 5]), 1),
            (subject(7, Some(2), &[4, 5]), 1),
            (subject(6, None, &[4, 5]), 1),
            (subject(7, None, &[4, 5]), 0),
        ];
        for (document, grade) in cases {
            assert_eq!(query.grade(&document, &lexicon), grade, "{document:?}");
        }
        assert_eq!(subject(0, None, &[]).grade(&subject(0, None, &[1]), &lexicon), 4);
    }
}
