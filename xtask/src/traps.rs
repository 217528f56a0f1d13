//! The tables of traps and of the contract in `docs/traps.md` and `docs/contract.md`: a test named there exists, and a
//! row without one explains itself.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// A row without a test is a decision, and a decision in fewer characters than this explains nothing.
const SHORTEST_DECISION: usize = 120;

/// What is wrong with the rows of a table, given the names of all tests.
pub(crate) fn mistakes(table: &str, tests: &HashSet<String>) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut seen = HashSet::new();
    for line in table.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, answer] = cells[..] else {
            mistakes.push(format!("not three cells: {line}"));
            continue;
        };
        if number == "nr" || number.starts_with("---") {
            continue;
        }
        if !seen.insert(number) {
            mistakes.push(format!("{number} stands twice"));
        }
        if !answer.starts_with('`') {
            if answer.chars().count() < SHORTEST_DECISION {
                mistakes.push(format!("{number} names no test and explains itself too shortly"));
            }
            continue;
        }
        for name in answer.split(',').map(|name| name.trim().trim_matches('`')) {
            if !tests.contains(name) {
                mistakes.push(format!("{number}: there is no test {name}"));
            }
        }
    }
    mistakes
}

/// The functions that follow a test attribute, in every Rust file of the repository.
pub(crate) fn tests() -> HashSet<String> {
    let mut tests = HashSet::new();
    tests_below(&root(), &mut tests);
    tests
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The functions that follow a test attribute, in every Rust file below a folder.
fn tests_below(folder: &Path, names: &mut HashSet<String>) {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in entries.collect::<Vec<PathBuf>>() {
        if path.is_dir() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if !name.starts_with('.') && name != "target" {
                tests_below(&path, names);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[test") || line.starts_with("#[tokio::test") {
                    is_test = true;
                } else if let Some((_, rest)) = line.split_once("fn ") {
                    if is_test && let Some((name, _)) = rest.split_once('(') {
                        names.insert(name.to_owned());
                    }
                    is_test = false;
                }
            }
        }
    }
}

#[test]
fn every_trap_is_answered_by_a_test_that_exists_or_by_a_reason() {
    let table = std::fs::read_to_string(root().join("docs/traps.md")).unwrap();
    let mistakes = mistakes(&table, &tests());
    assert!(mistakes.is_empty(), "docs/traps.md: {mistakes:#?}");
}

#[test]
fn every_line_of_the_contract_is_shown_by_tests_that_exist() {
    let table = std::fs::read_to_string(root().join("docs/contract.md")).unwrap();
    let mistakes = mistakes(&table, &tests());
    assert!(mistakes.is_empty(), "docs/contract.md: {mistakes:#?}");
}

#[test]
fn a_missing_test_a_short_reason_and_a_row_that_stands_twice_are_told() {
    let table = "| nr | trap | test |\n| --- | --- | --- |\n| A1 | x | `known` |\n| A1 | x | `known`, `unknown` |\n\
                 | A2 | x | because |\n| A3 | x |\n";
    let tests = HashSet::from(["known".to_owned()]);
    assert_eq!(mistakes(table, &tests).len(), 4);
}
