//! Reading what Alertmanager posts: each alert of a group by itself, so that one nobody can read never loses the
//! others. What an alert is about is `subject`'s, what it leads to `policy`'s. Pure.

pub mod subject;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use serde_json::Value;
use smartops_common::remediation;
use smartops_common::signal::alert::{Alert, AlertState};

use crate::payload::{Fields, Invalid};

/// Longest id a Remediation keeps.
const LONGEST_ID: usize = 253;
/// Longest name: with its prefix it must fit a Remediation's cause.
const LONGEST_NAME: usize = 200;
/// Labels read of one alert.
const MOST_LABELS: usize = 256;

/// What one delivery holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Every alert, in order, or what is wrong with it.
    pub alerts: Vec<Result<Alert, Invalid>>,
    /// Alerts the sender left out because there were too many.
    pub truncated: u64,
}

/// Reads the body of `POST /v1/alerts/alertmanager`. Only what is no webhook at all is an error; fields nobody asks for
/// are left alone, for the format grows.
pub fn read(body: &Value) -> Result<Group, Invalid> {
    const ALLOWED: &str =
        "send Alertmanager's webhook, version 4: an object with the list `alerts`";
    let fields = Fields::new(body)?;
    let listed = fields.required("alerts", ALLOWED)?;
    let Some(listed) = listed.as_array() else {
        return Err(fields.invalid("alerts", "is no list", ALLOWED));
    };
    let of_group = fields.value("status");
    let alerts = listed.iter().enumerate().map(|(index, value)| {
        let fields = fields.item("alerts", index, value)?;
        alert(&fields, of_group)
    });
    let truncated = fields.value("truncatedAlerts").and_then(Value::as_u64).unwrap_or_default();
    Ok(Group { alerts: alerts.collect(), truncated })
}

fn alert(fields: &Fields<'_>, of_group: Option<&Value>) -> Result<Alert, Invalid> {
    const STATES: &str = "give firing or resolved";
    // Some senders leave the state to the group.
    let state = match fields.value("status").or(of_group).and_then(Value::as_str) {
        Some("firing") => AlertState::Firing,
        Some("resolved") => AlertState::Resolved,
        Some(other) => {
            return Err(fields.invalid("status", format!("{other:?} is no state"), STATES));
        }
        None => return Err(fields.invalid("status", "is missing", STATES)),
    };
    let labels = labels(fields)?;
    let name = labels.get("alertname").map(String::as_str).unwrap_or_default();
    if name.is_empty() || name.chars().count() > LONGEST_NAME {
        const ALLOWED: &str = "give a name of 1 to 200 characters";
        let problem = if name.is_empty() { "is missing" } else { "is too long" };
        return Err(fields.invalid("labels.alertname", problem, ALLOWED));
    }
    let text = |name| {
        let given = match fields.value(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        Some(given).filter(|given| !given.is_empty())
    };
    Ok(Alert {
        status: state,
        labels,
        starts_at: text("startsAt"),
        fingerprint: text("fingerprint"),
    })
}

fn labels(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, Invalid> {
    const ALLOWED: &str = "give an object of strings";
    let labels = fields.required("labels", ALLOWED)?;
    let Some(labels) = labels.as_object() else {
        return Err(fields.invalid("labels", "is no object", ALLOWED));
    };
    if labels.len() > MOST_LABELS {
        let problem = format!("has {} entries", labels.len());
        return Err(fields.invalid("labels", problem, "give at most 256 labels"));
    }
    let read = |(name, value): (&String, &Value)| match value.as_str() {
        Some(text) => Ok((name.clone(), text.to_owned())),
        None => Err(fields.invalid(&format!("labels.{name}"), "is no string", ALLOWED)),
    };
    labels.iter().map(read).collect()
}

/// When the alert began, where that can be read; senders write the year 1 where they do not know.
pub fn began_at(alert: &Alert) -> Option<Timestamp> {
    let began: Timestamp = alert.starts_at.as_deref()?.parse().ok()?;
    let known = date(1971, 1, 1).to_zoned(TimeZone::UTC).ok()?.timestamp();
    (began >= known).then_some(began)
}

/// The id by which repeats are known: the fingerprint, which is opaque, and the start, which repeats keep. Without a
/// fingerprint the labels stand for it.
pub fn id(alert: &Alert) -> String {
    let print = alert.fingerprint.clone().unwrap_or_else(|| {
        let labels = alert.labels.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]);
        format!("labels-{}", remediation::hex(&labels.collect::<Vec<_>>(), 32))
    });
    let start = began_at(alert)
        .map(|began| began.to_string())
        .or_else(|| alert.starts_at.clone())
        .unwrap_or_default();
    let id = format!("{print}@{start}");
    if id.len() <= LONGEST_ID { id } else { format!("digest-{}", remediation::hex(&[&id], 32)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn firing() -> Value {
        json!({
            "status": "firing",
            "labels": {"alertname": "KubePodCrashLooping", "namespace": "shop", "pod": "web-1"},
            "annotations": {"summary": "words for people"},
            "startsAt": "2026-03-01T10:00:00.000Z", "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus/graph", "fingerprint": "zz-not-hex",
        })
    }

    fn group(alerts: &[Value]) -> Value {
        json!({
            "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing",
            "receiver": "smartops", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
            "externalURL": "http://alertmanager", "notification_reason": "new in a later version",
            "alerts": alerts,
        })
    }

    fn one(alert: Value) -> Alert {
        read(&group(&[alert])).unwrap().alerts.remove(0).unwrap()
    }

    #[test]
    fn a_delivery_reads_as_it_stands_and_unknown_fields_are_left_alone() {
        let alert = one(firing());
        assert_eq!((alert.status, alert.name()), (AlertState::Firing, "KubePodCrashLooping"));
        assert_eq!(id(&alert), "zz-not-hex@2026-03-01T10:00:00Z");
        assert_eq!(began_at(&alert).unwrap().to_string(), "2026-03-01T10:00:00Z");
    }

    #[test]
    fn only_what_is_no_webhook_at_all_is_an_error() {
        for body in [json!({}), json!({"alerts": null}), json!({"alerts": {}}), json!([])] {
            assert!(read(&body).is_err(), "{body}");
        }
        assert_eq!(read(&group(&[])).unwrap().alerts, []);
    }

    #[test]
    fn one_alert_nobody_can_read_never_loses_the_others() {
        let (mut stateless, mut numbered) = (firing(), firing());
        stateless["status"] = json!("flapping");
        numbered["labels"]["code"] = json!(500);
        let nameless = json!({"status": "firing", "labels": {"pod": "web-1"}});
        let bare = json!({"status": "firing"});
        let body = group(&[json!("text"), stateless, numbered, nameless, bare, firing()]);
        let read = read(&body).unwrap().alerts;
        let fields: Vec<&str> = read
            .iter()
            .map(|alert| alert.as_ref().map_or_else(|e| e.field.as_str(), |_| ""))
            .collect();
        let expected = [
            "alerts[0]",
            "alerts[1].status",
            "alerts[2].labels.code",
            "alerts[3].labels.alertname",
            "alerts[4].labels",
            "",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_real_senders_leave_out_is_made_up_for() {
        let mut bare = firing();
        for field in ["status", "fingerprint", "generatorURL", "endsAt", "annotations"] {
            bare.as_object_mut().unwrap().remove(field);
        }
        let alert = one(bare.clone());
        assert_eq!(alert.status, AlertState::Firing, "the group's");
        assert!(id(&alert).starts_with("labels-"), "{}", id(&alert));
        let mut other = bare.clone();
        other["labels"]["pod"] = json!("web-2");
        assert_ne!(id(&alert), id(&one(other)));
        bare.as_object_mut().unwrap().remove("startsAt");
        assert_eq!(began_at(&one(bare)), None);
    }

    #[test]
    fn an_alert_is_as_old_as_it_is_and_the_year_1_says_nothing() {
        let mut old = firing();
        old["startsAt"] = json!("2001-01-01T00:00:00Z");
        assert_eq!(one(old.clone()).status, AlertState::Firing);
        for start in ["0001-01-01T00:00:00Z", "yesterday"] {
            old["startsAt"] = json!(start);
            assert_eq!(began_at(&one(old.clone())), None, "{start}");
        }
    }

    #[test]
    fn an_id_of_any_length_fits_and_stays_the_same() {
        let mut long = firing();
        long["fingerprint"] = json!("f".repeat(400));
        let id_of = |alert: &Value| id(&one(alert.clone()));
        assert!(id_of(&long).len() <= LONGEST_ID);
        assert_eq!(id_of(&long), id_of(&long));
        let first = id_of(&long);
        long["fingerprint"] = json!("f".repeat(401));
        assert_ne!(first, id_of(&long));
    }

    #[test]
    fn truncated_alerts_are_counted_and_their_number_may_be_missing() {
        let mut body = group(&[firing()]);
        body["truncatedAlerts"] = json!(7);
        assert_eq!(read(&body).unwrap().truncated, 7);
        body.as_object_mut().unwrap().remove("truncatedAlerts");
        assert_eq!(read(&body).unwrap().truncated, 0);
    }
}
