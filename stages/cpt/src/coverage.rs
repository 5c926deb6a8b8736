//! How well a tokenizer knows the texts of a run.

use collection::Corpus;
use nn::text::Tokenizer;
use pipeline::StageContext;

use crate::tokenizers::document_texts;

/// Queries and documents that are looked at, at most so many each, at equal distances.
const TEXTS: usize = 2_000;

/// The share of unknown tokens above which a warning is due.
const MAX_UNKNOWN: f64 = 0.001;

/// What the tokens of some texts are.
#[derive(Debug, Default)]
struct Tokens {
    texts: usize,
    tokens: usize,
    unknown: usize,
    /// A text with an unknown token.
    example: Option<String>,
}

impl Tokens {
    fn of(tokenizer: &Tokenizer, texts: impl Iterator<Item = String>) -> nn::Result<Tokens> {
        let mut found = Tokens::default();
        for text in texts {
            let (ids, _) = tokenizer.encode(&text)?;
            let unknown = ids.iter().filter(|&&id| Some(id) == tokenizer.unknown_id()).count();
            found.texts += 1;
            found.tokens += ids.len();
            found.unknown += unknown;
            if unknown > 0 && found.example.is_none() {
                found.example = Some(text.chars().take(60).collect());
            }
        }
        Ok(found)
    }

    fn mean(&self) -> f64 {
        self.tokens as f64 / self.texts.max(1) as f64
    }
}

/// Records the mean length of queries and documents in tokens, and the share of unknown tokens; warns of many.
pub(crate) fn note(
    context: &mut StageContext,
    side: &str,
    tokenizer: &Tokenizer,
    corpus: &Corpus,
) -> anyhow::Result<()> {
    let queries = corpus.queries.iter().step_by(corpus.queries.len().div_ceil(TEXTS).max(1));
    let queries = Tokens::of(tokenizer, queries.map(|query| query.text.clone()))?;
    let documents = Tokens::of(tokenizer, document_texts(corpus, TEXTS))?;
    let (unknown, tokens) = (queries.unknown + documents.unknown, queries.tokens + documents.tokens);
    let share = unknown as f64 / tokens.max(1) as f64;
    context.fact(&format!("{side}_tokens_per_query"), queries.mean());
    context.fact(&format!("{side}_tokens_per_document"), documents.mean());
    context.fact(&format!("{side}_unknown_tokens"), share);
    tracing::info!(
        "{side}'s tokenizer: {} pieces; {:.1} tokens a query, {:.1} a document",
        tokenizer.vocabulary_size(),
        queries.mean(),
        documents.mean()
    );
    if share > MAX_UNKNOWN {
        tracing::warn!(
            "{side}'s tokenizer: {:.1} % of the tokens are unknown, as in `{}`: characters without a place among its {} pieces, \
             which documents and training queries give; where cpt.{side}_tokenizer.vocab_size is reached, raise it above the \
             number of distinct characters, or take a base model of their language",
            100.0 * share,
            queries.example.or(documents.example).unwrap_or_default(),
            tokenizer.vocabulary_size()
        );
    }
    Ok(())
}
