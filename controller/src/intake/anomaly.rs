//! Reading an anomaly signal. What it leads to is `map`'s.

use serde_json::Value;
use smartops_common::signal::anomaly::AnomalySignal;

use crate::payload::{Fields, Invalid};

/// Longest type: with its prefix it must fit a Remediation's cause.
const LONGEST_TYPE: usize = 200;

/// Reads the body of `POST /v1/signals/anomaly`.
pub fn read(body: &Value) -> Result<AnomalySignal, Invalid> {
    let fields = Fields::new(body)?;
    let metadata = match fields.value("metadata") {
        None => None,
        Some(Value::Object(map)) => Some(map.clone()),
        Some(_) => return Err(fields.invalid("metadata", "is no object", "give an object")),
    };
    let type_ = fields.string("type")?;
    if type_.chars().count() > LONGEST_TYPE {
        return Err(fields.invalid("type", "is too long", "give at most 200 characters"));
    }
    // An empty version says as little as none: the signal is only tried out.
    let model_version = match fields.value("modelVersion") {
        Some(Value::String(version)) if version.is_empty() => None,
        _ => fields.optional_string("modelVersion")?.map(str::to_owned),
    };
    Ok(AnomalySignal {
        window_id: fields.string("windowId")?.to_owned(),
        service: fields.string("service")?.to_owned(),
        namespace: fields.namespace("namespace")?.map(str::to_owned),
        is_anomaly: fields.boolean("isAnomaly")?,
        score: fields.fraction("score")?,
        type_: type_.to_owned(),
        model_version,
        metadata,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "windowId": "lat-001", "service": "erp-simulator", "isAnomaly": true, "score": 0.9,
            "type": "latency", "modelVersion": "v1", "metadata": {}, "new": 1,
        })
    }

    #[test]
    fn the_contracts_example_reads_as_it_stands() {
        let by_hand = read(&body()).unwrap();
        let derived: AnomalySignal = serde_json::from_value(body()).unwrap();
        assert_eq!(by_hand, derived);
    }

    #[test]
    fn each_field_that_is_wrong_is_named() {
        for (field, value) in [
            ("windowId", json!("")),
            ("service", json!(null)),
            ("isAnomaly", json!("true")),
            ("score", json!(1.01)),
            ("score", json!(-0.1)),
            ("score", json!("0.9")),
            ("type", json!(["latency"])),
            ("type", json!("x".repeat(201))),
            ("metadata", json!([])),
            ("modelVersion", json!(1)),
            ("namespace", json!(true)),
        ] {
            let mut body = body();
            body[field] = value;
            assert_eq!(read(&body).unwrap_err().field, field, "{body}");
        }
    }

    #[test]
    fn the_optional_fields_may_be_missing() {
        let mut body = body();
        for field in ["modelVersion", "metadata"] {
            body.as_object_mut().unwrap().remove(field);
        }
        assert_eq!(read(&body).unwrap().model_version, None);
    }
}
