//! How the score of a ranker is read, in words.

use nn::models::{Head, Model};
use nn::text::{Pooling, Scoring};

/// Sentences for the card of a ranker whose score is not one logit of one sequence, read where its architecture reads it; none of
/// others.
#[must_use]
pub fn reading(ranker: &Model, scoring: &Scoring) -> String {
    let grades = match ranker.head() {
        Head::Grades(grades) => format!(
            " It has {grades} logits, one for each grade from 0, and its score is the grade expected under their softmax, \
             sum_g g * exp(z_g) / sum_h exp(z_h)."
        ),
        Head::Score | Head::LanguageModel => String::new(),
    };
    let is_own = ranker.pooling() == ranker.backbone().pooling();
    let tokens = match ranker.pooling() {
        Pooling::Mean if !is_own => {
            " It is read from the mean over all tokens, as disranker.json says. Other libraries would read the last token: they \
             report the head, mean_score, as unknown, and their scores of this model are of no use."
        }
        _ => "",
    };
    let passages = scoring.passages.map_or(String::new(), |passages| {
        format!(
            " A document longer than the window is read in up to {} passages, and its score is the highest of theirs. Other \
             libraries read the first passage alone.",
            passages.most
        )
    });
    format!("{grades}{tokens}{passages}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nn::models::Llama;
    use nn::text::{Kind, Passages, Window};

    use super::*;

    #[test]
    fn only_what_others_would_read_in_another_way_is_said() {
        let config = Llama { hidden_size: 8, num_hidden_layers: 1, num_attention_heads: 2, ..Llama::default() };
        let config = Llama { vocab_size: 10, intermediate_size: 8, num_key_value_heads: None, ..config };
        let model = |head| Model::new(Arc::new(config.clone()), head, 1).unwrap();
        let cut = Scoring::of(Kind::Decoder, Window::OnlySecond { max_length: 9 });
        assert_eq!(reading(&model(Head::Score), &cut), "");
        let means = model(Head::Grades(5)).with_pooling(Pooling::Mean).unwrap();
        let said = reading(&means, &cut);
        assert!(said.contains("5 logits, one for each grade") && said.contains("would read the last token"), "{said}");
        let in_passages = Scoring { passages: Some(Passages { most: 3, overlap: 2 }), ..cut };
        let said = reading(&model(Head::Score), &in_passages);
        assert!(said.contains("up to 3 passages") && said.contains("read the first passage alone"), "{said}");
    }
}
