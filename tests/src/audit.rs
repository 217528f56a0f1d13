//! What the API server says was written, by whom: its audit log, one JSON object a line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// A write request that was answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// create, update, patch, delete, deletecollection.
    pub verb: String,
    /// API group, empty for core.
    pub group: String,
    /// Plural.
    pub resource: String,
    /// Empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Empty when the server gives the name.
    pub name: String,
    /// The authenticated user.
    pub user: String,
    /// Whether nothing was to be stored.
    pub dry_run: bool,
    /// HTTP status of the answer.
    pub code: u16,
    /// The request's body, where the audit policy keeps it.
    pub body: Option<Value>,
    /// The object as it was answered with, where the audit policy keeps it.
    pub answer: Option<Value>,
    /// What admission noted, by `<webhook>/<key>`.
    pub annotations: BTreeMap<String, String>,
}

impl Write {
    /// Whether the object was changed by it, as far as the answer tells: accepted, and no dry run.
    pub fn committed(&self) -> bool {
        !self.dry_run && (200..300).contains(&self.code)
    }

    /// The resourceVersion that the object had to have for this write to be made.
    pub fn precondition(&self) -> Option<&str> {
        self.body.as_ref()?["metadata"]["resourceVersion"].as_str()
    }

    /// Whether the object was another one after it than before, as far as its precondition and its answer tell: what is
    /// there already is accepted too, and changes nothing.
    pub fn changed(&self) -> Option<bool> {
        let after = self.answer.as_ref()?["metadata"]["resourceVersion"].as_str()?;
        Some(self.committed() && self.precondition()? != after)
    }

    /// What a webhook noted under a key.
    pub fn noted(&self, key: &str) -> Option<&str> {
        let is_it = |name: &str| name.rsplit_once('/').is_some_and(|(_, own)| own == key);
        self.annotations.iter().find(|(name, _)| is_it(name)).map(|(_, value)| value.as_str())
    }

    /// Whether it is about this object: `deployments` or any subresource of it.
    pub fn is_for(&self, resource: &str, namespace: &str, name: &str) -> bool {
        self.resource == resource && self.namespace == namespace && self.name == name
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    object_ref: Option<Reference>,
    response_status: Option<Status>,
    request_object: Option<Value>,
    response_object: Option<Value>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    resource: String,
    namespace: String,
    name: String,
    api_group: String,
    subresource: String,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

/// Every answered write in the log at `path`, oldest first.
pub fn writes(path: &Path) -> Result<Vec<Write>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<Write>> {
    // A last line without its end is one the API server is writing now.
    let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
    let mut writes = Vec::new();
    for line in whole.lines() {
        let line: Line =
            serde_json::from_str(line).with_context(|| format!("not an audit event: {line}"))?;
        let (Some(object), "ResponseComplete") = (line.object_ref, line.stage.as_str()) else {
            continue;
        };
        let query = line.request_uri.split_once('?').map_or("", |(_, query)| query);
        writes.push(Write {
            verb: line.verb,
            group: object.api_group,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            user: line.user.username,
            dry_run: query.split('&').any(|pair| pair.starts_with("dryRun=")),
            code: line.response_status.and_then(|status| status.code).unwrap_or_default(),
            body: line.request_object,
            answer: line.response_object,
            annotations: line.annotations,
        });
    }
    Ok(writes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: &str = r#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"Request","auditID":"1","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/a/deployments/b/scale?fieldManager=x","verb":"patch","user":{"username":"dev","groups":["g"]},"objectRef":{"resource":"deployments","namespace":"a","name":"b","apiGroup":"apps","apiVersion":"v1","subresource":"scale"},"responseStatus":{"metadata":{},"code":200},"requestObject":{"spec":{"replicas":3}}}"#;

    #[test]
    fn a_write_is_read_with_who_what_and_how_it_ended() {
        let writes = parse(&format!("{SCALE}\n")).unwrap();
        assert_eq!(writes.len(), 1);
        assert!(writes[0].is_for("deployments", "a", "b"));
        assert!(writes[0].committed());
        assert_eq!((writes[0].user.as_str(), writes[0].subresource.as_str()), ("dev", "scale"));
        assert_eq!(writes[0].body, Some(serde_json::json!({"spec": {"replicas": 3}})));
    }

    #[test]
    fn a_dry_run_and_a_refusal_commit_nothing() {
        let dry = SCALE.replace("fieldManager=x", "fieldManager=x&dryRun=All");
        let refused = SCALE.replace("\"code\":200", "\"code\":403");
        let writes = parse(&format!("{dry}\n{refused}\n")).unwrap();
        assert_eq!(writes.iter().map(Write::committed).collect::<Vec<_>>(), [false, false]);
    }

    #[test]
    fn what_a_write_changed_is_told_by_its_precondition_and_its_answer() {
        let body = |precondition: &str, answer: &str| {
            let spec = r#""requestObject":{"spec""#;
            let both = format!(
                r#""responseObject":{{"metadata":{{{answer}}}}},"requestObject":{{"metadata":{{{precondition}}},"spec""#
            );
            parse(&format!("{}\n", SCALE.replace(spec, &both))).unwrap()[0].changed()
        };
        let (seven, eight) = (r#""resourceVersion":"7""#, r#""resourceVersion":"8""#);
        assert_eq!(body(seven, eight), Some(true));
        assert_eq!(body(seven, seven), Some(false));
        assert_eq!((body("", eight), body(seven, "")), (None, None));
    }

    #[test]
    fn a_line_still_being_written_is_left_for_the_next_read() {
        assert_eq!(parse(&format!("{SCALE}\n{{\"stage\":\"Resp")).unwrap().len(), 1);
        assert_eq!(parse("{\"stage\"").unwrap().len(), 0);
    }
}
