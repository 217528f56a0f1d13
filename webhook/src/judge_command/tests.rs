use clap::Parser;
use serde_json::json;

use super::*;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    judge: JudgeArgs,
}

/// A folder of this test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("smartops-judge-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

const POLICY: &str = "\
apiVersion: smartops.dev/v1alpha1
kind: GuardrailPolicy
metadata: {name: small}
spec:
  match:
    kinds: [{group: apps, resource: deployments}, {group: apps, resource: deployments/scale}]
    operations: [UPDATE]
    namespaces: {guarded: true}
  rules:
    replicas: {max: 5}
    cooldown: {scaleSeconds: 60}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop}
";

fn scale(replicas: u32) -> Value {
    let scale = |n: u32| json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": {"replicas": n}});
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "UPDATE", "name": "web", "namespace": "shop",
        "resource": {"group": "apps", "version": "v1", "resource": "deployments"}, "subResource": "scale",
        "userInfo": {"username": "alice"}, "oldObject": scale(3), "object": scale(replicas),
    }})
}

/// Exit code, what was written, and what was wrong.
fn run_with(arguments: &[&str]) -> (u8, String, String) {
    let args = Program::try_parse_from([&["judge"], arguments].concat()).unwrap().judge;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let code = run(&args, &mut output, &mut errors).unwrap();
    let code = (0..3).find(|known| format!("{:?}", ExitCode::from(*known)) == format!("{code:?}"));
    (code.unwrap(), String::from_utf8(output).unwrap(), String::from_utf8(errors).unwrap())
}

#[test]
fn a_review_is_judged_by_the_policies_given_and_the_exit_code_says_what_came_of_it() {
    let folder = Folder::new("codes");
    let policy = folder.file("policy.yaml", POLICY);
    let good = folder.file("good.json", &scale(5).to_string());
    let bad = folder.file("bad.json", &scale(6).to_string());
    let (code, text, _) = run_with(&["-f", &good, "-p", &policy]);
    assert_eq!((code, text.lines().last()), (0, Some("1 judged, 0 denied")), "{text}");
    let (code, text, _) = run_with(&["-f", &good, "-f", &bad, "-p", &policy]);
    assert_eq!(code, 1);
    assert!(text.contains("denied: UPDATE of deployments.apps/scale shop/web by alice"), "{text}");
    assert!(text.contains("  small/replicas at spec.replicas: spec.replicas 3 → 6"), "{text}");
    assert_eq!(text.lines().last(), Some("2 judged, 1 denied"));
}

#[test]
fn an_exception_among_the_policies_lifts_what_it_says_until_its_end() {
    let folder = Folder::new("exceptions");
    let policy = folder.file("policy.yaml", POLICY);
    let review = folder.file("review.json", &scale(6).to_string());
    let exception = |ticket: &str| {
        let text = json!({
            "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailException",
            "metadata": {"namespace": "shop", "name": "sale"},
            "spec": {
                "policy": "small", "rules": ["replicas"],
                "target": {"group": "apps", "kind": "Deployment", "name": "web"},
                "reason": "the sale", "ticket": ticket, "expiresAt": "2026-01-01T12:00:00Z",
            },
        });
        folder.file("exception.json", &text.to_string())
    };
    let file = exception("T-1");
    let at = |now: &str| run_with(&["-f", &review, "-p", &policy, "-p", &file, "--now", now]);
    let (code, text, _) = at("2026-01-01T11:59:59Z");
    assert!(code == 0 && text.contains("excepted by shop/sale"), "{text}");
    assert_eq!(at("2026-01-01T12:00:00Z").0, 1);
    let file = exception("");
    let (code, _, errors) = run_with(&["-f", &review, "-p", &policy, "-p", &file]);
    assert!(code == 2 && errors.contains("exception shop/sale: spec.ticket"), "{errors}");
}

#[test]
fn what_only_a_cluster_knows_is_given_by_flags() {
    let folder = Folder::new("flags");
    let policy = folder.file("policy.yaml", POLICY);
    let review = folder.file("review.json", &scale(4).to_string());
    let now = ["--now", "2026-01-01T12:00:00Z"];
    let with =
        |more: &[&str]| run_with(&[&["-f", &review, "-p", &policy], &now[..], more].concat());
    assert_eq!(with(&[]).0, 0);
    assert_eq!(with(&["--scaled-ago", "2m"]).0, 0);
    let (code, text, _) = with(&["--scaled-ago", "20s"]);
    assert!(code == 1 && text.contains("small/cooldown"), "{text}");
}

#[test]
fn lists_arrays_and_streams_are_taken_apart_and_json_comes_out_on_demand() {
    let folder = Folder::new("streams");
    let policy = folder.file("policy.yaml", POLICY);
    let list = json!({"kind": "List", "items": [scale(4), scale(9)]}).to_string();
    for (name, text) in [
        ("list.json", list),
        ("array.json", json!([scale(4), scale(9)]).to_string()),
        ("stream.json", format!("{}\n{}", scale(4), scale(9))),
        ("stream.yaml", format!("---\n{}\n---\n{}\n", scale(4), scale(9))),
    ] {
        let file = folder.file(name, &text);
        let (code, text, _) = run_with(&["-f", &file, "-p", &policy, "--output", "json"]);
        assert_eq!(code, 1, "{name}");
        let judged: Vec<Value> = serde_json::from_str(&text).unwrap();
        let allowed: Vec<_> = judged.iter().map(|j| j["allowed"].as_bool().unwrap()).collect();
        assert_eq!(allowed, [true, false], "{name}");
        assert_eq!(judged[1]["causes"][0]["rule"], "replicas", "{name}");
    }
}

#[test]
fn a_clamp_is_told_and_what_it_makes_of_the_object_is_judged() {
    let folder = Folder::new("clamp");
    let policy =
        folder.file("policy.yaml", &POLICY.replace("{max: 5}", "{max: 5, onViolation: Clamp}"));
    let review = folder.file("review.json", &scale(9).to_string());
    let (code, text, _) = run_with(&["-f", &review, "-p", &policy]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("  clamped: /spec/replicas to 5"), "{text}");
}

#[test]
fn what_cannot_be_used_is_told_and_judges_nothing() {
    let folder = Folder::new("unusable");
    let policy = folder.file("policy.yaml", POLICY);
    let bad_policy = folder.file("bad.yaml", &POLICY.replace("{max: 5}", "{min: 9, max: 5}"));
    let review = folder.file("review.json", &scale(4).to_string());
    let no_review = folder.file("no-review.json", "{\"kind\":\"Pod\"}");
    let no_json = folder.file("no-json.json", "{");
    for (file, policies, word) in [
        (&review, &bad_policy, "spec.rules.replicas"),
        (&no_review, &policy, "no request"),
        (&no_json, &policy, "cannot be read"),
        (&"/no/such/file".to_owned(), &policy, "cannot be read"),
        (&review, &review, "no GuardrailPolicy"),
    ] {
        let (code, text, errors) = run_with(&["-f", file, "-p", policies]);
        assert_eq!((code, text.as_str()), (2, ""), "{file}");
        assert!(errors.contains(word), "{file}: {errors}");
    }
}

#[test]
fn times_are_whole_numbers_with_a_unit() {
    for (text, seconds) in [("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86_400)] {
        assert_eq!(duration(text), Ok(Duration::from_secs(seconds)));
    }
    for text in ["", "s", "5", "-1s", "1.5h", "5ms"] {
        assert!(duration(text).is_err(), "{text}");
    }
}
