//! The API's own description: OpenAPI 3.1, made of the routes as they are served and of the types in `shapes` and
//! `answers`, and a page that shows it and tries it out. Both are served from the binary; nothing is fetched from elsewhere.

mod answers;
mod operations;
mod shapes;

use std::sync::LazyLock;

use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use self::operations::{Access, Operation, Shape};

/// Routes beside those of `api`, which `process::health` serves.
const HEALTH: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// The page may load nothing from anywhere and talk to nobody but this server.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static DOCUMENT: LazyLock<String> = LazyLock::new(|| described().to_string());

/// `GET /openapi.json`
pub fn document() -> Response {
    typed("application/json", DOCUMENT.clone())
}

/// `GET /docs`
pub fn page() -> Response {
    let mut page = typed("text/html; charset=utf-8", include_str!("openapi/page.html"));
    page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    page
}

fn typed(kind: &'static str, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Every route there is: method and path.
fn everything() -> Vec<(Method, &'static str)> {
    let health = HEALTH.map(|path| (Method::GET, path));
    super::routes().listed().iter().cloned().chain(health).collect()
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.meta_schema = None;
        settings.definitions_path = "/components/schemas".into();
    })
}

/// The document.
fn described() -> Value {
    let mut generator = settings().into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for (method, path) in everything() {
        let Some(operation) = operations::of(&method, path) else { continue };
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method.as_str().to_lowercase()] = told(&operation, path, &mut generator);
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "SmartOps controller",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Signals, alerts and requests become Remediations; Remediations become judged and verified writes.",
        },
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": schemes()},
        "security": [{"apiKey": []}, {"bearer": []}, {"signingKey": [], "signedAt": [], "signature": []}],
    })
}

fn schemes() -> Value {
    let header = |name: &str, description: &str| json!({"type": "apiKey", "in": "header", "name": name, "description": description});
    json!({
        "apiKey": header("X-API-Key", "An API key."),
        "bearer": {"type": "http", "scheme": "bearer", "description": "A Kubernetes token."},
        "signingKey": header("X-SmartOps-Key", "The name of the key that signed."),
        "signedAt": header("X-SmartOps-Timestamp", "When, in seconds since 1970; good for five minutes."),
        "signature": header(
            "X-SmartOps-Signature",
            "`sha256=` and the hex HMAC-SHA-256 of TIMESTAMP, METHOD and PATH, a line each, and the body.",
        ),
    })
}

fn told(operation: &Operation, path: &str, generator: &mut SchemaGenerator) -> Value {
    let name: String = path
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    let mut told = json!({
        "operationId": format!("{}-{name}", operation.method),
        "summary": operation.summary,
        "responses": answers(operation, generator),
    });
    if operation.access == Access::Open {
        told["security"] = json!([]);
    }
    if let Some(body) = &operation.body {
        told["requestBody"] = json!({
            "required": body.required,
            "content": {"application/json": {"schema": (body.schema)(generator), "example": body.example}},
        });
    }
    let mut parameters: Vec<Value> = in_path(path).collect();
    if let Some(query) = operation.query {
        parameters.extend(in_query(query));
    }
    if operation.access == Access::Call {
        parameters.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "A repeat with the same key and target is answered with the Remediation the first one became.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }));
    }
    if !parameters.is_empty() {
        told["parameters"] = parameters.into();
    }
    told
}

fn in_path(path: &str) -> impl Iterator<Item = Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[a-z0-9][-.a-z0-9]*$"});
        json!({"name": name, "in": "path", "required": true, "schema": schema})
    })
}

/// Each member of what a query may hold. Of one that may be left out, null is no value a query has.
fn in_query(query: operations::Maker) -> Vec<Value> {
    let mut generator = settings().into_generator();
    let schema = query(&mut generator);
    let definition = generator.take_definitions(true).into_iter().next();
    let object = definition.map_or_else(|| schema.to_value(), |(_, definition)| definition);
    let members = object["properties"].as_object().cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|s| s.remove("description"));
        if let Some(kinds) = schema["type"].as_array() {
            schema["type"] = kinds.iter().find(|kind| **kind != "null").cloned().into();
        }
        json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema})
    };
    members.into_iter().map(parameter).collect()
}

fn answers(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut answers: Map<String, Value> = Map::new();
    for (code, description, shape) in &operation.good {
        let mut answer = json!({"description": description});
        match shape {
            Shape::Json(schema) => {
                answer["content"] = json!({"application/json": {"schema": schema(generator)}});
            }
            Shape::Text(kind) => answer["content"] = json!({*kind: {"schema": {"type": "string"}}}),
        }
        answers.insert(code.to_string(), answer);
    }
    let problem = generator.subschema_for::<answers::Problem>();
    for code in operation.access.refusals() {
        let mut answer = json!({
            "description": operations::meaning(*code),
            "content": {"application/problem+json": {"schema": problem}},
        });
        if [429, 503].contains(code) {
            answer["headers"] = json!({"Retry-After": {
                "description": "Seconds until the same request could pass.",
                "schema": {"type": "integer", "minimum": 0},
            }});
        }
        answers.insert(code.to_string(), answer);
    }
    answers.into()
}

#[cfg(test)]
pub(super) mod tests;
