//! The number of ways around the guard that are tried, as the README tells it.

use std::path::Path;

/// How many tests the Rust files of a folder hold.
fn tests_in(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| std::fs::read_to_string(path).unwrap())
        .map(|text| text.lines().filter(|line| line.trim() == "#[test]").count())
        .sum()
}

/// The number before the words by which the README speaks of them.
fn told_in(readme: &str) -> Option<usize> {
    let (before, _) = readme.split_once(" ways around the guard")?;
    before.split_whitespace().next_back()?.trim_matches('*').parse().ok()
}

#[test]
fn the_readme_tells_how_many_ways_around_the_guard_are_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let tried = tests_in(&root.join("tests/e2e/bypass"));
    assert!(tried >= 40, "{tried} are too few");
    assert_eq!(told_in(&readme), Some(tried), "README.md");
}

#[test]
fn a_number_is_read_where_it_stands_and_nowhere_else() {
    assert_eq!(told_in("a\n\n**44 ways around the guard** are"), Some(44));
    assert_eq!(told_in("some ways around the guard"), None);
    assert_eq!(told_in("44 ways"), None);
}
