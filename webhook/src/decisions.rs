//! What is told about each decision: one structured log line, and the metrics. No object's content is told beyond
//! what the denial itself says.

pub mod recent;

use std::time::Duration;

use smartops_common::denial::Denial;
use smartops_guard::{Effect, Outcome};
use smartops_process::telemetry::traces;

use crate::admission::envelope::{Envelope, Request};
use crate::admission::reply::Answer;
use crate::admission::{Audience, Half};
use crate::metrics::WebhookMetrics;

/// Resources that stand in metrics by their own name; any other is `other`, so that nobody can make labels grow.
const RESOURCES: [&str; 32] = [
    "bindings",
    "configmaps",
    "controllerrevisions",
    "cronjobs",
    "daemonsets",
    "deployments",
    "endpoints",
    "horizontalpodautoscalers",
    "ingresses",
    "jobs",
    "limitranges",
    "namespaces",
    "networkpolicies",
    "nodes",
    "persistentvolumeclaims",
    "persistentvolumes",
    "poddisruptionbudgets",
    "pods",
    "podtemplates",
    "replicasets",
    "replicationcontrollers",
    "resourcequotas",
    "rolebindings",
    "roles",
    "clusterroles",
    "clusterrolebindings",
    "secrets",
    "serviceaccounts",
    "services",
    "statefulsets",
    "ingressclasses",
    "ipaddresses",
];
/// Subresources that stand in metrics by their own name.
const SUBRESOURCES: [&str; 12] = [
    "",
    "scale",
    "status",
    "exec",
    "attach",
    "portforward",
    "proxy",
    "eviction",
    "ephemeralcontainers",
    "binding",
    "token",
    "finalize",
];
/// Operations as they stand in metrics.
const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "CONNECT"];

/// A decision, as it is told.
#[derive(Debug)]
pub struct Decision<'a> {
    /// The review.
    pub envelope: &'a Envelope<'a>,
    /// By which path it came.
    pub audience: Audience,
    /// Which half was asked.
    pub half: Half,
    /// Whether the user was found to be automation.
    pub automation: bool,
    /// The answer.
    pub answer: &'a Answer,
    /// What each rule said that said anything.
    pub outcomes: &'a [Outcome],
    /// From the review's head to its decision.
    pub took: Duration,
}

/// Tells a decision.
pub fn tell(decision: &Decision<'_>, metrics: &WebhookMetrics) {
    let verdict = verdict(decision.answer);
    metrics
        .duration
        .with_label_values(&[decision.audience.as_str(), verdict])
        .observe(decision.took.as_secs_f64());
    count(decision, verdict, metrics);
    trace(decision, verdict);
    match &decision.envelope.request {
        Ok(request) => log(decision, request, verdict),
        Err(problem) => tracing::warn!(
            uid = %decision.envelope.uid,
            audience = decision.audience.as_str(),
            problem,
            "a review could not be read and was denied"
        ),
    }
}

fn verdict(answer: &Answer) -> &'static str {
    match (&answer.denial, &answer.patch) {
        (Some(_), _) => "deny",
        (None, Some(_)) => "clamp",
        (None, None) => "allow",
    }
}

/// What the span of the request says of the review.
fn trace(decision: &Decision<'_>, verdict: &str) {
    traces::say("smartops.review.uid", &decision.envelope.uid);
    traces::say("smartops.review.verdict", verdict);
    if let Some(rule) = decision.answer.denial.as_ref().and_then(Denial::leading_rule) {
        traces::say("smartops.review.rule", rule.as_str());
    }
    let Ok(request) = &decision.envelope.request else { return };
    traces::say("smartops.review.operation", &request.operation);
    traces::say("smartops.review.resource", &request.resource.resource);
    if let Some(namespace) = &request.namespace {
        traces::say("k8s.namespace.name", namespace);
    }
    if request.resource.resource == "deployments" {
        traces::say("k8s.deployment.name", &request.name);
    }
}

fn count(decision: &Decision<'_>, verdict: &'static str, metrics: &WebhookMetrics) {
    let request = decision.envelope.request.as_ref().ok();
    let operation = request.map_or("other", |r| known(&OPERATIONS, &r.operation));
    let resource = request.map_or("other", |r| known(&RESOURCES, &r.resource.resource));
    let subresource = request.map_or("other", |r| known(&SUBRESOURCES, &r.sub_resource));
    let dry_run = if request.is_some_and(Request::is_dry_run) { "true" } else { "false" };
    let add = |policy: &str, rule: &str, verdict: &str| {
        let audience = decision.audience.as_str();
        metrics
            .decisions
            .with_label_values(&[
                policy,
                rule,
                verdict,
                operation,
                resource,
                subresource,
                audience,
                dry_run,
            ])
            .inc();
    };
    // The validating half decides; the mutating half is counted only where it did something.
    let cause = decision.answer.denial.as_ref().and_then(|d| d.causes.first());
    if let Some(cause) = cause {
        add(&cause.policy, cause.rule.as_str(), "deny");
    } else if decision.half == Half::Validating {
        add("", "", verdict);
    }
    for outcome in decision.outcomes.iter().filter(|o| o.effect != Effect::Deny) {
        add(&outcome.policy, outcome.rule.as_str(), outcome.effect.as_str());
    }
}

fn known(names: &[&'static str], name: &str) -> &'static str {
    names.iter().find(|known| **known == name).copied().unwrap_or("other")
}

/// One line with the same fields whatever the level: a denial is a warning, automation's writes are worth a line,
/// people's allowed ones only to whoever looks closer.
macro_rules! line {
    ($level:ident, $decision:expr, $request:expr, $verdict:expr, $message:literal) => {{
        let (decision, request) = ($decision, $request);
        let cause = decision.answer.denial.as_ref().and_then(|d| d.causes.first());
        tracing::$level!(
            uid = %decision.envelope.uid,
            audience = decision.audience.as_str(),
            half = decision.half.as_str(),
            automation = decision.automation,
            user = %request.user_info.username,
            operation = %request.operation,
            group = %request.resource.group,
            resource = %request.resource.resource,
            subresource = %request.sub_resource,
            namespace = request.namespace.as_deref(),
            name = %request.name,
            dry_run = request.is_dry_run(),
            decision = $verdict,
            policy = cause.map(|c| c.policy.as_str()),
            rule = cause.map(|c| c.rule.as_str()),
            path = cause.map(|c| c.path.as_str()),
            reason = decision.answer.denial.as_ref().map(|d| d.message.as_str()),
            warnings = decision.answer.warnings.len(),
            took_us = u64::try_from(decision.took.as_micros()).unwrap_or(u64::MAX),
            $message
        );
    }};
}

fn log(decision: &Decision<'_>, request: &Request<'_>, verdict: &'static str) {
    if decision.answer.denial.is_some() {
        line!(warn, decision, request, verdict, "denied");
    } else if decision.half == Half::Validating {
        line!(info, decision, request, verdict, "allowed");
    } else if decision.answer.patch.is_some() {
        line!(info, decision, request, verdict, "clamped");
    } else {
        line!(debug, decision, request, verdict, "allowed");
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::denial::Rule;
    use smartops_process::metrics::Metrics;

    use super::*;

    fn body(resource: &str) -> String {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "resource":{{"group":"apps","version":"v1","resource":"{resource}"}},"operation":"UPDATE",
            "userInfo":{{"username":"a"}},"dryRun":true}}}}"#
        )
    }

    fn told(resource: &str, answer: &Answer, outcomes: &[Outcome]) -> String {
        let metrics = Metrics::new("webhook").unwrap();
        let webhook = WebhookMetrics::new(&metrics).unwrap();
        let body = body(resource);
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        let decision = Decision {
            envelope: &envelope,
            audience: Audience::People,
            half: Half::Validating,
            automation: false,
            answer,
            outcomes,
            took: Duration::from_micros(80),
        };
        tell(&decision, &webhook);
        metrics.encode().unwrap()
    }

    #[test]
    fn a_denial_is_counted_under_its_leading_rule_and_an_allowed_write_under_none() {
        let text = told("deployments", &Answer::undecided("why"), &[]);
        let expected = "smartops_webhook_decisions_total{audience=\"people\",decision=\"deny\",dry_run=\"true\",\
                        operation=\"UPDATE\",policy=\"\",resource=\"deployments\",rule=\"undecided\",subresource=\"\"} 1";
        assert!(text.contains(expected), "{text}");
        let text = told("deployments", &Answer::allowed(), &[]);
        assert!(text.contains("decision=\"allow\"") && text.contains("rule=\"\""), "{text}");
    }

    #[test]
    fn a_resource_nobody_knows_makes_no_label_of_its_own() {
        let text = told("made-up-by-a-stranger", &Answer::allowed(), &[]);
        assert!(text.contains("resource=\"other\"") && !text.contains("stranger"), "{text}");
    }

    #[test]
    fn a_warning_is_counted_beside_the_allowed_write() {
        let outcome = Outcome { policy: "p".into(), rule: Rule::Replicas, effect: Effect::Warn };
        let text = told("deployments", &Answer::allowed(), &[outcome]);
        assert!(text.contains("decision=\"warn\"") && text.contains("policy=\"p\""), "{text}");
        assert!(text.contains("decision=\"allow\""), "{text}");
    }
}
