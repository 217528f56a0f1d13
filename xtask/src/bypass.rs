//! The number of ways around the guard, and of attacks on what it rests on, that are tried, as the README tells them.

use std::path::Path;

/// Folders below `tests/e2e`, the words by which the README speaks of the tests in them, and the fewest there may be.
const TRIED: [(&str, &str, usize); 2] =
    [("bypass", " ways around the guard", 40), ("attacks", " attacks on what it rests on", 30)];

/// How many tests the Rust files of a folder hold.
fn tests_in(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files
        .map(|path| std::fs::read_to_string(path).unwrap())
        .map(|text| text.lines().filter(|line| line.trim() == "#[test]").count())
        .sum()
}

/// The number before these words in the README.
fn told_in(readme: &str, words: &str) -> Option<usize> {
    let (before, _) = readme.split_once(words)?;
    before.split_whitespace().next_back()?.trim_matches('*').parse().ok()
}

#[test]
fn the_readme_tells_how_many_ways_around_the_guard_and_attacks_on_it_are_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    for (folder, words, fewest) in TRIED {
        let tried = tests_in(&root.join("tests/e2e").join(folder));
        assert!(tried >= fewest, "{folder}: {tried} are too few");
        assert_eq!(told_in(&readme, words), Some(tried), "README.md: N{words}");
    }
}

#[test]
fn a_number_is_read_where_it_stands_and_nowhere_else() {
    let words = " ways around the guard";
    assert_eq!(told_in("a\n\n**44 ways around the guard** are", words), Some(44));
    assert_eq!(told_in("some ways around the guard", words), None);
    assert_eq!(told_in("44 ways", words), None);
}
