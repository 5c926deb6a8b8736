//! The names of analyzers, and what each language brings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use snowball_stemmers_rs::Algorithm;

/// What an analyzer of one language adds to the rules of `unicode`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Language {
    /// The Snowball stemmer.
    pub(crate) stemmer: Algorithm,
    /// Stop words, one a line.
    pub(crate) stop_words: &'static str,
}

/// The one list of languages: name, and the file of stop words if there is one.
macro_rules! names {
    ($($language:ident $name:literal $($stop_words:literal)?;)*) => {
        /// Names of analyzers, as configuration writes them.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum AnalyzerName {
            /// Words of every language, bigrams where words are not separated; no stop words, no stemming.
            #[default]
            Unicode,
            /// Folded as queries are and split at white space, nothing else changed.
            Whitespace,
            $(
                #[doc = concat!("`unicode` with the stop words and the Snowball stemmer of ", stringify!($language), ".")]
                $language,
            )*
        }

        impl AnalyzerName {
            /// Every analyzer.
            pub const ALL: &'static [Self] = &[Self::Unicode, Self::Whitespace, $(Self::$language),*];

            /// The name as configuration writes it, such as `unicode`.
            pub fn name(self) -> &'static str {
                match self {
                    Self::Unicode => "unicode",
                    Self::Whitespace => "whitespace",
                    $(Self::$language => $name,)*
                }
            }

            pub(crate) fn language(self) -> Option<Language> {
                match self {
                    Self::Unicode | Self::Whitespace => None,
                    $(Self::$language => Some(Language {
                        stemmer: Algorithm::$language,
                        stop_words: concat!($(include_str!(concat!("../stop_words/", $stop_words)))?),
                    }),)*
                }
            }
        }
    };
}

names! {
    English "english" "english.txt";
    Arabic "arabic";
    Armenian "armenian";
    Basque "basque";
    Catalan "catalan";
    Danish "danish" "danish.txt";
    Dutch "dutch" "dutch.txt";
    Esperanto "esperanto";
    Estonian "estonian";
    Finnish "finnish" "finnish.txt";
    French "french" "french.txt";
    German "german" "german.txt";
    Greek "greek";
    Hindi "hindi";
    Hungarian "hungarian" "hungarian.txt";
    Indonesian "indonesian" "indonesian.txt";
    Irish "irish" "irish.txt";
    Italian "italian" "italian.txt";
    Nepali "nepali";
    Norwegian "norwegian" "norwegian.txt";
    Portuguese "portuguese" "portuguese.txt";
    Romanian "romanian";
    Russian "russian" "russian.txt";
    Serbian "serbian";
    Spanish "spanish" "spanish.txt";
    Swedish "swedish" "swedish.txt";
    Tamil "tamil";
    Turkish "turkish";
    Yiddish "yiddish";
}
