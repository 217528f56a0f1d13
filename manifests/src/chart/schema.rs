//! `values.schema.json`: what may stand in the values, made of their comments, of Kubernetes' own types and of the
//! CRDs. Nothing that is not named is let in, however deep. Does not live here: reading the values (`values`).

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::api::networking::v1::{NetworkPolicyEgressRule, NetworkPolicyPeer};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::values::{Entry, Is};
use crate::render;

/// The draft it is written in.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
const TEXT_INTEGER_OR_NUMBER: [&str; 2] = ["string", "number"];

/// The schema of a chart with these values. A chart inside it brings its own, under its name; every chart is given
/// `global`.
pub(super) fn of(values: &[Entry], inside: &[(&str, &[Entry])]) -> Result<Value> {
    let mut root = section(values);
    root["$schema"] = DRAFT.into();
    root["properties"]["global"] = json!({"$ref": "#/$defs/global"});
    for (name, values) in inside {
        let mut schema = section(values);
        schema["properties"]["global"] = json!({"$ref": "#/$defs/global"});
        // Helm leaves the values of a chart out that is switched off.
        schema.as_object_mut().and_then(|schema| schema.remove("required"));
        root["properties"][*name] = schema;
    }
    let mut all = definitions()?;
    let mut named = BTreeSet::new();
    names(&root, &all, &mut named);
    all.retain(|name, _| named.contains(name));
    root["$defs"] = Value::Object(all);
    only_what_is_meant(&mut root);
    Ok(root)
}

fn section(entries: &[Entry]) -> Value {
    let properties: Map<String, Value> =
        entries.iter().map(|entry| (entry.key.clone(), one(entry))).collect();
    let mut section =
        json!({"type": "object", "additionalProperties": false, "properties": properties});
    // `null` takes a value away. A section that is gone would be a template's failure instead of a sentence.
    let is_section = |entry: &&Entry| matches!(entry.is, Is::Section(_));
    let sections: Vec<&str> =
        entries.iter().filter(is_section).map(|entry| entry.key.as_str()).collect();
    if !sections.is_empty() {
        section["required"] = json!(sections);
    }
    section
}

fn one(entry: &Entry) -> Value {
    let mut schema = match &entry.is {
        Is::Section(below) => section(below),
        Is::Value { schema, .. } if schema.contains_key("$ref") => Value::Object(schema.clone()),
        Is::Value { default, schema } => {
            let kind = match default {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            let mut whole = json!({"type": kind});
            for (key, value) in schema {
                whole[key.as_str()] = value.clone();
            }
            whole
        }
    };
    if !entry.about.is_empty() {
        schema["description"] = entry.about.as_str().into();
    }
    schema
}

/// The definitions that a schema names, and those that these name.
fn names(schema: &Value, all: &Map<String, Value>, named: &mut BTreeSet<String>) {
    match schema {
        Value::Object(map) => {
            let name = map.get("$ref").and_then(Value::as_str);
            let name = name.and_then(|name| name.strip_prefix("#/$defs/"));
            if let Some(name) = name.filter(|name| named.insert((*name).to_owned())) {
                all.get(name).into_iter().for_each(|schema| names(schema, all, named));
            }
            map.values().for_each(|schema| names(schema, all, named));
        }
        Value::Array(schemas) => schemas.iter().for_each(|schema| names(schema, all, named)),
        _ => {}
    }
}

/// What the comments name by `#/$defs/…`.
fn definitions() -> Result<Map<String, Value>> {
    let mut all = of_kubernetes();
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let name = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?";
    for (key, schema) in [
        ("texts", texts),
        ("named", closed(&json!({"name": {"type": "string", "pattern": format!("^{name}$")}}))),
        ("name", json!({"type": "string", "pattern": format!("^({name})?$")})),
        ("span", json!({"type": "string", "pattern": "^[1-9][0-9]*(s|m|h|d)$"})),
        ("interval", json!({"type": "string", "pattern": "^[1-9][0-9]*(ms|s|m|h)$"})),
        ("digest", json!({"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"})),
        (
            "count",
            json!({"anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": "^[0-9]{1,3}%$"},
            ]}),
        ),
        (
            // What other charts of an umbrella read there is none of ours.
            "global",
            json!({"type": "object", "additionalProperties": true, "properties": {
                "labels": {"$ref": "#/$defs/texts"},
                "annotations": {"$ref": "#/$defs/texts"},
                "imagePullSecrets": {"type": "array", "items": {"$ref": "#/$defs/named"}},
            }}),
        ),
        ("config", config()?),
        ("policies", policies()?),
    ] {
        all.insert(key.to_owned(), schema);
    }
    Ok(all)
}

fn closed(properties: &Value) -> Value {
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// Kubernetes' own types, by the names the comments have for them.
fn of_kubernetes() -> Map<String, Value> {
    let mut generator = SchemaGenerator::default();
    let named = [
        ("affinity", reference::<Affinity>(&mut generator)),
        ("env", reference::<EnvVar>(&mut generator)),
        ("resources", reference::<ResourceRequirements>(&mut generator)),
        ("toleration", reference::<Toleration>(&mut generator)),
        ("spread", reference::<TopologySpreadConstraint>(&mut generator)),
        ("peer", reference::<NetworkPolicyPeer>(&mut generator)),
        ("egress", reference::<NetworkPolicyEgressRule>(&mut generator)),
    ];
    let mut all = generator.take_definitions(true);
    for schema in all.values_mut() {
        bare(schema);
    }
    all.extend(named.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    all
}

fn reference<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// The spec of a SmartOpsConfig, without what is a value of its own.
fn config() -> Result<Value> {
    let mut spec = spec_of("smartopsconfigs.smartops.dev")?;
    if let Some(properties) = spec["properties"].as_object_mut() {
        properties.remove("people");
    }
    Ok(spec)
}

/// The specs of the shipped policies, by their names: any part of each.
fn policies() -> Result<Value> {
    let mut properties = Map::new();
    for policy in render::policies()? {
        let name = policy["metadata"]["name"].as_str().context("a policy has no name")?;
        let kind = policy["kind"].as_str().context("a policy has no kind")?;
        let plural = match kind {
            "GuardrailPolicy" => "guardrailpolicies.smartops.dev",
            _ => "remediationpolicies.smartops.dev",
        };
        let mut spec = spec_of(plural)?;
        partial(&mut spec);
        properties.insert(name.to_owned(), spec);
    }
    Ok(closed(&Value::Object(properties)))
}

fn spec_of(name: &str) -> Result<Value> {
    let crds = render::crds()?;
    let found = crds.into_iter().find(|crd| crd["metadata"]["name"] == name);
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let crd = found.with_context(|| format!("there is no CRD {name}"))?;
    let mut spec = crd.pointer(schema).cloned().context("a CRD has no spec")?;
    bare(&mut spec);
    Ok(spec)
}

/// Words that JSON Schema does not know, or that nobody reads here.
const SUPERFLUOUS: [&str; 5] = ["default", "description", "format", "nullable", "title"];

/// Takes away what is superfluous, and says what OpenAPI leaves unsaid.
fn bare(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.remove("x-kubernetes-int-or-string").is_some() {
                map.insert("type".to_owned(), json!(TEXT_INTEGER_OR_NUMBER));
            }
            map.retain(|key, _| {
                !SUPERFLUOUS.contains(&key.as_str()) && !key.starts_with("x-kubernetes-")
            });
            for (key, value) in map {
                // A property may have any name.
                match value.as_object_mut().filter(|_| key == "properties") {
                    Some(properties) => properties.values_mut().for_each(bare),
                    None => bare(value),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(bare),
        _ => {}
    }
}

/// Lets any part of an object be left out: it has its default. The items of a list are whole.
fn partial(schema: &mut Value) {
    let Some(map) = schema.as_object_mut() else { return };
    map.remove("required");
    let properties = map.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(Map::values_mut).for_each(partial);
}

/// Closes every object that says what it holds.
fn only_what_is_meant(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("properties").is_some_and(Value::is_object)
                && !map.contains_key("additionalProperties")
            {
                map.insert("additionalProperties".to_owned(), false.into());
            }
            map.values_mut().for_each(only_what_is_meant);
        }
        Value::Array(all) => all.iter_mut().for_each(only_what_is_meant),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::values::read;

    /// Pointers to objects that let in whatever they are given.
    fn open(schema: &Value, at: &str, found: &mut Vec<String>) {
        match schema {
            Value::Object(map) => {
                let is_open = map.get("type").is_some_and(|kind| kind == "object")
                    && !map.contains_key("additionalProperties");
                if is_open {
                    found.push(at.to_owned());
                }
                for (key, value) in map {
                    open(value, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(all) => all.iter().for_each(|value| open(value, at, found)),
            _ => {}
        }
    }

    #[test]
    fn nothing_is_let_in_that_is_not_named() {
        let mut found = Vec::new();
        let text = "# A.\n# @schema {\"$ref\": \"#/$defs/affinity\"}\na: {}\n# B.\n# @schema {\"$ref\": \"#/$defs/policies\"}\nb: {}\n";
        let schema = of(&read(text).unwrap(), &[]).unwrap();
        assert!(schema["$defs"]["policies"]["properties"]["smartops-baseline"].is_object());
        assert!(schema["$defs"]["env"].is_null(), "nobody names it");
        open(&schema, "", &mut found);
        assert_eq!(found, [] as [&str; 0]);
    }

    #[test]
    fn a_section_must_be_there_and_a_value_need_not() {
        let values = read("# A.\na:\n  # B.\n  b: 1\n# C.\nc: 1\n").unwrap();
        let schema = of(&values, &[("inner", &values)]).unwrap();
        assert_eq!(schema["required"], json!(["a"]));
        assert!(schema["properties"]["a"]["required"].is_null());
        assert!(schema["properties"]["inner"]["required"].is_null(), "it may be switched off");
    }

    #[test]
    fn a_part_of_a_policy_may_be_left_out_and_a_part_of_an_item_may_not() {
        let mut schema = json!({
            "required": ["a"],
            "properties": {"a": {"required": ["b"], "items": {"required": ["c"]}}},
        });
        partial(&mut schema);
        assert_eq!(schema, json!({"properties": {"a": {"items": {"required": ["c"]}}}}));
    }
}
