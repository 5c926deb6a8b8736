//! Text analysis for first-stage retrieval: a text becomes the tokens that BM25 counts.
//!
//! An [`Analyzer`] has one of the [`AnalyzerName`]s. Queries and documents must be analysed by the same one; its
//! [`identity`](Analyzer::identity) is recorded with an index. Every string is accepted, and the tokens of a text depend on
//! nothing else.
//!
//! # Rules of `unicode`
//!
//! 1. **Normal form.** Invisible characters are removed: `Default_Ignorable_Code_Point` (soft hyphen, joiners, variation
//!    selectors and so on), general category Cf (byte order mark, directions), the Arabic tatweel U+0640 and the keycap U+20E3.
//!    The zero-width space U+200B stays, because Thai, Khmer and others write it between words. U+2019 becomes `'`.
//!    Then NFKC, full case folding by the default mappings (not the Turkic ones), and NFKC again. So full-width Latin and
//!    half-width kana become ordinary ones, and `ß` becomes `ss`.
//! 2. **Runs.** Letters and numbers (general categories L and N) of the scripts Han, Hiragana, Katakana, Hangul, Thai, Lao,
//!    Khmer and Myanmar are taken out of the words, and with them the signs U+3006, U+3031 to U+3035, U+303C and U+30FC
//!    of Han and kana. Each is a *unit* together with the marks (category M) that follow it, so that a Thai consonant
//!    with its vowel and tone signs is one unit. Vowels that are letters of their own, as `เ` and `า`, are units of
//!    their own, and in Khmer and Myanmar a subscript consonant is one, with the sign that makes it a subscript at the end of
//!    the unit before. A maximal run of adjacent units gives its overlapping bigrams as Lucene's `CJKBigramFilter`
//!    does, also across two of these scripts; a run of one unit gives that unit.
//! 3. **Words.** The stretches between the runs are cut into words by UAX #29 (untailored). Words without a letter or number are
//!    dropped, emoji and other symbols among them. `3.14`, `1,000`, `foo.bar`, `snake_case`, `don't` and `john's` are one
//!    word each; hyphens, slashes and `@` separate words.
//! 4. **Accents.** Each word is decomposed (NFD), loses the nonspacing marks (category Mn) whose base, the last character
//!    before them that is no mark, is of the script Latin, Greek, Cyrillic, Arabic or Hebrew, and is composed again (NFC).
//!    Marks of other scripts stay. Letters that do not decompose are replaced as in Lucene's `ASCIIFoldingFilter`: `ø` by
//!    `o`, `đ` and `ð` by `d`, `ł` by `l`, `ı` by `i`, `ħ` by `h`, `æ` by `ae`, `œ` by `oe`, `þ` by `th`.
//! 5. **Length.** Tokens longer than 255 characters are cut into pieces of 255, as by Lucene's `StandardTokenizer`.
//!
//! Hiragana and katakana are not folded onto each other, nor traditional characters onto simplified ones. A query of a single
//! unit finds single units alone: within longer runs there are bigrams only, as with Lucene's filter.
//!
//! # Rules of the languages
//!
//! `english` and the others do the same, but between rules 3 and 4, on words of at most 255 characters that still have their
//! accents: `english` strips a final `'s`; the stop words of the language are dropped; the Snowball stemmer of the
//! language is applied. Accents are folded after that, since the stemmers tell accented letters apart. Bigrams stay as they
//! are. Prefixes with an apostrophe, as in `dell'arte`, stay unless the stemmer strips them, as the French one does.
//!
//! `english` has the 33 stop words of Lucene's `EnglishAnalyzer`. Danish, Dutch, Finnish, French, German, Hungarian,
//! Indonesian, Irish, Italian, Norwegian, Portuguese, Russian, Spanish and Swedish have the lists of the Snowball project, in the
//! folder `stop_words` (its licence is there). The others have no stop words.
//!
//! # Rules of `whitespace`
//!
//! Rule 1 applies, as the queries of a run are folded too; then the text is split at white space (`White_Space`), and rule 5
//! applies. Nothing else changes. It is for texts that are tokens
//! already, such as `1032 77 4051`.

// Tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod accents;
mod analyzer;
mod name;
mod normal_form;
mod query_text;
mod segments;
mod sentences;

pub use analyzer::Analyzer;
pub use name::AnalyzerName;
pub use query_text::normalise as normalised_query;
pub use sentences::sentences;
