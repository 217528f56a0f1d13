//! Recorded reviews, replayed: each is read as a change, and judged by the shipped policies as a person's and as
//! automation's. What is to come of each stands in `tests/fixtures/verdicts.txt`, a line a recording.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use smartops_change::{Bounds, Change};

use crate::admission::envelope::Envelope;
use crate::judge_command::{JudgeArgs, Output, run};
use crate::review;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures")
}

/// The recordings by name, without the number in front.
fn recordings() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(fixtures().join("reviews")).unwrap();
    files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let (_, name) = name.split_once('-').unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            (name.to_owned(), serde_json::from_str(&text).unwrap())
        })
        .collect()
}

/// What a change is of, and the numbers it moves.
fn told(change: &Change<'_>) -> String {
    let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let bound =
        |b: Option<Bounds>| b.map_or_else(|| "-".to_owned(), |b| format!("{}..{}", b.min, b.max));
    let parts = [
        Some(format!("{:?}", change.kind())),
        change.replicas().map(|n| format!("{}→{}", number(n.old), number(n.new))),
        change.bounds().map(|b| format!("{}→{}", bound(b.old), bound(b.new))),
        change.rolls_pods().then(|| "rolls".to_owned()),
        (!change.images().is_empty()).then(|| format!("images:{}", change.images().len())),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Automation that is not SmartOps' own.
const AGENT: &str = "system:serviceaccount:agents:bot";

/// Has these reviews judged by the shipped policies.
fn arguments(files: Vec<PathBuf>) -> JudgeArgs {
    JudgeArgs {
        files,
        policies: vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/policies.yaml")],
        config: None,
        namespaces: Vec::new(),
        now: None,
        changed_ago: None,
        scaled_ago: None,
        output: Output::Json,
    }
}

/// The verdicts, in the order of the reviews.
fn judged(arguments: &JudgeArgs) -> Vec<Value> {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    run(arguments, &mut output, &mut errors).unwrap();
    assert!(errors.is_empty(), "{}", String::from_utf8_lossy(&errors));
    serde_json::from_slice(&output).unwrap()
}

/// Judges every recording as this user, by the shipped policies: the rules that refused it, by recording.
fn verdicts(user: &str) -> BTreeMap<String, String> {
    let reviews: Vec<(String, Value)> = recordings()
        .into_iter()
        .map(|(name, mut review)| {
            review["request"]["userInfo"] =
                json!({"username": user, "groups": ["system:authenticated"]});
            (name, review)
        })
        .collect();
    let folder = std::env::temp_dir()
        .join(format!("smartops-replay-{}-{user}", std::process::id()).replace(':', "-"));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, review) in &reviews {
        std::fs::write(folder.join(format!("{name}.json")), review.to_string()).unwrap();
    }
    let namespace = folder.join("namespace.yaml");
    let shop = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
    std::fs::write(&namespace, shop.to_string()).unwrap();
    let config = folder.join("config.yaml");
    let spec = json!({"automation": {"users": [AGENT]}});
    let automation = json!({"apiVersion": "smartops.dev/v1alpha1", "kind": "SmartOpsConfig",
        "metadata": {"name": "default"}, "spec": spec});
    std::fs::write(&config, automation.to_string()).unwrap();
    let files = reviews.iter().map(|(name, _)| folder.join(format!("{name}.json"))).collect();
    let judged = judged(&JudgeArgs {
        config: Some(config),
        namespaces: vec![namespace],
        ..arguments(files)
    });
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(judged.len(), reviews.len());
    reviews.iter().zip(judged).map(|((name, _), judged)| (name.clone(), verdict(&judged))).collect()
}

/// `allowed`, or each rule that refused with its policy.
fn verdict(judged: &Value) -> String {
    if judged["allowed"] == true {
        return "allowed".to_owned();
    }
    let causes = judged["causes"].as_array().unwrap();
    let mut rules: Vec<String> = causes
        .iter()
        .map(|cause| {
            let (policy, rule) = (
                cause["policy"].as_str().unwrap_or_default(),
                cause["rule"].as_str().unwrap_or_default(),
            );
            if policy.is_empty() { rule.to_owned() } else { format!("{policy}/{rule}") }
        })
        .collect();
    rules.sort_unstable();
    rules.dedup();
    rules.join(" ")
}

#[test]
fn every_recorded_review_is_read_and_judged_as_the_table_says() {
    let (person, automation) = (verdicts("alice"), verdicts(AGENT));
    let rows: Vec<String> = recordings()
        .iter()
        .map(|(name, review)| {
            let body = review.to_string();
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            let request = envelope.request.unwrap();
            let change = review::read(&request).unwrap_or_else(|error| panic!("{name}: {error}"));
            let told = told(&change);
            format!("{name} | {told} | {} | {}", person[name], automation[name])
        })
        .collect();
    let path = fixtures().join("verdicts.txt");
    let table = std::fs::read_to_string(&path).unwrap_or_default();
    let expected: Vec<&str> = table.lines().filter(|line| !line.starts_with('#')).collect();
    let differ: Vec<String> = rows
        .iter()
        .filter(|row| !expected.contains(&row.as_str()))
        .cloned()
        .chain(
            expected
                .iter()
                .filter(|row| !rows.iter().any(|r| r == *row))
                .map(|row| format!("(stands there) {row}")),
        )
        .collect();
    assert!(differ.is_empty(), "{}:\n{}", path.display(), differ.join("\n"));
}

/// A Remediation whose open attempt announces this intent for the object of a recorded review.
fn announcing(review: &Value, intent: &Value) -> Value {
    let old = &review["request"]["oldObject"];
    let uid = &old["metadata"]["uid"];
    let generation = old["metadata"]["generation"].as_i64().unwrap_or(1);
    let attempt = json!({
        "number": 1, "kind": "Apply", "intent": intent, "former": {"replicas": old["spec"]["replicas"]},
        "target": {
            "uid": uid, "generation": generation,
            "resourceVersion": old["metadata"]["resourceVersion"],
        },
        "leader": "orchestrator-1/1", "startedAt": "2026-01-01T00:00:00Z", "deadline": "2026-01-01T00:00:30Z",
    });
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "Remediation",
        "metadata": {"name": "r", "namespace": review["request"]["namespace"], "uid": "r"},
        "spec": {
            "target": {"kind": "Deployment", "name": review["request"]["name"], "uid": uid},
            "action": {"type": "restart"}, "cause": "rca/memory_leak", "source": "closed-loop",
            "requestedBy": "detector", "createdBy": "controller",
        },
        "status": {"phase": "Executing", "attempts": [attempt]},
    })
}

#[test]
fn what_the_controller_wrote_passes_with_the_attempt_that_announced_it_and_with_no_other() {
    let recordings = recordings();
    let scale = |replicas: i32| json!({"type": "scale", "replicas": replicas});
    let restart = |at: &str| json!({"type": "restart", "restartedAt": at});
    let patch = |cpu: &str| {
        let resources = json!({"requests": {"cpu": cpu}});
        let name = &recordings["the-controller-patches-resources"]["request"]["oldObject"]["spec"]
            ["template"]["spec"]["containers"][0]["name"];
        let containers = json!([{"name": name, "resources": resources}]);
        let body = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        json!({"type": "patch", "patch": {"format": "strategic", "body": body.to_string()}})
    };
    let folder = std::env::temp_dir().join(format!("smartops-replay-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, announced, another) in [
        ("the-controller-tries-a-scale", scale(3), scale(4)),
        ("the-controller-scales", scale(3), scale(1)),
        (
            "the-controller-restarts",
            restart("2026-01-01T00:00:01Z"),
            restart("2026-01-01T00:00:02Z"),
        ),
        ("the-controller-patches-resources", patch("0.15"), patch("151m")),
    ] {
        let review = &recordings[name];
        let file = folder.join("review.json");
        std::fs::write(&file, review.to_string()).unwrap();
        let with = |remediation: Option<Value>| {
            let mut arguments = arguments(vec![file.clone()]);
            arguments.now = Some("2026-01-01T00:00:02Z".parse().unwrap());
            if let Some(remediation) = remediation {
                let announced = folder.join("remediation.json");
                std::fs::write(&announced, remediation.to_string()).unwrap();
                arguments.policies.push(announced);
            }
            verdict(&judged(&arguments)[0])
        };
        let refused = "smartops-controller/warrant";
        assert_eq!(with(None), refused, "{name}");
        assert_eq!(with(Some(announcing(review, &announced))), "allowed", "{name}");
        assert_eq!(with(Some(announcing(review, &another))), refused, "{name}");
        let mut moved = announcing(review, &announced);
        moved["status"]["attempts"][0]["target"]["resourceVersion"] = json!("99");
        assert_eq!(with(Some(moved)), refused, "{name}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_control_planes_own_writes_are_never_held_up() {
    let own: Vec<Value> = recordings()
        .into_iter()
        .filter(|(name, _)| name.starts_with("the-") && !name.starts_with("the-controller-"))
        .map(|(_, review)| review)
        .filter(|review| {
            review["request"]["userInfo"]["username"]
                .as_str()
                .is_some_and(|user| user.starts_with("system:"))
        })
        .collect();
    assert!(own.len() >= 8, "{} recordings", own.len());
    for review in own {
        let user = review["request"]["userInfo"]["username"].as_str().unwrap();
        assert!(smartops_common::names::is_control_plane(user), "{user}");
    }
}
