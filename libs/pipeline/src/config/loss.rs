//! How a table names its loss.

use std::borrow::Cow;
use std::fmt;

use ranking::loss::{GRADES, Labels, Loss};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, MapDeserializer};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::load::Checks;

/// A loss by its name, with its default parameters, or as a table of its name and parameters:
/// `loss = "hinge"` or `loss = { name = "hinge", margin = 0.5 }`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LossKey {
    /// The name; the table that names the loss may hold one of its parameters beside it.
    Name(Loss),
    /// The table.
    Table(Loss),
}

/// A parameter of a loss that stands beside its name, in the table that names the loss.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside {
    /// The key.
    pub(super) key: &'static str,
    /// Its value, where it is given.
    pub(super) value: Option<f64>,
    /// The name of the loss that it belongs to.
    pub(super) of: &'static str,
}

impl Beside {
    /// A table that has no such parameter.
    pub(super) const NONE: Beside = Beside { key: "", value: None, of: "" };
}

impl LossKey {
    /// The loss; a parameter beside its name is not in it.
    pub(super) fn loss(self) -> Loss {
        match self {
            Self::Name(loss) | Self::Table(loss) => loss,
        }
    }

    /// Checks the parameters of `loss`, which this key names in `table`, and the one `beside` it.
    pub(super) fn check(self, table: &str, loss: &Loss, beside: Beside, checks: &mut Checks) {
        let Beside { key, value, of } = beside;
        if let Some(value) = value {
            let named = matches!(self, Self::Name(loss) if loss.name() == of);
            let expected = match self {
                Self::Name(loss) => format!("none beside loss = \"{}\"", loss.name()),
                Self::Table(_) => format!("it in the table {table}.loss"),
            };
            checks.require(named, &format!("{table}.{key}"), &expected, &value);
        }
        if let Err(error) = loss.check() {
            let parameter = error.parameter;
            let place = if value.is_some() && parameter == key { table.to_string() } else { format!("{table}.loss") };
            let expected = format!("a number {}", error.range);
            checks.require(false, &format!("{place}.{parameter}"), &expected, &error.found);
        }
    }
}

/// Checks that `loss` is defined on the labels of `table`, standardised scores of a teacher where `standardise` says so.
pub(super) fn check_labels(table: &str, loss: &Loss, standardise: bool, checks: &mut Checks) {
    let negative = standardise && loss.labels() == Labels::Grades;
    let expected = format!("false beside loss = \"{}\", which is defined on labels from 0", loss.name());
    checks.require(!negative, &format!("{table}.standardise"), &expected, &standardise);
    check_scores(table, loss, "a teacher's scores", checks);
}

/// Refuses a loss that takes the labels of `table`, which are `labels`, as classes.
pub(super) fn check_scores(table: &str, loss: &Loss, labels: &str, checks: &mut Checks) {
    let expected = format!("a loss on scores, as {labels} are no grades from 0 to {}", GRADES - 1);
    checks.require(loss.outputs() == 1, &format!("{table}.loss"), &expected, &loss.name());
}

impl Serialize for LossKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Name(loss) => serializer.serialize_str(loss.name()),
            Self::Table(loss) => loss.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LossKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrTable)
    }
}

struct NameOrTable;

impl<'de> Visitor<'de> for NameOrTable {
    type Value = LossKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a loss or a table with its name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<LossKey, E> {
        Loss::deserialize(MapDeserializer::new(std::iter::once(("name", name)))).map(LossKey::Name)
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<LossKey, A::Error> {
        Loss::deserialize(MapAccessDeserializer::new(table)).map(LossKey::Table)
    }
}

impl JsonSchema for LossKey {
    fn schema_name() -> Cow<'static, str> {
        "LossKey".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = Loss::json_schema(generator).to_value();
        let losses = table["oneOf"].as_array().into_iter().flatten();
        let name = |loss: &Value| json!({ "type": "string", "const": loss["properties"]["name"]["const"], "description": loss["description"] });
        let forms: Vec<Value> = losses.map(name).chain([generator.subschema_for::<Loss>().to_value()]).collect();
        json_schema!({
            "description": "A loss by its name, with its default parameters, or as a table of its name and parameters.",
            "anyOf": forms,
        })
    }
}
