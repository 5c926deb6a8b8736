//! The description of all routes as OpenAPI 3.1; schemas and their descriptions are those of the types that are read and
//! answered.

use std::sync::LazyLock;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::api::{cohere, tei};

/// The document.
pub(crate) fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(make);
    &DOCUMENT
}

/// What is read has other schemas than what is answered.
struct Schemas {
    read: SchemaGenerator,
    answered: SchemaGenerator,
}

fn make() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let [read, answered] =
        [settings().for_deserialize(), settings().for_serialize()].map(SchemaSettings::into_generator);
    let mut schemas = Schemas { read, answered };
    let paths = paths(&mut schemas);
    let mut components = schemas.read.take_definitions(true);
    components.extend(schemas.answered.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "disranker serve",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A cross-encoder over HTTP, by the rerank APIs of text-embeddings-inference, Cohere and Jina.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
        },
        // A server without keys asks for none.
        "security": [{}, { "key": [] }],
    })
}

fn paths(schemas: &mut Schemas) -> Value {
    let rerank =
        schemas.scoring::<tei::RerankRequest, Vec<tei::Rank>>("Rank texts (text-embeddings-inference)", tei_errors);
    let predict = schemas.scoring::<tei::PredictRequest, tei::PredictResponse>(
        "Labels of pairs of texts (text-embeddings-inference)",
        tei_errors,
    );
    let mut cohere = |summary| schemas.scoring::<cohere::RerankRequest, cohere::RerankResponse>(summary, cohere_errors);
    let (v1, v2) = (cohere("Rank documents (Cohere version 1, Jina)"), cohere("Rank documents (Cohere version 2)"));
    let info = schemas.answered.subschema_for::<tei::Info>();
    let unhealthy = schemas.answered.subschema_for::<tei::ErrorResponse>();
    let unauthorized = answer("No key of this server", &unhealthy);
    let open = |summary: &str, media: &str, schema: Value| {
        let content = json!({ media: { "schema": schema } });
        json!({ "summary": summary, "security": [], "responses": { "200": { "description": "OK", "content": content } } })
    };
    let health = json!({
        "summary": "Whether requests are taken",
        "security": [],
        "responses": { "200": { "description": "They are" }, "503": answer("The server ends", &unhealthy) },
    });
    let text = || json!({ "type": "string" });
    let described = open("This document", "application/json", json!({ "type": "object" }));
    let described = json!({ "summary": described["summary"], "responses": {
        "200": described["responses"]["200"], "401": unauthorized.clone(),
    } });
    json!({
        "/rerank": { "post": rerank.clone() },
        "/predict": { "post": predict },
        "/v1/rerank": { "post": v1 },
        "/v2/rerank": { "post": v2 },
        "/info": { "get": {
            "summary": "The model and the limits (text-embeddings-inference)",
            "responses": { "200": answer("OK", &info), "401": unauthorized },
        } },
        "/health": { "get": health.clone() },
        "/ping": { "get": health },
        "/metrics": { "get": open("Metrics for Prometheus", "application/openmetrics-text", text()) },
        "/openapi.json": { "get": described },
        "/": { "get": open("A page to try the model", "text/html", text()), "post": rerank },
    })
}

impl Schemas {
    /// A route that scores.
    fn scoring<Q: JsonSchema, A: JsonSchema>(
        &mut self,
        summary: &str,
        errors: fn(&mut SchemaGenerator) -> (Schema, [u16; 2]),
    ) -> Value {
        let read = self.read.subschema_for::<Q>();
        let answered = self.answered.subschema_for::<A>();
        let (error, [invalid, failed]) = errors(&mut self.answered);
        let mut responses = Map::from_iter([("200".to_owned(), answer("OK", &answered))]);
        let mut refused = |status: u16, why: &str| responses.insert(status.to_string(), answer(why, &error));
        refused(400, "No JSON, or nothing to rank");
        refused(401, "No key of this server");
        refused(408, "The body came too slowly");
        refused(413, "The body is too long");
        if invalid != 400 {
            refused(invalid, "Not as it should be, too many documents, or a text that is too long and may not be cut");
        }
        refused(failed, "The model failed");
        refused(429, "More work waits than can be done before the deadline");
        if let Some(overloaded) = responses.get_mut("429") {
            let description = "Seconds until it is worth to try again";
            overloaded["headers"] =
                json!({ "Retry-After": { "description": description, "schema": { "type": "integer" } } });
        }
        let body = json!({ "required": true, "content": { "application/json": { "schema": read } } });
        json!({ "summary": summary, "requestBody": body, "responses": responses })
    }
}

/// The schema of errors, and the statuses of what is not as it should be and of a model that fails.
fn tei_errors(schemas: &mut SchemaGenerator) -> (Schema, [u16; 2]) {
    (schemas.subschema_for::<tei::ErrorResponse>(), [422, 424])
}

fn cohere_errors(schemas: &mut SchemaGenerator) -> (Schema, [u16; 2]) {
    (schemas.subschema_for::<cohere::ErrorResponse>(), [400, 500])
}

fn answer(description: &str, schema: &Schema) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All references of a value.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match (name.as_str(), value) {
                ("$ref", Value::String(reference)) => found.push(reference.clone()),
                _ => references(value, found),
            }),
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_has_a_schema_and_none_has_the_name_of_another() {
        let mut found = Vec::new();
        references(document(), &mut found);
        assert!(found.len() > 20, "{found:?}");
        for reference in &found {
            let pointer = reference.trim_start_matches('#');
            assert!(document().pointer(pointer).is_some(), "{reference}");
        }
        let paths = &document()["paths"];
        let body =
            |path: &str| paths[path]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].clone();
        assert_ne!(body("/rerank"), body("/v1/rerank"));
    }
}
