//! `cargo xtask test`: cargo's tests, shown as they run, with one line for the whole at the end.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::run;

/// What cargo counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    suites: u32,
    passed: u32,
    failed: u32,
    ignored: u32,
}

/// Runs the tests whose names contain one of `filter`, or all of them.
pub(crate) fn run(filter: &[String]) -> Result<()> {
    let mut command = run::cargo();
    command.args(["test", "--workspace", "--no-fail-fast", "--"]).args(filter);
    counted(command, filter)
}

/// Runs the end-to-end tests that are ignored otherwise and whose names contain one of `filter`, one after the other, in a
/// network namespace with nothing but loopback. What they measure goes into `report`.
pub(crate) fn run_apart(filter: &[String], report: &Path) -> Result<()> {
    let suite = ["test", "--workspace", "--test", "e2e"];
    let built = run::cargo().args(suite).arg("--no-run").status();
    if !built.context("cannot start cargo test")?.success() {
        bail!("the tests do not build");
    }
    let cargo = run::cargo();
    let mut command = Command::new("unshare");
    command
        .args(["--net", "/bin/sh", "-c", "ip link set lo up && exec \"$@\"", "apart"])
        .arg(cargo.get_program())
        .args(suite)
        .args(["--", "--ignored", "--test-threads=1"])
        .args(filter)
        .current_dir(run::root())
        .env("CARGO_NET_OFFLINE", "true")
        .env("SMARTOPS_NODE_REPORT", report);
    counted(command, filter)
}

/// Runs cargo's tests to their end, shows what they say, and adds up what they count.
fn counted(mut command: Command, filter: &[String]) -> Result<()> {
    let start = Instant::now();
    let mut child = command
        .env("SMARTOPS_BIN_DIR", run::own_folder()?)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut total = Total::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cargo test's output broke off")?;
        total.count(&line);
        show(&line);
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    let Total { suites, passed, failed, ignored } = total;
    let word = if status.success() { "ok" } else { "FAILED" };
    show(&format!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {ignored} ignored; {suites} suites, finished in \
         {:.0}s",
        start.elapsed().as_secs_f32()
    ));
    if !status.success() {
        bail!("tests failed");
    }
    if passed == 0 {
        bail!("no test matches {filter:?}");
    }
    Ok(())
}

impl Total {
    /// Adds one suite's summary line; other lines count nothing.
    fn count(&mut self, line: &str) {
        let Some(summary) = line.strip_prefix("test result: ") else { return };
        self.suites += 1;
        for part in summary.split(['.', ';']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next(), words.next()) else { continue };
            let Ok(number) = number.parse::<u32>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the tests' own output, passed on")]
fn show(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_of_all_suites_are_added_up() {
        let mut total = Total::default();
        for line in [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.31s",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 4 filtered out; finished in 9.00s",
        ] {
            total.count(line);
        }
        assert_eq!(total, Total { suites: 2, passed: 14, failed: 3, ignored: 1 });
    }
}
