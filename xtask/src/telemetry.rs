//! `docs/telemetry.md` against the code: every metric that is registered stands there, and no other.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where metrics are registered.
const ROOMS: [&str; 4] = ["certs/src", "controller/src", "process/src", "webhook/src"];
/// How a metric of ours begins.
const PREFIXES: [&str; 2] = ["smartops_", "orchestrator_"];

/// What is quoted by this character and is spelled as a metric of ours.
fn quoted(text: &str, quote: char) -> BTreeSet<String> {
    let is_metric = |word: &&str| {
        PREFIXES.iter().any(|prefix| word.starts_with(prefix))
            && word.matches('_').count() > 1
            && word.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
    };
    text.split(quote).filter(is_metric).map(str::to_owned).collect()
}

/// The metrics named in the sources of a folder, their tests left out.
fn registered(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "tests" {
            found.extend(registered(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(quoted(text.split("#[cfg(test)]").next().unwrap_or_default(), '"'));
        }
    }
    found
}

#[test]
fn every_metric_is_documented_and_no_other() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let metrics: BTreeSet<String> =
        ROOMS.iter().flat_map(|room| registered(&root.join(room))).collect();
    let told = quoted(&fs::read_to_string(root.join("docs/telemetry.md")).unwrap(), '`');
    let missing: Vec<_> = metrics.difference(&told).collect();
    let surplus: Vec<_> = told.difference(&metrics).collect();
    assert!(missing.is_empty(), "not in docs/telemetry.md: {missing:?}");
    assert!(surplus.is_empty(), "in docs/telemetry.md, and nowhere registered: {surplus:?}");
}

#[test]
fn a_metric_is_told_from_other_words() {
    let text = r#"x("smartops_a_total", "smartops_webhook", "smartops_A_b", "kube_a_b")"#;
    assert_eq!(quoted(text, '"'), BTreeSet::from(["smartops_a_total".to_owned()]));
}
