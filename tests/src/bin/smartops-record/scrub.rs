//! Scrubbing a review, so that recording it again gives the same file: what is random or a time becomes a value
//! counted by its first appearance, and what only noise depends on goes. Equal values stay equal and different ones
//! stay different, within a file.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What every time becomes, except those that a client wrote into an annotation.
const TIME: &str = "2026-01-01T00:00:00Z";

/// Values that become counted ones.
#[derive(Debug, Default)]
struct Scrubber {
    uids: BTreeMap<String, String>,
    versions: BTreeMap<String, String>,
    restarts: BTreeMap<String, String>,
    /// Generated names, by what the API server appended.
    suffixes: BTreeMap<String, String>,
}

/// What stays of a review. managedFields are most of an object and the same in all of them: only `whole` keeps them.
pub(crate) fn scrub(review: &Value, whole: bool) -> Value {
    let mut scrubber = Scrubber::default();
    let mut review = review.clone();
    let is_status = review["request"]["subResource"] == "status";
    for key in ["object", "oldObject"] {
        if let Some(object) = review["request"][key].as_object_mut() {
            trim(object, whole, is_status);
            scrubber.learn_generated(object);
        }
    }
    scrubber.value("", &mut review);
    review
}

/// Removes what depends on the moment and is judged by nobody: the status where it is not what is written (the API
/// server puts the stored one into both objects), and the API server's own noise in a pod.
fn trim(object: &mut Map<String, Value>, whole: bool, is_status: bool) {
    if !is_status {
        object.remove("status");
    }
    let managed = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = managed.filter(|_| !whole) {
        metadata.remove("managedFields");
    }
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        && spec.contains_key("nodeName")
    {
        spec.insert("nodeName".to_owned(), "node-0".into());
    }
    if object.get("kind").is_some_and(|kind| kind == "Binding")
        && let Some(target) = object.get_mut("target").and_then(Value::as_object_mut)
    {
        target.insert("name".to_owned(), "node-0".into());
    }
}

impl Scrubber {
    /// Learns the end of a generated name: `web-7d9f8c-` and `x4z8q`. An object that has one may be named by its
    /// subresources, which say only the name.
    fn learn_generated(&mut self, object: &Map<String, Value>) {
        let metadata = object.get("metadata");
        let text =
            |key: &str| metadata.and_then(|metadata| metadata.get(key)).and_then(Value::as_str);
        let name = text("name").unwrap_or_default();
        let end = match text("generateName") {
            Some(prefix) => name.strip_prefix(prefix),
            // A pod of a ReplicaSet of a Deployment, in a review that says no more than its name.
            None => name.rsplit_once('-').map(|(_, end)| end).filter(|end| is_random(end)),
        };
        if let Some(end) = end.filter(|end| !end.is_empty()) {
            counted(&mut self.suffixes, end, |n| format!("{n:0>5}"));
        }
    }

    fn value(&mut self, key: &str, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(key, text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.value(key, item)),
            Value::Object(map) => {
                let old = std::mem::take(map);
                for (key, mut value) in old {
                    self.value(&key, &mut value);
                    map.insert(self.uids_in(&key), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, key: &str, text: &str) -> String {
        if key == "resourceVersion" && !text.is_empty() {
            return counted(&mut self.versions, text, |n| (100 + n).to_string());
        }
        if is_time(text) {
            return match key {
                "kubectl.kubernetes.io/restartedAt" => {
                    counted(&mut self.restarts, text, |n| format!("2026-01-01T00:00:{n:0>2}Z"))
                }
                _ => TIME.to_owned(),
            };
        }
        if text.starts_with("X509SHA256=") {
            return "X509SHA256=0".to_owned();
        }
        let text = self.uids_in(text);
        self.generated_in(&text)
    }

    /// The text with every uid in it counted.
    fn uids_in(&mut self, text: &str) -> String {
        let mut result = String::new();
        let mut rest = text;
        while let Some((at, uid)) = find_uid(rest) {
            let (before, after) = rest.split_at(at);
            result.push_str(before);
            result.push_str(&counted(&mut self.uids, uid, |n| {
                format!("00000000-0000-4000-8000-{n:0>12}")
            }));
            rest = after.strip_prefix(uid).unwrap_or_default();
        }
        result.push_str(rest);
        result
    }

    /// The text with the ends of generated names in it counted, and the random name of a token's volume.
    fn generated_in(&self, text: &str) -> String {
        const VOLUME: &str = "kube-api-access-";
        if text.strip_prefix(VOLUME).is_some_and(|end| end.len() == 5) {
            return format!("{VOLUME}00000");
        }
        let mut text = text.to_owned();
        for (end, counted) in &self.suffixes {
            if let Some(prefix) = text.strip_suffix(end.as_str())
                && prefix.ends_with('-')
            {
                text = format!("{prefix}{counted}");
            }
        }
        text
    }
}

/// What a value became when it first appeared.
fn counted(
    known: &mut BTreeMap<String, String>,
    value: &str,
    name: impl Fn(usize) -> String,
) -> String {
    let next = known.len() + 1;
    known.entry(value.to_owned()).or_insert_with(|| name(next)).clone()
}

/// Whether this is what the API server appends to a generated name: five characters of an alphabet without vowels.
fn is_random(end: &str) -> bool {
    end.len() == 5 && end.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte))
}

/// `2026-01-01T00:00:00Z`, with or without a fraction.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit))
    };
    digits(0..4)
        && bytes.get(4) == Some(&b'-')
        && digits(5..7)
        && bytes.get(10) == Some(&b'T')
        && digits(11..13)
        && bytes.last() == Some(&b'Z')
}

/// The first uid in a text and where it begins.
fn find_uid(text: &str) -> Option<(usize, &str)> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let is_uid = |candidate: &str| {
        let parts: Vec<&str> = candidate.split('-').collect();
        parts.len() == GROUPS.len()
            && parts.iter().zip(GROUPS).all(|(part, length)| {
                part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
    };
    text.char_indices().find_map(|(at, _)| {
        let candidate = text.get(at..at + LENGTH)?;
        is_uid(candidate).then_some((at, candidate))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const A: &str = "3b0c1a7e-1111-4222-8333-abcdefabcdef";
    const B: &str = "3b0c1a7e-1111-4222-8333-abcdefabcde0";

    #[test]
    fn equal_values_stay_equal_and_different_ones_different() {
        let review = json!({"request": {"uid": A, "oldObject": {"metadata": {"uid": B, "resourceVersion": "812"}},
            "object": {"metadata": {"uid": B, "resourceVersion": "814", "labels": {"controller-uid": format!("x{B}y")}}}}});
        let request = &scrub(&review, false)["request"];
        let (old, new) = (&request["oldObject"]["metadata"], &request["object"]["metadata"]);
        assert_eq!(old["uid"], new["uid"]);
        assert_ne!(old["uid"], request["uid"]);
        assert_ne!(old["resourceVersion"], new["resourceVersion"]);
        let uid = old["uid"].as_str().unwrap();
        assert_eq!(new["labels"]["controller-uid"], format!("x{uid}y"));
    }

    #[test]
    fn a_restart_stays_a_change_and_every_other_time_becomes_one() {
        let object = |restarted: &str, created: &str| {
            json!({"metadata": {"creationTimestamp": created},
                "annotations": {"kubectl.kubernetes.io/restartedAt": restarted}})
        };
        let review = json!({"request": {"oldObject": object("2026-11-21T10:00:00Z", "2026-11-21T09:00:00Z"),
            "object": object("2026-11-21T10:00:05Z", "2026-11-21T09:00:00Z")}});
        let request = &scrub(&review, false)["request"];
        assert_ne!(request["object"]["annotations"], request["oldObject"]["annotations"]);
        assert_eq!(request["object"]["metadata"]["creationTimestamp"], TIME);
    }

    #[test]
    fn generated_names_tokens_and_nodes_leave_no_trace() {
        let review = json!({"request": {"name": "web-7d9f8c-x4z8q",
            "userInfo": {"extra": {"credential-id": [format!("JTI={A}"), "X509SHA256=ab12"]}},
            "object": {"kind": "Pod", "status": {"phase": "Running"}, "metadata": {"name": "web-7d9f8c-x4z8q",
                "generateName": "web-7d9f8c-", "managedFields": [{"time": "x"}]},
                "spec": {"nodeName": "node-1", "volumes": [{"name": "kube-api-access-zz9zz"}]}}}});
        let text = scrub(&review, false).to_string();
        for trace in ["x4z8q", "node-1", "zz9zz", A, "ab12", "Running", "managedFields"] {
            assert!(!text.contains(trace), "{trace} is left in {text}");
        }
        assert!(scrub(&review, true).to_string().contains("managedFields"));
    }
}
