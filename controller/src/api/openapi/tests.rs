//! The document against what is served: every route is in it and nothing else, and whatever the other tests are answered
//! is as it says.

use axum::http::StatusCode;

use super::*;

static PARSED: LazyLock<Value> = LazyLock::new(described);

/// Whether an answer is as the document says. Paths and methods that are not in it are answered 404 and 405.
pub(crate) fn documented(
    method: &Method,
    path: &str,
    status: StatusCode,
    kind: &str,
    body: &Value,
) -> Result<(), String> {
    let path = path.split('?').next().unwrap_or_default();
    let of_path = of(path);
    let operation = &of_path[method.as_str().to_lowercase()];
    if operation.is_null() {
        let expected = if of_path.is_null() { 404 } else { 405 };
        return if status == expected { Ok(()) } else { Err("not in the document".into()) };
    }
    let answer = &operation["responses"][status.as_str()];
    if answer.is_null() {
        return Err("the document does not know this status".into());
    }
    let kind = kind.split(';').next().unwrap_or_default();
    match &answer["content"][kind]["schema"] {
        Value::Null => Err(format!("the document does not know {kind:?} there")),
        schema if kind.ends_with("json") => valid(schema, body, "body"),
        _ => Ok(()),
    }
}

/// What the document says of a path: by itself where it is listed, else by the one whose parameters it fills.
fn of(path: &str) -> &'static Value {
    let fills = |known: &str| {
        known.split('/').count() == path.split('/').count()
            && known.split('/').zip(path.split('/')).all(|(known, given)| {
                known == given || (known.starts_with('{') && !given.is_empty())
            })
    };
    let paths = PARSED["paths"].as_object().unwrap();
    let filled = || paths.iter().find(|(known, _)| fills(known)).map(|(_, of)| of);
    paths.get(path).or_else(filled).unwrap_or(&Value::Null)
}

/// Whether a value is what a schema says. A keyword that is not known here fails, lest it be passed over.
pub(crate) fn valid(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let keywords = match schema {
        Value::Bool(true) => return Ok(()),
        Value::Object(keywords) => keywords,
        _ => return Err(format!("{at}: {value} may not be there")),
    };
    let fail = |what: String| Err(format!("{at}: {value} {what}"));
    for (keyword, of) in keywords {
        match keyword.as_str() {
            "$ref" => valid(pointed(of), value, at)?,
            "type" => {
                let names = of.as_array().map_or_else(|| vec![of], |all| all.iter().collect());
                if !names.iter().any(|name| is(value, name.as_str().unwrap())) {
                    return fail(format!("is no {of}"));
                }
            }
            "properties" => {
                for (name, inner) in of.as_object().unwrap() {
                    if let Some(property) = value.get(name) {
                        valid(inner, property, &format!("{at}.{name}"))?;
                    }
                }
            }
            "required" => {
                for name in of.as_array().unwrap() {
                    let is_object = value.is_object();
                    if is_object && value.get(name.as_str().unwrap()).is_none() {
                        return fail(format!("lacks {name}"));
                    }
                }
            }
            "additionalProperties" => {
                for property in value.as_object().iter().flat_map(|map| map.values()) {
                    valid(of, property, at)?;
                }
            }
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    valid(of, item, &format!("{at}[]"))?;
                }
            }
            "enum" if !of.as_array().unwrap().contains(value) => {
                return fail(format!("not in {of}"));
            }
            "const" if of != value => return fail(format!("is not {of}")),
            "allOf" => {
                for part in of.as_array().unwrap() {
                    let applies = valid(&part["if"], value, at).is_ok();
                    if applies {
                        valid(&part["then"], value, at)?;
                    }
                }
            }
            "anyOf" | "oneOf" => {
                let good = |inner: &&Value| valid(inner, value, at).is_ok();
                if of.as_array().unwrap().iter().find(good).is_none() {
                    return fail("is none of those it may be".into());
                }
            }
            "minimum" | "minLength" | "minItems" | "minProperties" => {
                if size(keyword, value).is_some_and(|size| size < of.as_f64().unwrap()) {
                    return fail(format!("is below the {keyword} of {of}"));
                }
            }
            "maximum" | "maxLength" | "maxItems" | "maxProperties" => {
                if size(keyword, value).is_some_and(|size| size > of.as_f64().unwrap()) {
                    return fail(format!("is above the {keyword} of {of}"));
                }
            }
            "enum" | "const" | "description" | "title" | "format" | "default" | "pattern" => {}
            unknown => return Err(format!("{at}: nothing here knows {unknown:?}")),
        }
    }
    Ok(())
}

/// What a bound counts, of the values it is about.
#[expect(clippy::cast_precision_loss, reason = "lengths of test data")]
fn size(bound: &str, value: &Value) -> Option<f64> {
    let count = |count: usize| count as f64;
    match bound.get(3..)? {
        "imum" => value.as_f64(),
        "Length" => value.as_str().map(|text| count(text.chars().count())),
        "Items" => value.as_array().map(|list| count(list.len())),
        "Properties" => value.as_object().map(|map| count(map.len())),
        other => panic!("no bound {other}"),
    }
}

fn pointed(reference: &Value) -> &'static Value {
    let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
    PARSED.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

fn is(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("no type {other}"),
    }
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get("$ref"));
            map.values().for_each(|inner| references(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| references(inner, found)),
        _ => {}
    }
}

#[test]
fn every_route_is_in_the_document_and_the_other_way_round() {
    let mut served: Vec<String> = everything()
        .into_iter()
        .map(|(method, path)| format!("{} {path}", method.as_str().to_lowercase()))
        .collect();
    served.sort();
    let mut told = Vec::new();
    for (path, methods) in PARSED["paths"].as_object().unwrap() {
        told.extend(methods.as_object().unwrap().keys().map(|method| format!("{method} {path}")));
    }
    told.sort();
    assert_eq!(served, told);
    assert_eq!(PARSED["openapi"], "3.1.0");
}

#[test]
fn every_reference_leads_somewhere_and_every_example_is_what_its_schema_says() {
    let mut found = Vec::new();
    references(&PARSED, &mut found);
    assert!(found.len() > 20, "{}", found.len());
    for reference in found {
        pointed(reference);
    }
    let mut examples = 0;
    for (path, methods) in PARSED["paths"].as_object().unwrap() {
        for operation in methods.as_object().unwrap().values() {
            let content = &operation["requestBody"]["content"]["application/json"];
            if !content.is_null() {
                valid(&content["schema"], &content["example"], path).unwrap();
                examples += 1;
            }
        }
    }
    assert_eq!(examples, 10);
}

#[test]
fn operations_have_names_of_their_own() {
    let mut names: Vec<&str> = Vec::new();
    for methods in PARSED["paths"].as_object().unwrap().values() {
        let operations = methods.as_object().unwrap().values();
        names.extend(operations.map(|operation| operation["operationId"].as_str().unwrap()));
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "{names:?}");
}

#[test]
fn the_validator_itself_refuses_what_a_schema_does_not_say() {
    let schema = json!({"type": "object", "required": ["a"], "properties": {
        "a": {"type": ["integer", "null"], "minimum": 1}, "b": {"enum": ["x"]}}});
    for (value, good) in [
        (json!({"a": 1}), true),
        (json!({"a": null, "b": "x", "c": 3}), true),
        (json!({"a": 0}), false),
        (json!({"a": "1"}), false),
        (json!({"b": "x"}), false),
        (json!({"a": 1, "b": "y"}), false),
        (json!([]), false),
    ] {
        assert_eq!(valid(&schema, &value, "v").is_ok(), good, "{value}");
    }
    assert!(valid(&json!({"contains": {}}), &json!([]), "v").is_err());
}

#[test]
fn the_page_asks_nobody_but_this_server() {
    let page = include_str!("page.html");
    for foreign in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    let response = super::page();
    let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"));
}
