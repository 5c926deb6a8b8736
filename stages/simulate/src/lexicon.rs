//! The synthetic vocabulary of documents and queries.

use std::collections::HashSet;

use pipeline::config::WorldConfig;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use ranking::rng::stream;
use serde::Serialize;

use crate::templates::fixed_words;

const CONSONANTS: [char; 14] = ['b', 'd', 'f', 'g', 'k', 'l', 'm', 'n', 'p', 'r', 's', 't', 'v', 'z'];
const VOWELS: [char; 5] = ['a', 'e', 'i', 'o', 'u'];
/// Endings of words; no ending is twice as likely as each of the others.
const CODAS: [&str; 6] = ["", "", "n", "r", "s", "l"];
/// Number of concepts of a category.
const CONCEPTS_PER_CATEGORY: usize = 10;
/// Number of concepts of its category that a concept appears together with.
const PARTNERS: usize = 3;
/// Number of qualifiers that apply to a concept.
const QUALIFIERS_PER_CONCEPT: usize = 8;

/// The synonyms for one concept or qualifier. Lexical search finds only the first kind in documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct SurfaceWords {
    /// Words that documents use, and some queries.
    pub(crate) document: Vec<String>,
    /// Words that only queries use.
    pub(crate) query: Vec<String>,
}

/// Something that queries ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Concept {
    /// Its words.
    pub(crate) words: SurfaceWords,
    /// Its category.
    pub(crate) category: usize,
    /// Concepts of the same category that appear in documents together with it.
    pub(crate) partners: Vec<usize>,
    /// Qualifiers that apply to it.
    pub(crate) qualifiers: Vec<usize>,
}

/// Concepts, qualifiers and categories of the synthetic collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lexicon {
    /// The concepts.
    pub(crate) concepts: Vec<Concept>,
    /// The qualifiers of concepts.
    pub(crate) qualifiers: Vec<SurfaceWords>,
    /// The word for each category; only documents use it.
    pub(crate) categories: Vec<String>,
}

impl Lexicon {
    /// Generates a lexicon of the configured size.
    pub(crate) fn generate(config: &WorldConfig, seed: u64) -> Lexicon {
        let mut words = WordSource::new(seed);
        let concept_words: Vec<SurfaceWords> =
            (0..config.concepts).map(|_| words.surface_words(1..=2, 2..=3)).collect();
        let qualifiers = (0..config.qualifiers).map(|_| words.surface_words(1..=2, 1..=2)).collect();
        let categories: Vec<String> =
            (0..(config.concepts / CONCEPTS_PER_CATEGORY).max(1)).map(|_| words.next()).collect();
        let concepts = concept_words
            .into_iter()
            .enumerate()
            .map(|(number, words)| {
                concept(number, words, categories.len(), config, &mut stream(seed, "simulate/concept", number as u64))
            })
            .collect();
        Lexicon { concepts, qualifiers, categories }
    }
}

/// Places a concept among the others.
fn concept(
    number: usize,
    words: SurfaceWords,
    categories: usize,
    config: &WorldConfig,
    rng: &mut ChaCha8Rng,
) -> Concept {
    let category = number % categories;
    let mut partners: Vec<usize> =
        (category..config.concepts).step_by(categories).filter(|&other| other != number).collect();
    partners.shuffle(rng);
    partners.truncate(PARTNERS);
    let mut qualifiers: Vec<usize> = (0..config.qualifiers).collect();
    qualifiers.shuffle(rng);
    qualifiers.truncate(QUALIFIERS_PER_CONCEPT);
    Concept { words, category, partners, qualifiers }
}

/// Generates distinct pronounceable words that do not occur in the document templates.
struct WordSource {
    rng: ChaCha8Rng,
    used: HashSet<String>,
}

impl WordSource {
    fn new(seed: u64) -> WordSource {
        WordSource { rng: stream(seed, "simulate/words", 0), used: fixed_words().collect() }
    }

    fn surface_words(
        &mut self,
        document: std::ops::RangeInclusive<usize>,
        query: std::ops::RangeInclusive<usize>,
    ) -> SurfaceWords {
        let (document, query) = (self.rng.random_range(document), self.rng.random_range(query));
        SurfaceWords {
            document: (0..document).map(|_| self.next()).collect(),
            query: (0..query).map(|_| self.next()).collect(),
        }
    }

    /// The next word: two syllables, and one more after every fifty draws in a row that gave used words.
    fn next(&mut self) -> String {
        let mut attempts = 0;
        loop {
            let word = self.word(2 + attempts / 50);
            if self.used.insert(word.clone()) {
                return word;
            }
            attempts += 1;
        }
    }

    fn word(&mut self, syllables: usize) -> String {
        let mut word = String::new();
        for _ in 0..syllables {
            word.push(*pick(&CONSONANTS, &mut self.rng));
            word.push(*pick(&VOWELS, &mut self.rng));
        }
        word + *pick(&CODAS, &mut self.rng)
    }
}

/// A random one of `items`, which must not be empty.
pub(crate) fn pick<'a, T>(items: &'a [T], rng: &mut ChaCha8Rng) -> &'a T {
    &items[rng.random_range(0..items.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_words(lexicon: &Lexicon) -> Vec<&String> {
        let concepts = lexicon.concepts.iter().map(|concept| &concept.words);
        concepts
            .chain(&lexicon.qualifiers)
            .flat_map(|words| words.document.iter().chain(&words.query))
            .chain(&lexicon.categories)
            .collect()
    }

    #[test]
    fn no_word_means_two_things() {
        let config = WorldConfig { concepts: 6000, ..WorldConfig::default() };
        let lexicon = Lexicon::generate(&config, 1);
        let mut words: Vec<String> = all_words(&lexicon).into_iter().cloned().collect();
        assert!(words.len() > 24_000, "{}", words.len());
        words.extend(fixed_words().collect::<HashSet<_>>());
        let distinct: HashSet<&String> = words.iter().collect();
        assert_eq!(distinct.len(), words.len());
    }

    #[test]
    fn the_default_world_fits_a_small_subword_vocabulary() {
        let lexicon = Lexicon::generate(&WorldConfig::default(), 2);
        assert!(all_words(&lexicon).len() + fixed_words().count() < 1500);
        for concept in &lexicon.concepts {
            let words = concept.words.document.len() + concept.words.query.len();
            assert!((3..=5).contains(&words));
        }
    }

    #[test]
    fn partners_are_other_concepts_of_the_category() {
        let config = WorldConfig { concepts: 25, qualifiers: 3, ..WorldConfig::default() };
        let lexicon = Lexicon::generate(&config, 3);
        for (number, concept) in lexicon.concepts.iter().enumerate() {
            assert_eq!(concept.partners.len(), PARTNERS);
            assert_eq!(concept.qualifiers.len(), 3);
            for &partner in &concept.partners {
                assert_ne!(partner, number);
                assert_eq!(lexicon.concepts[partner].category, concept.category);
            }
        }
    }
}
