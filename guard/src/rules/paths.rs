//! Which paths an update may change: first none that is forbidden, then, where there is a safelist, only what it
//! covers. Values never stand in a message, for any of them may be a secret.

use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{Difference, Kind, NumberPath, Path, Pattern, Segment};
use smartops_common::denial::Rule;

use super::Case;
use crate::findings::Finding;
use crate::policy::Flaw;
use crate::verdict::shortened;

/// Which paths an update may change. A path is `spec.template.spec.containers[].resources`: from the object's root,
/// `[]` for any item, and means everything below it.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathsSpec {
    /// Only these; absent means all that are not forbidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub allow: Option<Vec<String>>,
    /// Never these, whatever is allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub forbid: Vec<String>,
}

/// The rule, checked.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    allow: Option<Vec<Pattern>>,
    forbid: Vec<Pattern>,
    /// The safelist, for messages.
    allowed: String,
}

/// Where a Scale keeps its number.
const SCALE: &str = "spec.replicas";
/// Most paths one policy names in a denial.
const MOST_PATHS: usize = 16;

impl Paths {
    pub(super) fn compile(spec: &PathsSpec, flaws: &mut Vec<Flaw>) -> Self {
        let allowed = spec.allow.as_deref().unwrap_or_default().join(", ");
        Self {
            allow: spec.allow.as_ref().map(|list| patterns("allow", list, flaws)),
            forbid: patterns("forbid", &spec.forbid, flaws),
            allowed: shortened(&allowed, 400),
        }
    }

    /// `place` is where a custom resource keeps its number: a Scale of it changes that path.
    pub(super) fn judge(
        &self,
        case: &Case<'_>,
        place: Option<&NumberPath>,
        found: &mut Vec<Finding>,
    ) {
        let differences = case.change.differences();
        let place = place.filter(|_| case.change.kind() == Kind::Scale);
        // To automation an annotation in which somebody keeps his books is a path like any other: whoever writes it
        // decides what the next `kubectl apply` removes.
        let is_automation = case.subject.is_automation();
        let books = case.change.bookkeeping().filter(|_| is_automation);
        let refused = differences.listed().iter().chain(books).filter_map(|d| match place {
            Some(place) if d.path.to_string() == SCALE => {
                let path = Path::new(place.as_str().split('.').map(key).collect());
                self.refusal(&Difference { path, ..d.clone() })
            }
            _ => self.refusal(d),
        });
        found.extend(refused.take(MOST_PATHS));
        if differences.is_truncated() {
            let message = format!(
                "more paths change than the {} that are judged; change fewer at once",
                differences.listed().len()
            );
            found.push(finding(String::new(), message));
        }
    }

    fn refusal(&self, difference: &Difference<'_>) -> Option<Finding> {
        let path = shortened(&difference.path.to_string(), 200);
        let what = difference.kind.as_str();
        if let Some(pattern) = self.forbid.iter().find(|p| p.touches(difference)) {
            let message = format!(
                "{path} {what}: changing {pattern} is forbidden here; leave it as it is or ask a person to change it"
            );
            return Some(finding(path, message));
        }
        let allow = self.allow.as_ref()?;
        if allow.iter().any(|p| p.covers(&difference.path)) {
            return None;
        }
        let allowed = if allow.is_empty() { "nothing" } else { &self.allowed };
        let message =
            format!("{path} {what}: it is not on the safelist; allowed to change: {allowed}");
        Some(finding(path, message))
    }
}

fn key(word: &str) -> Segment {
    Segment::Key(word.to_owned())
}

fn patterns(list: &str, texts: &[String], flaws: &mut Vec<Flaw>) -> Vec<Pattern> {
    let mut patterns = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        match text.parse() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => {
                let error: smartops_change::PatternError = error;
                flaws.push(Flaw::new(
                    format!("spec.rules.paths.{list}[{place}]"),
                    error.to_string(),
                ));
            }
        }
    }
    patterns
}

fn finding(path: String, message: String) -> Finding {
    Finding { rule: Rule::Paths, path, message, retry_after: None, refuses: true }
}

#[cfg(test)]
mod tests {
    use super::PathsSpec;
    use crate::policy::OperationName;
    use crate::rules::RulesSpec;
    use crate::sample::{self, CONTAINER, Write};

    #[test]
    fn automation_may_change_the_safelist_and_a_person_anything() {
        let resources = |cpu: &str| {
            sample::pods(&format!(
                r#"{{"name":"web","image":"shop:1","resources":{{"limits":{{"cpu":"{cpu}"}}}}}}"#
            ))
        };
        let labelled = sample::with_template(&format!(
            r#"{{"metadata":{{"labels":{{"a":"b"}}}},"spec":{{"containers":[{CONTAINER}]}}}}"#
        ));
        for write in [
            sample::restart(),
            Write::update("", &resources("1"), &resources("2")),
            Write::update("", &sample::pods(sample::CONTAINER), &labelled),
            sample::scale(3, 4),
        ] {
            assert_eq!(sample::paths(&write, &sample::automation()), [] as [&str; 0]);
        }
        let renamed = sample::pods(r#"{"name":"new","image":"shop:2"}"#);
        let write = Write::update("", &sample::pods(sample::CONTAINER), &renamed);
        assert_eq!(sample::paths(&write, &sample::person()), [] as [&str; 0]);
    }

    #[test]
    fn automation_may_change_nothing_beside_the_safelist() {
        let metadata =
            |inner: &str| format!(r#"{{"metadata":{{{inner}}},"spec":{{"replicas":3}}}}"#);
        let plain = metadata("");
        for (write, expected) in [
            (Write::update("", &plain, &metadata(r#""labels":{"a":"b"}"#)), "metadata.labels.a"),
            (
                Write::update("", &plain, &metadata(r#""annotations":{"a/b":"c"}"#)),
                r#"metadata.annotations["a/b"]"#,
            ),
            (
                Write::update("", &plain, &metadata(r#""finalizers":["x/y"]"#)),
                "metadata.finalizers[x/y]",
            ),
            (
                sample::adds(r#""securityContext":{"runAsUser":0}"#),
                "spec.template.spec.securityContext.runAsUser",
            ),
            (
                sample::adds(r#""volumes":[{"name":"v","hostPath":{"path":"/"}}]"#),
                "spec.template.spec.volumes[v]",
            ),
            (
                sample::adds(r#""tolerations":[{"operator":"Exists"}]"#),
                "spec.template.spec.tolerations[0]",
            ),
            (sample::adds(r#""nodeSelector":{"a":"b"}"#), "spec.template.spec.nodeSelector.a"),
            (
                sample::adds(r#""serviceAccountName":"root""#),
                "spec.template.spec.serviceAccountName",
            ),
            (
                sample::adds(r#""hostAliases":[{"ip":"1.2.3.4"}]"#),
                "spec.template.spec.hostAliases[1.2.3.4]",
            ),
            (sample::adds(r#""hostNetwork":true"#), "spec.template.spec.hostNetwork"),
            (
                Write::update(
                    "",
                    &sample::pods(sample::CONTAINER),
                    &sample::pods(r#"{"name":"web","image":"shop:1","securityContext":{}}"#),
                ),
                "spec.template.spec.containers[web].securityContext",
            ),
            (
                Write::update(
                    "",
                    &sample::pods(sample::CONTAINER),
                    &sample::pods(
                        r#"{"name":"web","image":"shop:1","env":[{"name":"A","value":"s3cret"}]}"#,
                    ),
                ),
                "spec.template.spec.containers[web].env[A]",
            ),
        ] {
            assert_eq!(sample::paths(&write, &sample::automation()), [format!("paths {expected}")]);
        }
    }

    #[test]
    fn automation_may_not_write_what_others_keep_their_books_in_and_a_person_may() {
        const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
        let object = |key: &str, value: &str, replicas: u8| {
            format!(
                r#"{{"metadata":{{"annotations":{{"{key}":"{value}"}}}},"spec":{{"replicas":{replicas}}}}}"#
            )
        };
        for key in [APPLIED, "deployment.kubernetes.io/revision"] {
            let write = |value: &str, replicas| {
                Write::update("", &object(key, "a", 3), &object(key, value, replicas))
            };
            let denied = [format!(r#"paths metadata.annotations["{key}"]"#)];
            assert_eq!(sample::paths(&write("b", 3), &sample::automation()), denied);
            assert_eq!(sample::paths(&write("b", 4), &sample::automation()), denied);
            assert_eq!(sample::paths(&write("b", 3), &sample::person()), [] as [&str; 0]);
            assert_eq!(sample::paths(&write("a", 4), &sample::automation()), [] as [&str; 0]);
        }
        // Whoever owns the policy may leave them to automation.
        let mut spec = sample::baseline();
        spec.match_.operations = vec![OperationName::Update];
        let allow = format!(r#"metadata.annotations["{APPLIED}"]"#);
        let paths = PathsSpec { allow: Some(vec![allow]), forbid: Vec::new() };
        spec.rules = RulesSpec { paths: Some(paths), ..RulesSpec::default() };
        let policies = [sample::applied("p", &spec)];
        let facts = sample::facts(&policies);
        for (key, passes) in [(APPLIED, true), ("deployment.kubernetes.io/revision", false)] {
            let write = Write::update("", &object(key, "a", 3), &object(key, "b", 3));
            let verdict = sample::verdict_with(&write, &sample::automation(), &facts);
            let is_refused = verdict.denial().is_some_and(|d| d.message.contains("rule paths"));
            assert_eq!(is_refused, !passes, "{key} {verdict:?}");
        }
    }

    #[test]
    fn more_paths_than_are_judged_are_refused() {
        let labels: Vec<_> = (0..300).map(|i| format!(r#""k{i}":"v""#)).collect();
        let new = sample::with_template(&format!(
            r#"{{"metadata":{{"labels":{{{}}}}},"spec":{{"containers":[{CONTAINER}]}}}}"#,
            labels.join(",")
        ));
        let write = Write::update("", &sample::pods(sample::CONTAINER), &new);
        assert_eq!(sample::paths(&write, &sample::automation()), ["paths "]);
        assert_eq!(sample::paths(&write, &sample::person()), [] as [&str; 0]);
    }

    #[test]
    fn no_value_of_a_variable_ever_stands_in_a_denial() {
        let with = |value: &str| {
            sample::pods(&format!(
                r#"{{"name":"web","image":"shop:1","env":[{{"name":"TOKEN","value":"{value}"}}]}}"#
            ))
        };
        let write = Write::update("", &with("s3cret-old"), &with("s3cret-new"));
        let verdict = sample::verdict(&write, &sample::automation());
        assert!(verdict.denial().is_some());
        assert!(!format!("{verdict:?}").contains("s3cret"));
    }

    #[test]
    fn a_scale_of_a_custom_resource_changes_the_path_of_its_number() {
        let policy = |forbid: &str| {
            let mut spec = sample::baseline();
            spec.match_.kinds = sample::widgets();
            spec.match_.operations = vec![OperationName::Update];
            let paths = PathsSpec { allow: None, forbid: vec![forbid.into()] };
            spec.rules = RulesSpec { paths: Some(paths), ..RulesSpec::default() };
            [sample::applied("p", &spec)]
        };
        let mut scale = sample::scale(3, 4);
        (scale.group, scale.resource) = ("example.com", "widgets");
        for (forbid, denied) in [("spec.size", true), ("spec.replicas", false)] {
            let policies = policy(forbid);
            let facts = sample::facts(&policies);
            let verdict = sample::verdict_with(&scale, &sample::person(), &facts);
            assert_eq!(verdict.denial().is_some(), denied, "{forbid}");
        }
    }
}
