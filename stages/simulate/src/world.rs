//! The synthetic collection.
//!
//! A document has one or two concepts and one to three qualifiers. A query asks for the subject of some document. With the
//! probability `vocabulary_gap` each of its words is one that no document contains, so that lexical search alone cannot rank,
//! and synonyms can only be learned from clicks.

use std::collections::HashSet;

use pipeline::ConfigError;
use pipeline::config::WorldConfig;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use ranking::rng::stream;

use crate::collection::{Collection, Document, Query, TOP_GRADE};
use crate::lexicon::{Lexicon, SurfaceWords, pick};
use crate::prose::describe;
use crate::subject::Subject;

/// Probability that a document has a second concept.
const SECOND_CONCEPT: f64 = 0.5;
/// Probability that a query names the second concept of the document it is made from.
const SECOND_CONCEPT_ASKED: f64 = 0.4;
/// The most qualifiers of a document.
const DOCUMENT_QUALIFIERS: usize = 3;
/// Probabilities of 0, 1, ... qualifiers in a query for one concept, and in a query for two.
const QUERY_QUALIFIERS: [&[f64]; 2] = [&[0.05, 0.5, 0.45], &[0.4, 0.6]];
/// Attempts to generate a query whose text is new.
const ATTEMPTS: usize = 200;

/// Lexicon and collection.
#[derive(Debug)]
pub(crate) struct World {
    /// The vocabulary.
    pub(crate) lexicon: Lexicon,
    /// The documents and queries.
    pub(crate) collection: Collection,
}

impl World {
    /// Generates a world.
    ///
    /// # Errors
    /// [`ConfigError::Unusable`] if the world is too small for that many distinct queries.
    pub(crate) fn generate(config: &WorldConfig, seed: u64) -> Result<World, ConfigError> {
        let lexicon = Lexicon::generate(config, seed);
        let (documents, subjects) = documents(config, &lexicon, seed);
        let queries = queries(config, &lexicon, &subjects, seed)?;
        Ok(World { lexicon, collection: Collection { documents, queries } })
    }
}

/// The documents and their subjects. Each concept is the main one of equally many.
fn documents(config: &WorldConfig, lexicon: &Lexicon, seed: u64) -> (Vec<Document>, Vec<Subject>) {
    let mut mains: Vec<usize> = (0..config.documents).map(|i| i % config.concepts).collect();
    mains.shuffle(&mut stream(seed, "simulate/documents", 0));
    let document = |(number, main): (usize, usize)| {
        let mut rng = stream(seed, "simulate/document", number as u64);
        let subject = document_subject(main, lexicon, &mut rng);
        let id = format!("d{number:06}");
        (describe(id, &subject, lexicon, &mut rng), subject)
    };
    mains.into_iter().enumerate().map(document).unzip()
}

fn document_subject(main: usize, lexicon: &Lexicon, rng: &mut ChaCha8Rng) -> Subject {
    let concept = &lexicon.concepts[main];
    let second = rng.random_bool(SECOND_CONCEPT).then(|| *pick(&concept.partners, rng));
    let count = rng.random_range(1..=DOCUMENT_QUALIFIERS);
    Subject { main, second, qualifiers: sample(&concept.qualifiers, count, rng) }
}

/// `count` of `items`, or all if they are fewer, in random order.
fn sample(items: &[usize], count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut sampled = items.to_vec();
    sampled.shuffle(rng);
    sampled.truncate(count);
    sampled
}

/// The queries with their relevant documents. Each concept is the main one of equally many.
fn queries(
    config: &WorldConfig,
    lexicon: &Lexicon,
    subjects: &[Subject],
    seed: u64,
) -> Result<Vec<Query>, ConfigError> {
    let mut by_concept = vec![Vec::new(); config.concepts];
    for subject in subjects {
        by_concept[subject.main].push(subject);
    }
    by_concept.retain(|documents| !documents.is_empty());
    let mut wording = Wording::new(lexicon, config.vocabulary_gap);
    let mut texts = HashSet::new();
    let mut queries = Vec::with_capacity(config.queries);
    for number in 0..config.queries {
        let mut rng = stream(seed, "simulate/query", number as u64);
        let documents = &by_concept[number % by_concept.len()];
        let (subject, text) = (0..ATTEMPTS)
            .map(|_| {
                let document = *pick(documents, &mut rng);
                let subject = query_subject(document, &mut rng);
                let text = wording.text(&subject, &mut rng);
                (subject, text)
            })
            .find(|(_, text)| texts.insert(text.clone()))
            .ok_or_else(|| too_many_queries(config, number))?;
        queries.push(Query { id: format!("q{number:05}"), text, relevant: relevant(&subject, subjects, lexicon) });
    }
    Ok(queries)
}

fn too_many_queries(config: &WorldConfig, found: usize) -> ConfigError {
    ConfigError::Unusable(format!(
        "simulate.world.queries: expected {} distinct queries, found words for {found}; ask for fewer queries or for more simulate.world.concepts",
        config.queries
    ))
}

/// The subject of a query for `document` or similar ones.
fn query_subject(document: &Subject, rng: &mut ChaCha8Rng) -> Subject {
    let second = document.second.filter(|_| rng.random_bool(SECOND_CONCEPT_ASKED));
    let mut left = rng.random::<f64>();
    let count = QUERY_QUALIFIERS[usize::from(second.is_some())]
        .iter()
        .take_while(|&&chance| {
            left -= chance;
            left >= 0.0
        })
        .count();
    Subject { main: document.main, second, qualifiers: sample(&document.qualifiers, count, rng) }
}

/// The documents of each grade above 0.
fn relevant(query: &Subject, documents: &[Subject], lexicon: &Lexicon) -> [Vec<usize>; TOP_GRADE as usize] {
    let mut relevant: [Vec<usize>; TOP_GRADE as usize] = Default::default();
    for (number, document) in documents.iter().enumerate() {
        if let Some(index) = query.grade(document, lexicon).checked_sub(1) {
            relevant[usize::from(index)].push(number);
        }
    }
    relevant
}

/// Generates the texts of queries.
struct Wording<'a> {
    lexicon: &'a Lexicon,
    gap: f64,
    /// How often a query-side word of each concept, then of each qualifier, has been used.
    uses: Vec<usize>,
}

impl<'a> Wording<'a> {
    fn new(lexicon: &'a Lexicon, gap: f64) -> Wording<'a> {
        Wording { lexicon, gap, uses: vec![0; lexicon.concepts.len() + lexicon.qualifiers.len()] }
    }

    /// Qualifiers before concepts, or after them.
    fn text(&mut self, subject: &Subject, rng: &mut ChaCha8Rng) -> String {
        let lexicon = self.lexicon;
        let mut words = Vec::new();
        for &qualifier in &subject.qualifiers {
            let uses = lexicon.concepts.len() + qualifier;
            words.push(self.word(&lexicon.qualifiers[qualifier], uses, rng));
        }
        let qualifiers = words.len();
        for concept in std::iter::once(subject.main).chain(subject.second) {
            words.push(self.word(&lexicon.concepts[concept].words, concept, rng));
        }
        if rng.random_bool(0.5) {
            words.rotate_left(qualifiers);
        }
        words.join(" ")
    }

    /// Query-side words are used in turn, so that each occurs often enough in the log to be learned.
    fn word(&mut self, words: &'a SurfaceWords, uses: usize, rng: &mut ChaCha8Rng) -> &'a str {
        if rng.random_bool(self.gap) {
            self.uses[uses] += 1;
            &words.query[self.uses[uses] % words.query.len()]
        } else {
            pick(&words.document, rng).as_str()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use analysis::{Analyzer, AnalyzerName};

    fn small() -> WorldConfig {
        WorldConfig {
            documents: 300,
            queries: 100,
            judged_queries: 20,
            concepts: 20,
            qualifiers: 10,
            ..WorldConfig::default()
        }
    }

    #[test]
    fn every_query_has_a_perfect_document_and_a_text_of_its_own() {
        let world = World::generate(&small(), 5).unwrap();
        let queries = &world.collection.queries;
        assert!(queries.iter().all(|query| !query.of_grade(4).is_empty()));
        let texts: HashSet<&str> = queries.iter().map(|query| query.text.as_str()).collect();
        assert_eq!(texts.len(), 100);
    }

    /// The share of the words of all queries that some document holds.
    fn known_share(gap: f64) -> f64 {
        let config = WorldConfig { vocabulary_gap: gap, ..small() };
        let collection = World::generate(&config, 5).unwrap().collection;
        let tokens = |document: &Document| {
            Analyzer::new(AnalyzerName::Unicode).tokens(&format!("{} {}", document.title, document.summary))
        };
        let known: HashSet<String> = collection.documents.iter().flat_map(tokens).collect();
        let queries = collection.queries.iter();
        let words: Vec<&str> = queries.flat_map(|query| query.text.split(' ')).collect();
        words.iter().filter(|word| known.contains(**word)).count() as f64 / words.len() as f64
    }

    #[test]
    fn the_gap_is_the_share_of_words_that_no_document_holds() {
        assert_eq!(known_share(0.0), 1.0);
        assert_eq!(known_share(1.0), 0.0);
        assert!((known_share(0.5) - 0.5).abs() < 0.1);
    }

    #[test]
    fn a_world_without_words_for_all_queries_is_refused() {
        let config = WorldConfig { documents: 20, queries: 5_000, ..small() };
        let error = World::generate(&config, 1).unwrap_err().to_string();
        assert!(
            error.starts_with("simulate.world.queries: expected 5000 distinct queries, found words for "),
            "{error}"
        );
    }
}
