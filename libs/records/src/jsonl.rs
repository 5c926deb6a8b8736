//! JSON lines.

use std::borrow::Cow;

use crate::error::Error;
use crate::lines::{Lines, as_text, is_row_count};
use crate::raw_file::RawFile;
use crate::record::{Field, Found, Reason, Record, Values, Visit, check_present, missing_field, names, present};

/// Reads one JSON object a line.
pub(crate) fn read<E: From<Error>>(file: &RawFile, fields: &[Field], visit: &mut Visit<E>) -> Result<Found, E> {
    let mut lines = Lines::open(file)?;
    let mut raw = Vec::new();
    let mut found = vec![false; fields.len()];
    let mut first_keys = None;
    while lines.next(&mut raw)? {
        let object = as_text(&raw).and_then(json_object).inspect(|object| {
            first_keys.get_or_insert_with(|| names(object.keys().map(String::as_str)));
        });
        let values = object.and_then(|object| json_values(object, fields, &mut found));
        visit(&Record { line: lines.number, span: 1, content: Cow::Borrowed(&raw), values })?;
    }
    let missing = fields.iter().zip(&found).find(|(field, found)| field.required && !**found);
    if let (Some((field, _)), Some(keys)) = (missing, first_keys) {
        Err(missing_field(file, &field.name, &keys))?;
    }
    Ok(found)
}

fn json_object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Reason> {
    serde_json::from_str(text).map_err(|_| {
        if is_row_count(text) { Reason::LeftOut("row count after the rows") } else { "not a JSON object".into() }
    })
}

fn json_values(
    mut object: serde_json::Map<String, serde_json::Value>,
    fields: &[Field],
    found: &mut Found,
) -> Result<Values<'static>, Reason> {
    use serde_json::Value;
    let mut value = |(field, found): (&Field, &mut bool)| {
        let value = object.get_mut(&field.name).map(Value::take);
        *found |= value.is_some();
        let text = match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => present(&text).map(String::from),
            Some(Value::Bool(flag)) => Some(flag.to_string()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Array(_) | Value::Object(_)) => {
                return Err(Reason::Malformed(format!("{} is not a single value", field.name).into()));
            }
        };
        check_present(field, text.map(Cow::Owned))
    };
    fields.iter().zip(found).map(&mut value).collect()
}
