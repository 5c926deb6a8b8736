//! The APIs: what each reads, answers and refuses.

pub(crate) mod cohere;
mod refusal;
pub(crate) mod tei;

pub(crate) use refusal::{Api, ErrorType, Refusal};
use serde::de::DeserializeOwned;

/// Reads the JSON body of a request. Fields that an API does not have are ignored, as the servers of these APIs do.
///
/// # Errors
/// A refusal that names the place and what was expected.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let error = error.into_inner();
        let place = if path == "." { String::new() } else { format!("{path}: ") };
        let is_shape = error.is_data();
        if is_shape {
            Refusal::validation(format!("{place}{error}"))
        } else {
            Refusal::syntax(format!("not JSON: {error}"))
        }
    })?;
    reader.end().map_err(|error| Refusal::syntax(format!("not JSON: {error}")))?;
    Ok(parsed)
}

/// The places of scores from the highest to the lowest; equal ones in their order.
pub(crate) fn ranked(logits: &[f32]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..logits.len()).collect();
    places.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    places
}

/// The probability that a logit says.
pub(crate) fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_comes_first_and_equal_ones_stay_in_order() {
        assert_eq!(ranked(&[0.5, 40.0, -1.0, 50.0, 0.5]), [3, 1, 0, 4, 2]);
        assert_eq!([sigmoid(0.0), sigmoid(200.0), sigmoid(-200.0)], [0.5, 1.0, 0.0]);
    }

    #[test]
    fn what_is_no_json_or_of_another_shape_is_told_with_its_place() {
        let refused = |body: &[u8]| parse::<tei::RerankRequest>(body).map(|_| ()).unwrap_err();
        let cases: [(&[u8], u16, &str); 5] = [
            (b"{\"query\": \"a\", \"texts\": [1]}", 422, "texts[0]: invalid type: integer `1`, expected a string"),
            (b"{\"query\": \"a\"}", 422, "missing field `texts`"),
            (b"{\"query\": ", 400, "not JSON: EOF"),
            (b"{\"query\": \"\xff\", \"texts\": []}", 400, "not JSON: invalid unicode"),
            (b"{\"query\": \"a\", \"texts\": []} and more", 400, "not JSON: trailing characters"),
        ];
        for (body, status, message) in cases {
            let refusal = refused(body);
            assert_eq!(refusal.status(Api::Tei).as_u16(), status);
            assert!(refusal.message.starts_with(message), "{}", refusal.message);
        }
    }
}
