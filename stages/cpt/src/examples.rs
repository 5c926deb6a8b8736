//! Examples: which pairs, how they are tokenized, packed and written.

use std::cmp::Reverse;

use collection::{Asked, Corpus, TRAIN, VALIDATION};
use nn::text::{PairTokenizer, Sequence, Texts};
use pipeline::StageContext;
use pipeline::config::CptConfig;
use ranking::sample::epoch_order;
use tables::{Columns, Rows};

/// Pairs of the validation split that are kept, enough for a steady validation loss.
const VALIDATION_EXAMPLES: usize = 500;

/// Of this many documents of a collection without clicks, one is kept for validation.
const TITLES_PER_VALIDATION: usize = 10;

/// A query and a document that somebody clicked and stayed on, or a document below its own title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair {
    /// `None` where the document's title takes its place.
    query: Option<usize>,
    document: usize,
    pub(crate) split: &'static str,
}

/// A tokenized pair.
#[derive(Debug)]
pub(crate) struct Example {
    pair: Pair,
    pub(crate) sequence: Sequence,
}

/// True if somebody clicked anything in the table `pairs`.
pub(crate) fn hold_clicks(pairs: &Columns) -> tables::Result<bool> {
    Ok(pairs.int64s("clicks")?.values().iter().any(|&clicks| clicks > 0))
}

/// Pairs of the training and the validation split with enough satisfied clicks, in the order of their ids. Where a
/// split has more than its limit, those with the most clicks.
pub(crate) fn clicked_pairs(table: &Columns, corpus: &Corpus, config: &CptConfig) -> anyhow::Result<Vec<Pair>> {
    let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
    let (clicks, splits) = (table.int64s("satisfied_clicks")?, table.strings("split")?);
    let limits = [(TRAIN, config.max_examples), (VALIDATION, VALIDATION_EXAMPLES)];
    let mut kept = Vec::new();
    for (split, limit) in limits {
        let mut pairs = Vec::new();
        for row in (0..table.rows()).filter(|&row| splits.value(row) == split) {
            let satisfied_clicks = clicks.value(row);
            if satisfied_clicks >= config.min_satisfied_clicks as i64
                && let Some(document) = corpus.document(doc_ids.value(row))
            {
                pairs.push((Reverse(satisfied_clicks), corpus.query(query_ids.value(row))?, document));
            }
        }
        if limit > 0 && pairs.len() > limit {
            pairs.sort_unstable();
            pairs.truncate(limit);
        }
        kept.extend(pairs.into_iter().map(|(_, query, document)| Pair { query: Some(query), document, split }));
    }
    kept.sort_by_key(|pair| (pair.query, pair.document));
    Ok(kept)
}

/// Documents below their own titles, in the order of their ids: random ones, within the limits of clicked pairs. Where no
/// document has both a title and a summary, each stands for itself, without a query.
pub(crate) fn titled_documents(corpus: &Corpus, config: &CptConfig, seed: u64) -> Vec<Pair> {
    let mut documents: Vec<usize> = (0..corpus.documents().len()).collect();
    if corpus.asked_as_titles() == Asked::Title {
        documents.retain(|&document| !corpus.as_query(document, Asked::Title).is_empty());
    }
    let validation = (documents.len() / TITLES_PER_VALIDATION).min(VALIDATION_EXAMPLES);
    let train = documents.len() - validation;
    let train = if config.max_examples > 0 { train.min(config.max_examples) } else { train };
    let order = epoch_order(seed, "cpt/titles", 0, documents.len());
    let split = |place: usize| if place < validation { VALIDATION } else { TRAIN };
    let drawn = order.into_iter().take(validation + train).enumerate();
    let mut kept: Vec<Pair> =
        drawn.map(|(place, at)| Pair { query: None, document: documents[at], split: split(place) }).collect();
    kept.sort_by_key(|pair| pair.document);
    kept
}

/// Tokenizes every pair. A pair whose document has no text at all teaches nothing and is left out.
pub(crate) fn encode(tokenizer: &PairTokenizer, corpus: &Corpus, pairs: &[Pair]) -> anyhow::Result<Vec<Example>> {
    let title = |pair: &Pair| match pair.query {
        Some(_) => String::new(),
        None => corpus.as_query(pair.document, Asked::Title),
    };
    let titles: Vec<String> = pairs.iter().map(title).collect();
    let texts = pairs.iter().zip(&titles).map(|(pair, title)| match pair.query {
        Some(query) => corpus.texts(query, pair.document),
        None => corpus.texts_of_title(title, pair.document),
    });
    let texts: Vec<Texts<'_>> = texts.collect();
    let sequences = tokenizer.encode_batch(&texts)?;
    let examples = pairs.iter().zip(sequences).filter(|(_, sequence)| !sequence.document.is_empty());
    Ok(examples
        .map(|(pair, mut sequence)| {
            // The loss ends with the last token of the summary, so that what follows it need not be computed.
            sequence.ids.truncate(sequence.document.end);
            Example { pair: *pair, sequence }
        })
        .collect())
}

/// Groups the examples of each split, in a random order, into packs of at most `pack_tokens` tokens. A pack lists
/// example indices.
pub(crate) fn pack(examples: &[Example], pack_tokens: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut packs: Vec<Vec<usize>> = Vec::new();
    for split in [TRAIN, VALIDATION] {
        let mut room = 0;
        for example in epoch_order(seed, "cpt/pack", 0, examples.len()) {
            if examples[example].pair.split != split {
                continue;
            }
            let length = examples[example].sequence.ids.len();
            match packs.last_mut() {
                Some(pack) if length <= room => pack.push(example),
                _ => {
                    packs.push(vec![example]);
                    room = pack_tokens;
                }
            }
            room = room.saturating_sub(length);
        }
    }
    for pack in &mut packs {
        pack.sort_unstable();
    }
    packs
}

/// Writes the table `cpt_examples`, pack by pack.
pub(crate) fn write(
    context: &mut StageContext,
    corpus: &Corpus,
    examples: &[Example],
    packs: &[Vec<usize>],
    tokenizer: &str,
) -> anyhow::Result<()> {
    let order: Vec<(usize, &Example)> =
        packs.iter().enumerate().flat_map(|(i, pack)| pack.iter().map(move |&e| (i, &examples[e]))).collect();
    let mut table = context.create_table("cpt_examples", &[("disranker.tokenizer", tokenizer)])?;
    for rows in order.chunks(65_536) {
        let columns = Rows::of(rows)
            .int64s("pack", |(pack, _)| *pack as i64)
            .strings("query_id", |(_, e)| e.pair.query.map_or("", |query| corpus.queries[query].query_id.as_str()))
            .strings("doc_id", |(_, e)| corpus.doc_id(e.pair.document))
            .int32_lists("input_ids", |(_, e)| e.sequence.ids.iter().map(|&id| id as i32).collect::<Vec<i32>>())
            .int32s("loss_start", |(_, e)| e.sequence.document.start as i32)
            .int32s("length", |(_, e)| e.sequence.ids.len() as i32)
            .strings("split", |(_, e)| e.pair.split);
        table.write(columns)?;
    }
    context.finish_table("cpt_examples", table)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example((length, split): (usize, &'static str)) -> Example {
        Example {
            pair: Pair { query: None, document: 0, split },
            sequence: Sequence { ids: vec![1; length], type_ids: vec![0; length], query: 0..0, document: 0..length },
        }
    }

    fn corpus(texts: &[(&str, &str)]) -> Corpus {
        let ids: Vec<String> = (0..texts.len()).map(|number| format!("d{number:02}")).collect();
        let documents = ids.iter().zip(texts).map(|(id, (title, summary))| (id.as_str(), *title, *summary));
        Corpus::new(Vec::new(), documents).unwrap()
    }

    #[test]
    fn documents_without_clicks_are_drawn_within_the_limits() {
        let mut texts = vec![("title", "text"); 40];
        texts[7] = ("", "no title");
        texts[8] = ("no text", "");
        let texts = corpus(&texts);
        let config = CptConfig::default();
        let pairs = titled_documents(&texts, &config, 3);
        let documents: Vec<usize> = pairs.iter().map(|pair| pair.document).collect();
        assert_eq!(documents, (0..40).filter(|document| ![7, 8].contains(document)).collect::<Vec<_>>());
        assert_eq!(pairs.iter().filter(|pair| pair.split == VALIDATION).count(), 3);
        assert!(pairs.iter().all(|pair| pair.query.is_none()));
        assert_ne!(pairs, titled_documents(&texts, &config, 4));
        let few = titled_documents(&texts, &CptConfig { max_examples: 5, ..config.clone() }, 3);
        assert_eq!(few.iter().filter(|pair| pair.split == TRAIN).count(), 5);
        assert!(few.iter().all(|pair| pairs.contains(pair)));
        assert_eq!(titled_documents(&corpus(&[("", "a"), ("", "b")]), &config, 3).len(), 2);
    }

    #[test]
    fn packs_hold_every_example_once_and_keep_the_budget() {
        let lengths: Vec<usize> = (0..200).map(|i| 5 + i * 7 % 40).collect();
        let splits: Vec<&'static str> = (0..200).map(|i| if i % 10 == 0 { VALIDATION } else { TRAIN }).collect();
        let examples: Vec<Example> = lengths.iter().copied().zip(splits.iter().copied()).map(example).collect();
        let packs = pack(&examples, 100, 3);
        let mut seen: Vec<usize> = packs.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..200).collect::<Vec<_>>());
        for pack in &packs {
            assert!(pack.iter().map(|&e| lengths[e]).sum::<usize>() <= 100);
            assert!(pack.iter().all(|&e| splits[e] == splits[pack[0]]));
        }
        assert_eq!(packs, pack(&examples, 100, 3));
        assert_ne!(packs, pack(&examples, 100, 4));
    }
}
