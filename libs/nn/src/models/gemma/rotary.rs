//! The rotary positions that a config.json of Gemma describes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::config::Family;
use crate::Result;
use crate::models::fields::invalid;

/// All wavelengths are multiplied by one factor (arXiv 2306.15595).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename = "linear")]
pub struct LinearScaling {
    /// The factor, above 0.
    pub factor: f64,
}

/// The rotary positions of a model.
pub(super) struct Rotary {
    pub(super) theta: f64,
    /// The base of the layers with a sliding window, where it is one of its own.
    pub(super) local_theta: Option<f64>,
    pub(super) scaling: Option<LinearScaling>,
}

/// The bases and the scaling. transformers 5 keeps them in the table `rope_parameters`, for Gemma 3 in one table for each
/// type of layers within it; older ones in `rope_theta`, `rope_local_base_freq` and the table `rope_scaling`, which is that of
/// the layers that see everything, and goes before.
pub(super) fn read(family: Family, config: &Value) -> Result<Rotary> {
    let scaling = table("rope_scaling", config.get("rope_scaling"))?;
    let parameters = table("rope_parameters", config.get("rope_parameters"))?;
    let own = |name| config.get(name).filter(|value| !value.is_null());
    if family != Family::Gemma3 {
        let mut all = if scaling.is_empty() { parameters } else { scaling };
        let (theta, scaling) = read_table("rope_parameters", &mut all, own("rope_theta"), 10_000.0)?;
        return Ok(Rotary { theta, local_theta: None, scaling });
    }
    let is_known = |name: &String| ["full_attention", "sliding_attention"].contains(&name.as_str());
    if let Some(other) = parameters.keys().find(|name| !is_known(name)) {
        let expected = "the tables full_attention and sliding_attention alone";
        return Err(invalid("rope_parameters", format!("{{{other:?}: ...}}"), expected));
    }
    let mut full = table("full_attention", parameters.get("full_attention"))?;
    full.extend(scaling);
    let mut sliding = table("sliding_attention", parameters.get("sliding_attention"))?;
    let (theta, scaling) = read_table("full_attention", &mut full, own("rope_theta"), 1e6)?;
    let (local, stretched) = read_table("sliding_attention", &mut sliding, own("rope_local_base_freq"), 10_000.0)?;
    if stretched.is_some() {
        return Err(invalid("sliding_attention", "rope_type linear", "rope_type default"));
    }
    Ok(Rotary { theta, local_theta: Some(local), scaling })
}

/// A table that may be absent.
fn table(field: &'static str, value: Option<&Value>) -> Result<Map<String, Value>> {
    match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(table)) => Ok(table.clone()),
        Some(other) => Err(invalid(field, other, "a table or null")),
    }
}

/// The base and the scaling of one table; `theta` is what the configuration says outside of it.
fn read_table(
    field: &'static str,
    table: &mut Map<String, Value>,
    theta: Option<&Value>,
    default: f64,
) -> Result<(f64, Option<LinearScaling>)> {
    let mut number = |name: &'static str| {
        let value = table.remove(name).filter(|value| !value.is_null());
        value.map(|value| value.as_f64().ok_or_else(|| invalid(name, value, "a number"))).transpose()
    };
    let (inside, factor) = (number("rope_theta")?, number("factor")?);
    let partial = number("partial_rotary_factor")?.unwrap_or(1.0);
    let outside = theta.map(|theta| theta.as_f64().ok_or_else(|| invalid("rope_theta", theta, "a number")));
    let theta = inside.map_or_else(|| outside.unwrap_or(Ok(default)), Ok)?;
    let (kind, older) = (table.remove("rope_type"), table.remove("type"));
    let kind = kind.or(older).unwrap_or(json!("default"));
    if let Some(other) = table.keys().next() {
        return Err(invalid(field, format!("{{{other:?}: ...}}"), "nothing but rope_type, rope_theta and factor"));
    }
    if partial != 1.0 {
        return Err(invalid("partial_rotary_factor", partial, "1.0, the only value supported"));
    }
    match (kind.as_str(), factor) {
        (Some("default"), _) => Ok((theta, None)),
        (Some("linear"), Some(factor)) => Ok((theta, Some(LinearScaling { factor }))),
        (Some("linear"), None) => Err(invalid("factor", "null", "a number above 0, as rope_type is linear")),
        _ => Err(invalid("rope_type", kind, "\"default\" or \"linear\"")),
    }
}
