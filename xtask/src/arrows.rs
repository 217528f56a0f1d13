//! Which crates of the workspace may know which: read from `cargo metadata`, dev- and build-dependencies included.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::run;

/// Every allowed arrow. Above all: nothing in the controller reaches guard, directly or through another crate.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("change", &[]),
    ("common", &["change"]),
    ("guard", &["common", "change"]),
    ("process", &["common"]),
    ("certs", &["process", "common"]),
    ("webhook", &["guard", "certs", "process", "common", "change"]),
    ("controller", &["certs", "process", "common", "change"]),
    ("manifests", &["guard", "common"]),
    ("tests", &[]),
    ("xtask", &[]),
];

/// The arrows of the workspace: crate → crates of ours it names, without the prefix `smartops-`.
fn arrows(metadata: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let room = |name: &Value| {
        let name = name.as_str().unwrap_or_default();
        name.strip_prefix("smartops-").unwrap_or(name).to_owned()
    };
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            // A dependency with a path is one of ours, whatever it is called.
            let dependencies = package["dependencies"].as_array().unwrap();
            let ours = dependencies.iter().filter(|dependency| dependency["path"].is_string());
            (room(&package["name"]), ours.map(|dependency| room(&dependency["name"])).collect())
        })
        .collect()
}

/// Arrows that are not allowed, as `from → to`.
fn offending(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut found = Vec::new();
    for (from, targets) in arrows {
        for to in targets {
            if !allowed.get(from.as_str()).is_some_and(|list| list.contains(&to.as_str())) {
                found.push(format!("{from} → {to}"));
            }
        }
    }
    found
}

/// Everything `from` reaches.
fn reached(arrows: &BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(next) = open.pop() {
        for to in arrows.get(&next).into_iter().flatten() {
            if seen.insert(to.clone()) {
                open.push(to.clone());
            }
        }
    }
    seen
}

fn metadata() -> Value {
    let output = run::cargo()
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn crates_know_each_other_by_the_allowed_arrows_only() {
    let arrows = arrows(&metadata());
    let offending = offending(&arrows);
    assert!(offending.is_empty(), "not allowed: {offending:?}; see docs/architecture.md");
    let rooms: Vec<&str> = arrows.keys().map(String::as_str).collect();
    for (room, _) in ALLOWED {
        assert!(rooms.contains(&room), "{room} is listed here and is no crate");
    }
}

#[test]
fn the_controller_reaches_no_judgement() {
    let reached = reached(&arrows(&metadata()), "controller");
    assert!(reached.contains("common"), "{reached:?}");
    assert!(!reached.contains("guard"), "{reached:?}");
}

#[test]
fn a_forbidden_arrow_is_named_even_among_dev_dependencies() {
    let metadata = serde_json::json!({"packages": [
        {"name": "smartops-controller", "dependencies": [
            {"name": "smartops-common", "path": "/x/common", "kind": null},
            {"name": "smartops-guard", "path": "/x/guard", "kind": "dev"},
            {"name": "serde", "kind": null},
        ]},
        {"name": "newcomer", "dependencies": [{"name": "smartops-change", "path": "/x/change"}]},
    ]});
    assert_eq!(offending(&arrows(&metadata)), ["controller → guard", "newcomer → change"]);
}
