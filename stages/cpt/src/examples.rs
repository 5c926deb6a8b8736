//! Examples: which pairs, how they are tokenized, packed and written.

use collection::{Corpus, TRAIN, VALIDATION};
use nn::text::{PairTokenizer, Sequence, Texts};
use pipeline::StageContext;
use pipeline::config::CptConfig;
use ranking::sample::epoch_order;
use tables::{Rows, StageDir};

/// Pairs of the validation split that are kept, enough for a steady validation loss.
const VALIDATION_EXAMPLES: usize = 500;

/// A pair somebody clicked and stayed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clicked {
    pub(crate) query: usize,
    document: usize,
    satisfied_clicks: i64,
}

/// A tokenized pair.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) query: usize,
    document: usize,
    pub(crate) sequence: Sequence,
}

/// Pairs of the training and the validation split with enough satisfied clicks, in the order of their ids. Where a
/// split has more than its limit, those with the most clicks.
pub(crate) fn clicked_pairs(ingest: &StageDir, corpus: &Corpus, config: &CptConfig) -> anyhow::Result<Vec<Clicked>> {
    let table = ingest.table("pairs")?;
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
                pairs.push(Clicked { query: corpus.query(query_ids.value(row))?, document, satisfied_clicks });
            }
        }
        if limit > 0 && pairs.len() > limit {
            pairs.sort_by_key(|pair| (std::cmp::Reverse(pair.satisfied_clicks), pair.query, pair.document));
            pairs.truncate(limit);
        }
        kept.append(&mut pairs);
    }
    kept.sort_by_key(|pair| (pair.query, pair.document));
    Ok(kept)
}

/// Tokenizes every pair. A pair whose document has no text at all teaches nothing and is left out.
pub(crate) fn encode(tokenizer: &PairTokenizer, corpus: &Corpus, pairs: &[Clicked]) -> anyhow::Result<Vec<Example>> {
    let texts: Vec<Texts<'_>> = pairs.iter().map(|pair| corpus.texts(pair.query, pair.document)).collect();
    let sequences = tokenizer.encode_batch(&texts)?;
    let examples = pairs.iter().zip(sequences).filter(|(_, sequence)| !sequence.document.is_empty());
    Ok(examples
        .map(|(pair, mut sequence)| {
            // The loss ends with the last token of the summary, so that what follows it need not be computed.
            sequence.ids.truncate(sequence.document.end);
            Example { query: pair.query, document: pair.document, sequence }
        })
        .collect())
}

/// Groups the examples of each split, in a random order, into packs of at most `pack_tokens` tokens. A pack lists
/// example indices; `splits` names each example's split.
pub(crate) fn pack(examples: &[Example], splits: &[&str], pack_tokens: usize, seed: u64) -> Vec<Vec<usize>> {
    let mut packs: Vec<Vec<usize>> = Vec::new();
    for split in [TRAIN, VALIDATION] {
        let mut room = 0;
        for example in epoch_order(seed, "cpt/pack", 0, examples.len()) {
            if splits[example] != split {
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
            .strings("query_id", |(_, e)| corpus.queries[e.query].query_id.as_str())
            .strings("doc_id", |(_, e)| corpus.documents[e.document].doc_id.as_str())
            .int32_lists("input_ids", |(_, e)| e.sequence.ids.iter().map(|&id| id as i32).collect::<Vec<i32>>())
            .int32s("loss_start", |(_, e)| e.sequence.document.start as i32)
            .int32s("length", |(_, e)| e.sequence.ids.len() as i32)
            .strings("split", |(_, e)| corpus.queries[e.query].split.as_str());
        table.write(columns)?;
    }
    context.finish_table("cpt_examples", table)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(lengths: &[usize]) -> Vec<Example> {
        let example = |&length: &usize| Example {
            query: 0,
            document: 0,
            sequence: Sequence { ids: vec![1; length], type_ids: vec![0; length], query: 0..0, document: 0..length },
        };
        lengths.iter().map(example).collect()
    }

    #[test]
    fn packs_hold_every_example_once_and_keep_the_budget() {
        let lengths: Vec<usize> = (0..200).map(|i| 5 + i * 7 % 40).collect();
        let examples = examples(&lengths);
        let splits: Vec<&str> = (0..200).map(|i| if i % 10 == 0 { VALIDATION } else { TRAIN }).collect();
        let packs = pack(&examples, &splits, 100, 3);
        let mut seen: Vec<usize> = packs.concat();
        seen.sort_unstable();
        assert_eq!(seen, (0..200).collect::<Vec<_>>());
        for pack in &packs {
            assert!(pack.iter().map(|&e| lengths[e]).sum::<usize>() <= 100);
            assert!(pack.iter().all(|&e| splits[e] == splits[pack[0]]));
        }
        assert_eq!(packs, pack(&examples, &splits, 100, 3));
        assert_ne!(packs, pack(&examples, &splits, 100, 4));
    }
}
