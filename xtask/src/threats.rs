//! The claims in `docs/threats.md`: each names a test that exists, or says that it cannot be stopped here and who tells
//! of it. The rows are read as those of the traps are.

use std::path::Path;

use crate::traps;

/// How an answer begins that names no test.
const HONEST: &str = "Cannot be stopped here: ";

/// The claims that neither name a test nor own up.
fn evasions(table: &str) -> Vec<&str> {
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| nr "));
    let answers = rows.filter_map(|line| line.trim_matches('|').rsplit('|').next().map(str::trim));
    let is_owned = |answer: &&str| answer.starts_with('`') || answer.starts_with(HONEST);
    answers.filter(|answer| !answer.starts_with("---") && !is_owned(answer)).collect()
}

#[test]
fn every_claim_about_a_threat_names_a_test_that_exists_or_owns_up() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/threats.md");
    let table = std::fs::read_to_string(path).unwrap();
    let mistakes = traps::mistakes(&table, &traps::tests());
    assert!(mistakes.is_empty(), "docs/threats.md: {mistakes:#?}");
    assert_eq!(evasions(&table), [] as [&str; 0], "docs/threats.md");
}

#[test]
fn a_claim_that_neither_names_a_test_nor_owns_up_is_told() {
    let table = "| nr | claim | shown by |\n| --- | --- | --- |\n| A1 | x | `test` |\n| A2 | x | of course |\n\
                 | A3 | x | Cannot be stopped here: he holds etcd. |\n";
    assert_eq!(evasions(table), ["of course"]);
}
