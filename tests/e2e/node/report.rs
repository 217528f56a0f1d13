//! What the tests on real nodes measured: lines of one table, for whoever ran them.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use smartops_tests::places;
use smartops_tests::stream::Tally;

/// Tells how long something took.
pub(super) fn took(what: &str, time: Duration) -> Result<()> {
    line(&format!("{what:<58} {:>6.1} s", time.as_secs_f32()))
}

/// Tells what became of a stream's writes.
pub(super) fn stream(what: &str, tally: &Tally) -> Result<()> {
    line(&format!(
        "{what:<58} {:>6.1} s  {:>6} writes  {:>4} failed  slowest {:>5} ms",
        tally.lasted.as_secs_f32(),
        tally.calls,
        tally.failures.len(),
        tally.slowest.as_millis(),
    ))?;
    for (reason, times) in tally.reasons() {
        line(&format!("  {times} times: {reason}"))?;
    }
    Ok(())
}

/// Tells one thing.
pub(super) fn line(text: &str) -> Result<()> {
    show(text);
    let Some(path) = places::variable("SMARTOPS_NODE_REPORT") else { return Ok(()) };
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot write {path}"))?;
    writeln!(file, "{text}").with_context(|| format!("cannot write {path}"))
}

/// Tells the person who watches.
#[expect(clippy::print_stdout, reason = "the tests' product, beside their verdict")]
pub(super) fn show(text: &str) {
    println!("{text}");
}
