//! What is told when automation writes what is SmartOps' own: every such write is counted, and one that is refused is a
//! warning in the log and, unless it was a dry run, an Event on the object. What the controller is there to do is
//! counted too; that it has to read something again is nothing to be told of.

use serde::Deserialize;
use serde_json::value::RawValue;
use smartops_common::denial::{Denial, Rule};
use smartops_common::names;

use super::reach::ours;
use crate::admission::Half;
use crate::admission::envelope::Request;
use crate::admission::reply::Answer;
use crate::told::{Alarm, Notice, resource};

/// SmartOps' own resources, as they stand in metrics.
const OWN: [&str; 12] = [
    "guardrailpolicies",
    "guardrailpolicies/status",
    "guardrailexceptions",
    "guardrailexceptions/status",
    "smartopsconfigs",
    "smartopsconfigs/status",
    "remediations",
    "remediations/status",
    "remediationapprovals",
    "remediationpolicies",
    "remediationpolicies/status",
    "changeledgers",
];
/// What else of an installation stands in metrics by its own name.
const OTHERS: [&str; 11] = [
    "clusterrolebindings",
    "clusterroles",
    "configmaps",
    "customresourcedefinitions",
    "deployments",
    "namespaces",
    "pods",
    "rolebindings",
    "roles",
    "secrets",
    "serviceaccounts",
];
/// Operations as they stand in metrics.
const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "CONNECT"];

/// An object, as far as an Event names it.
#[derive(Default, Deserialize)]
struct Object {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
}

impl Alarm {
    /// Takes note of a write by automation, where it is of something of SmartOps' own.
    pub fn attempted(&self, uid: &str, request: &Request<'_>, half: Half, answer: &Answer) {
        if ours(request).is_none() || (half == Half::Mutating && answer.denial.is_none()) {
            return;
        }
        let decision = if answer.denial.is_some() { "deny" } else { "allow" };
        let operation = OPERATIONS.into_iter().find(|known| *known == request.operation);
        let labels = [label(request), operation.unwrap_or("other"), decision];
        self.metrics.own_object_attempts.with_label_values(&labels).inc();
        let Some(denial) = answer.denial.as_ref().filter(|denial| is_an_attempt(denial)) else {
            return;
        };
        let dry_run = request.is_dry_run();
        tracing::warn!(
            uid,
            user = %request.user_info.username,
            operation = %request.operation,
            group = %request.resource.group,
            resource = %request.resource.resource,
            subresource = %request.sub_resource,
            namespace = request.namespace.as_deref(),
            name = %request.name,
            dry_run,
            reason = denial.message,
            "automation tried to write what is SmartOps' own"
        );
        if !dry_run {
            let object = object(request);
            let name = if request.name.is_empty() { &object.metadata.name } else { &*request.name };
            self.tell(
                request,
                Notice {
                    reason: "AutomationDenied",
                    prefix: "automation-denied-",
                    kind: &object.kind,
                    name,
                    uid: &object.metadata.uid,
                    note: &denial.message,
                },
            );
        }
    }
}

/// A resource as it stands in metrics, so that nobody can make labels grow.
pub(super) fn label(request: &Request<'_>) -> &'static str {
    let resource = resource(request);
    let known = if request.resource.group == names::GROUP { &OWN[..] } else { &OTHERS[..] };
    known.iter().find(|known| **known == resource).copied().unwrap_or("other")
}

/// Whether a denial is of what must never be tried. What could not be decided, or only has to be read again, is the
/// controller's daily bread.
fn is_an_attempt(denial: &Denial) -> bool {
    denial.retry_after_seconds.is_none() && denial.leading_rule() != Some(Rule::Undecided)
}

/// The object, as it is where it exists.
fn object(request: &Request<'_>) -> Object {
    let texts = [request.old_object, request.object].into_iter().flatten().map(RawValue::get);
    let mut read = texts.filter(|text| *text != "null").map(serde_json::from_str);
    read.next().and_then(Result::ok).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use smartops_process::metrics::Metrics;

    use super::super::answer::out_of_reach;
    use super::*;
    use crate::admission::envelope::Envelope;
    use crate::metrics::WebhookMetrics;
    use crate::told;

    /// What is counted and told of a write that is answered like this.
    fn told(
        resource: (&str, &str),
        dry_run: bool,
        half: Half,
        deny: bool,
    ) -> (String, Option<String>) {
        let metrics = Metrics::new("webhook").unwrap();
        let webhook = WebhookMetrics::new(&metrics).unwrap();
        let (alarm, mut events) = told::alarm(&webhook);
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "operation": "UPDATE", "name": "p", "dryRun": dry_run,
            "resource": {"group": resource.0, "version": "v1alpha1", "resource": resource.1},
            "userInfo": {"username": "bot"}, "object": {"kind": "Other", "metadata": {"name": "p"}},
            "oldObject": {"kind": "GuardrailPolicy", "metadata": {"name": "p", "uid": "p-1"}},
        }})
        .to_string();
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        let request = envelope.request.as_ref().unwrap();
        let answer = if deny { out_of_reach(request, "leave it") } else { Answer::allowed() };
        alarm.attempted("u", request, half, &answer);
        let text = metrics.encode().unwrap();
        let counted = text.lines().find(|line| line.starts_with("smartops_webhook_own_object"));
        let event = events.waiting().map(|event| {
            let regarding = event.regarding.unwrap();
            let (kind, uid) = (regarding.kind.unwrap(), regarding.uid.unwrap());
            format!("{} {kind} {uid}: {}", event.reason.unwrap(), event.note.unwrap())
        });
        (counted.unwrap_or_default().to_owned(), event)
    }

    #[test]
    fn a_refused_write_is_counted_and_told_on_the_object_and_a_dry_run_only_counted() {
        let policies = ("smartops.dev", "guardrailpolicies");
        for (dry_run, half) in
            [(false, Half::Mutating), (false, Half::Validating), (true, Half::Validating)]
        {
            let (counted, event) = told(policies, dry_run, half, true);
            assert_eq!(
                counted,
                "smartops_webhook_own_object_attempts_total{decision=\"deny\",operation=\"UPDATE\",resource=\"guardrailpolicies\"} 1"
            );
            let expected = "AutomationDenied GuardrailPolicy p-1: SmartOps denies UPDATE of \
                            guardrailpolicies.smartops.dev p by bot: rule unnamed: leave it";
            assert_eq!(event.as_deref(), (!dry_run).then_some(expected));
        }
    }

    #[test]
    fn what_passes_is_counted_once_and_told_to_nobody() {
        let remediations = ("smartops.dev", "remediations");
        let (counted, event) = told(remediations, false, Half::Validating, false);
        assert!(counted.contains("decision=\"allow\"") && event.is_none(), "{counted}");
        assert_eq!(told(remediations, false, Half::Mutating, false), (String::new(), None));
    }

    #[test]
    fn what_is_not_ours_is_neither_counted_nor_told_and_what_nobody_knows_makes_no_label() {
        assert_eq!(
            told(("apps", "deployments"), false, Half::Validating, true),
            (String::new(), None)
        );
        let (counted, _) = told(("smartops.dev", "made-up"), false, Half::Validating, true);
        assert!(counted.contains("resource=\"other\""), "{counted}");
    }

    #[test]
    fn what_has_to_be_read_again_or_could_not_be_decided_is_no_attempt() {
        let denial = |rule, retry_after_seconds| {
            let cause = smartops_common::denial::Cause {
                policy: String::new(),
                rule,
                path: String::new(),
                message: String::new(),
            };
            Denial { message: String::new(), causes: vec![cause], retry_after_seconds }
        };
        for (rule, seconds, expected) in [
            (Rule::Invalid, None, true),
            (Rule::Unnamed, None, true),
            (Rule::Invalid, Some(1), false),
            (Rule::Undecided, None, false),
        ] {
            assert_eq!(is_an_attempt(&denial(rule, seconds)), expected, "{rule}");
        }
    }
}
