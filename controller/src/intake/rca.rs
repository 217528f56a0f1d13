//! Reading a root-cause signal. What it leads to is `map`'s.

use serde_json::Value;
use smartops_common::signal::rca::{RankedCause, RcaSignal};

use crate::payload::{Fields, Invalid};

/// Causes read of one analysis.
const MOST_CAUSES: usize = 100;
/// Longest cause: with its prefix it must fit a Remediation's cause.
const LONGEST_CAUSE: usize = 200;

/// Reads the body of `POST /v1/signals/rca`.
pub fn read(body: &Value) -> Result<RcaSignal, Invalid> {
    let fields = Fields::new(body)?;
    let confidence = match fields.value("confidence") {
        Some(_) => Some(fields.fraction("confidence")?),
        None => None,
    };
    let causes = fields.objects("rankedCauses", MOST_CAUSES)?;
    Ok(RcaSignal {
        window_id: fields.string("windowId")?.to_owned(),
        service: fields.string("service")?.to_owned(),
        namespace: fields.namespace("namespace")?.map(str::to_owned),
        ranked_causes: causes.iter().map(cause).collect::<Result<_, _>>()?,
        confidence,
    })
}

fn cause(fields: &Fields<'_>) -> Result<RankedCause, Invalid> {
    let cause = fields.string("cause")?;
    if cause.chars().count() > LONGEST_CAUSE {
        return Err(fields.invalid("cause", "is too long", "give at most 200 characters"));
    }
    Ok(RankedCause {
        svc: fields.string("svc")?.to_owned(),
        cause: cause.to_owned(),
        probability: fields.fraction("probability")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body() -> Value {
        json!({
            "windowId": "rca-003", "service": "erp-simulator", "confidence": 0.84,
            "rankedCauses": [{"svc": "erp-simulator", "cause": "high_error_rate", "probability": 0.94}],
        })
    }

    #[test]
    fn the_contracts_example_reads_as_it_stands() {
        let by_hand = read(&body()).unwrap();
        let derived: RcaSignal = serde_json::from_value(body()).unwrap();
        assert_eq!(by_hand, derived);
    }

    #[test]
    fn each_field_that_is_wrong_is_named() {
        let table = [
            ("/windowId", json!(7), "windowId"),
            ("/service", json!(""), "service"),
            ("/confidence", json!(2), "confidence"),
            ("/rankedCauses", json!({}), "rankedCauses"),
            ("/rankedCauses/0", json!("x"), "rankedCauses[0]"),
            ("/rankedCauses/0/cause", json!(null), "rankedCauses[0].cause"),
            ("/rankedCauses/0/probability", json!(-1), "rankedCauses[0].probability"),
            ("/rankedCauses/0/svc", json!(""), "rankedCauses[0].svc"),
        ];
        for (pointer, value, field) in table {
            let mut body = body();
            *body.pointer_mut(pointer).unwrap() = value;
            assert_eq!(read(&body).unwrap_err().field, field);
        }
    }

    #[test]
    fn causes_and_confidence_may_be_missing() {
        let signal = read(&json!({"windowId": "w", "service": "s"})).unwrap();
        assert!(signal.ranked_causes.is_empty() && signal.confidence.is_none());
    }
}
