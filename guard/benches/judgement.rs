//! What a judgement costs beside parsing the same bytes: a recorded update of a 10 KB Deployment, from the text of its
//! review to the verdict. Run by `cargo xtask bench guard`; fails where a floor is not kept. Times are medians of
//! interleaved rounds in one run, so that only their ratios say anything.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use smartops_change::{Change, Operation, Request, Resource, TemplateDigest};
use smartops_common::config::SmartOpsConfigSpec;
use smartops_guard::history::{Recent, Record, Rolled};
use smartops_guard::policy::{CompiledPolicy, GuardrailPolicySpec, Index, compile};
use smartops_guard::{
    Approvals, Facts, Judgement, Origin, Related, Revisions, Subject, Warrants, Watched, Whole,
    judge,
};

/// The recorded review, as `cargo xtask record` stores it.
const RECORDED: &str =
    include_str!("../../tests/fixtures/reviews/37-kubectl-set-image-of-a-large-deployment.json");
/// Rounds, and judgements in each.
const ROUNDS: usize = 60;
const EACH: u32 = 200;
/// A judgement may cost so many times a parse.
const FLOOR: f64 = 2.0;
/// Policies of other namespaces may add such a part to it.
const FLOOR_ELSEWHERE: f64 = 1.1;
const ELSEWHERE: usize = 10_000;

/// What a judgement reads of a review.
#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    request: Asked<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    name: &'a str,
    namespace: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
    #[serde(borrow)]
    old_object: &'a RawValue,
}

fn main() -> ExitCode {
    match measure() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(&format!("the bench cannot run: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<bool, Box<dyn std::error::Error>> {
    // As the API server sends it: without a blank.
    let text = serde_json::from_str::<Value>(RECORDED)?.to_string();
    let namespace = serde_json::from_str::<Review<'_>>(&text)?.request.namespace.to_owned();
    let twenty = policies(20, &[&namespace])?;
    let mut crowded = policies(20, &[&namespace])?;
    crowded.extend(policies(ELSEWHERE, &["elsewhere"])?);
    let mut with_cel = policies(20, &[&namespace])?;
    with_cel.push(expressions(&namespace)?);
    let indexes = [twenty, crowded, with_cel].map(|policies| index(&policies, &namespace));
    for index in &indexes {
        check(&text, index)?;
    }
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        times[0].push(timed(|| {
            black_box(serde_json::from_str::<Value>(black_box(&text))).map(drop).ok()
        }));
        for (times, index) in times[1..].iter_mut().zip(&indexes) {
            times.push(timed(|| judged(black_box(&text), index).map(drop)));
        }
    }
    let [parse, judged, crowded, cel] = times.map(median);
    let ratio = |time: Duration| time.as_secs_f64() / parse.as_secs_f64();
    let elsewhere = crowded.as_secs_f64() / judged.as_secs_f64();
    let line = |what: &str, time: Duration| {
        tell(&format!("{what:<58} {:>8.1} µs  {:>5.2}×", time.as_secs_f64() * 1e6, ratio(time)));
    };
    tell(&format!("one review of {} bytes", text.len()));
    line("parse into a Value", parse);
    line("judge by 20 policies of built-in rules", judged);
    line("the same, with 10,000 policies of other namespaces", crowded);
    line("the same, with a policy of 4 rules in CEL", cel);
    let kept = ratio(judged) <= FLOOR && elsewhere <= FLOOR_ELSEWHERE;
    tell(&format!(
        "floors: {:.2} of at most {FLOOR}, {elsewhere:.3} of at most {FLOOR_ELSEWHERE}: {}",
        ratio(judged),
        if kept { "kept" } else { "NOT KEPT" }
    ));
    Ok(kept)
}

/// Policies with every built-in rule that an update of a Deployment meets; of every four, one has a freeze.
fn policies(
    many: usize,
    namespaces: &[&str],
) -> Result<Vec<Arc<CompiledPolicy>>, Box<dyn std::error::Error>> {
    let spec: GuardrailPolicySpec = serde_json::from_value(serde_json::json!({
        "match": {
            "kinds": [{"group": "apps", "resource": "deployments"}],
            "operations": ["CREATE", "UPDATE"],
            "namespaces": {"selector": {"matchExpressions": [
                {"key": "name", "operator": "In", "values": namespaces}]}},
            "objects": {"matchLabels": {"app": "checkout"}},
            "subjects": {"exclude": {"groups": ["platform-admins"]}},
        },
        "rules": {
            "replicas": {"min": 1, "max": 10, "maxStep": 2, "stepWindowSeconds": 300},
            "cooldown": {"restartSeconds": 120, "scaleSeconds": 60},
            "paths": {"forbid": ["spec.template.spec.securityContext", "spec.template.spec.volumes",
                "spec.template.spec.containers[].securityContext", "spec.template.spec.hostAliases"]},
            "images": {"registries": ["docker.io", "ghcr.io", "registry.k8s.io", "registry.example.com"],
                "forbidTags": ["latest"]},
            "resources": {"maxIncreaseRatio": 2.0},
            "budget": {"perTarget": {"changes": 10, "windowSeconds": 3600}},
        },
    }))?;
    let mut freezing = spec.clone();
    freezing.rules.freeze = serde_json::from_value(serde_json::json!([
        {"cron": "0 18 * * 5", "timeZone": "Europe/Berlin", "durationSeconds": 216_000}]))?;
    let spec_of = |nth: usize| if nth.is_multiple_of(4) { &freezing } else { &spec };
    (0..many).map(|nth| Ok(Arc::new(compile(&format!("policy-{nth}"), spec_of(nth))?))).collect()
}

/// A policy of rules in CEL.
fn expressions(namespace: &str) -> Result<Arc<CompiledPolicy>, Box<dyn std::error::Error>> {
    let rule =
        |name: &str, expression: &str| serde_json::json!({"name": name, "expression": expression});
    let spec: GuardrailPolicySpec = serde_json::from_value(serde_json::json!({
        "match": {
            "kinds": [{"group": "apps", "resource": "deployments"}],
            "operations": ["UPDATE"],
            "namespaces": {"selector": {"matchLabels": {"name": namespace}}},
        },
        "rules": {"custom": [
            rule("few", "object.spec.replicas <= 50"),
            rule("named", "object.spec.template.spec.containers.all(c, c.name != 'debug')"),
            rule("kept", "object.spec.selector.matchLabels == oldObject.spec.selector.matchLabels"),
            rule("someone", "request.userInfo.username != 'nobody'"),
        ]},
    }))?;
    Ok(Arc::new(compile("expressions", &spec)?))
}

fn index(policies: &[Arc<CompiledPolicy>], namespace: &str) -> Index {
    let label = |name: &str| [("name".to_owned(), name.to_owned())].into();
    let labels = [(namespace, label(namespace)), ("elsewhere", label("elsewhere"))];
    let namespaces = labels.iter().map(|(name, labels)| (*name, labels));
    Index::build(policies, namespaces, &SmartOpsConfigSpec::default())
}

/// One review from its text to its verdict.
fn judged(text: &str, index: &Index) -> Option<Judgement> {
    let Review { request } = serde_json::from_str(text).ok()?;
    let change = Change::read(Request {
        operation: Operation::Update,
        resource: Resource {
            group: "apps",
            version: "v1",
            resource: "deployments",
            subresource: "",
        },
        namespace: Some(request.namespace),
        name: request.name,
        old: Some(request.old_object.get()),
        new: Some(request.object.get()),
    })
    .ok()?;
    let groups = ["system:authenticated"];
    let subject = Subject::new(&SmartOpsConfigSpec::default(), "alice", &groups);
    let record = Record {
        generation: i64::MAX,
        template: TemplateDigest::NOTHING,
        replicas: Some(3),
        rolled: Rolled::Never,
        scaled: Rolled::Never,
        recent: Recent::new(),
    };
    let facts = Facts {
        policies: index.policies(change.namespace()),
        selecting: index.selecting(change.name()),
        watched: Watched::Seen(&record),
        namespace: None,
        revisions: Revisions::NotAsked,
        related: Related::NotAsked,
        whole: Whole::NotAsked,
        exceptions: &[],
        dry_run: false,
        warrants: Warrants::NotAsked,
        approvals: Approvals::NotAsked,
        origin: Origin::NotAsked,
        approval_expiry: SignedDuration::ZERO,
    };
    let now = jiff::Timestamp::UNIX_EPOCH;
    Some(judge(&change, &subject, &facts, now))
}

/// That what is measured is a judgement by all policies that comes to an end.
fn check(text: &str, index: &Index) -> Result<(), Box<dyn std::error::Error>> {
    match judged(text, index) {
        Some(Judgement::Final(verdict)) if verdict.denial().is_none() => Ok(()),
        other => Err(format!("the recorded update should pass, and came to {other:?}").into()),
    }
}

fn timed(mut once: impl FnMut() -> Option<()>) -> Duration {
    let start = Instant::now();
    for _ in 0..EACH {
        black_box(once());
    }
    start.elapsed() / EACH
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn tell(line: &str) {
    use std::io::Write;
    // Nobody reads on: nothing to be done about it.
    let _told = writeln!(std::io::stdout(), "{line}");
}
