//! Titles and summaries from templates.

use rand_chacha::ChaCha8Rng;

use crate::collection::Document;
use crate::lexicon::{Lexicon, SurfaceWords, pick};
use crate::subject::Subject;
use crate::templates::{FILLERS, OPENINGS, QUALITIES, SECOND_CONCEPTS, TITLES};

/// Generates a document about `subject`: a title of 3 to 6 words, and a summary of two sentences, or three if there is a
/// second concept.
pub(crate) fn describe(doc_id: String, subject: &Subject, lexicon: &Lexicon, rng: &mut ChaCha8Rng) -> Document {
    let mut writer = Writer { subject, lexicon, rng };
    let title = writer.fill(&TITLES);
    let mut sentences = vec![writer.fill(&OPENINGS), writer.fill(&QUALITIES)];
    if subject.second.is_some() {
        sentences.push(writer.fill(&SECOND_CONCEPTS));
    }
    Document { doc_id, title, summary: sentences.join(" ") }
}

struct Writer<'a> {
    subject: &'a Subject,
    lexicon: &'a Lexicon,
    rng: &'a mut ChaCha8Rng,
}

impl Writer<'_> {
    /// Fills the slots of one of the templates.
    fn fill(&mut self, templates: &[&str]) -> String {
        let template = pick(templates, self.rng);
        let mut parts = template.split(['{', '}']);
        let mut text = parts.next().unwrap_or_default().to_string();
        while let (Some(slot), Some(after)) = (parts.next(), parts.next()) {
            text += &self.slot(slot);
            text += after;
        }
        text
    }

    fn slot(&mut self, slot: &str) -> String {
        let (subject, lexicon) = (self.subject, self.lexicon);
        let main = &lexicon.concepts[subject.main];
        match slot {
            "c" => self.word(&main.words),
            "d" => {
                let second = subject.second.unwrap_or(subject.main);
                self.word(&lexicon.concepts[second].words)
            }
            "k" => lexicon.categories[main.category].clone(),
            "q" => {
                let qualifier = *pick(&subject.qualifiers, self.rng);
                self.word(&lexicon.qualifiers[qualifier])
            }
            "all" => {
                let qualifiers = subject.qualifiers.iter();
                let words: Vec<String> =
                    qualifiers.map(|&qualifier| self.word(&lexicon.qualifiers[qualifier])).collect();
                words.join(" and ")
            }
            _ => pick(&FILLERS, self.rng).to_string(),
        }
    }

    fn word(&mut self, words: &SurfaceWords) -> String {
        pick(&words.document, self.rng).clone()
    }
}

#[cfg(test)]
mod tests {
    use pipeline::config::WorldConfig;
    use ranking::rng::stream;

    use analysis::{Analyzer, AnalyzerName};

    use super::*;

    #[test]
    fn texts_are_short_and_name_everything_the_document_is_about() {
        let lexicon = Lexicon::generate(&WorldConfig::default(), 1);
        for index in 0..500 {
            let subject = Subject {
                main: 3,
                second: (index % 2 == 0).then_some(7),
                qualifiers: vec![0, 1, 2][..1 + index % 3].to_vec(),
            };
            let mut rng = stream(1, "test", index as u64);
            let document = describe("d".into(), &subject, &lexicon, &mut rng);
            assert!((3..=6).contains(&document.title.split(' ').count()), "{}", document.title);
            assert!((8..=25).contains(&document.summary.split(' ').count()), "{}", document.summary);

            let text = format!("{} {}", document.title, document.summary);
            assert!(!text.contains(['{', '}']), "{text}");
            let tokens = Analyzer::new(AnalyzerName::Unicode).tokens(&text);
            let names = |words: &SurfaceWords| words.document.iter().any(|word| tokens.contains(word));
            assert!(names(&lexicon.concepts[3].words));
            assert_eq!(names(&lexicon.concepts[7].words), subject.second.is_some());
            for &qualifier in &subject.qualifiers {
                assert!(names(&lexicon.qualifiers[qualifier]));
            }
        }
    }
}
