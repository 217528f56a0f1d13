//! `cargo xtask test --node`: the tests that need real nodes, in a network namespace of their own, and the table of what
//! they measured. Where a machine cannot have such nodes, one line says why.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::image::{self, Order};
use crate::{run, tests_command};

/// Runs them, or those whose names contain one of `filter`.
pub(crate) fn run(filter: &[String]) -> Result<()> {
    run::build()?;
    let output = Command::new(run::own_folder()?.join("smartops-node"))
        .arg("prepare")
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot start smartops-node")?;
    if !output.status.success() {
        bail!("what a real node is made of cannot be prepared");
    }
    let reason = String::from_utf8_lossy(&output.stdout);
    if !reason.trim().is_empty() {
        show(&format!("SKIPPED: real node: {}", reason.trim()));
        return Ok(());
    }
    run::program("smartops-cluster", ["build", "--helm"])?;
    image::make(&Order {
        profile: "bench".to_owned(),
        out: "target/images".into(),
        registry: "localhost".to_owned(),
        pause: true,
    })?;
    let report = report()?;
    let filter = if filter.is_empty() { vec!["node::".to_owned()] } else { filter.to_vec() };
    let outcome = tests_command::run_apart(&filter, &report);
    if let Ok(table) = fs::read_to_string(&report) {
        show(&format!("\nmeasured on real nodes:\n{table}"));
    }
    outcome
}

/// The empty file that tests write what they measured into.
fn report() -> Result<PathBuf> {
    let path = run::root().join("target/real-node.txt");
    fs::write(&path, "").with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

#[expect(clippy::print_stdout, reason = "the command's product")]
fn show(text: &str) {
    println!("{text}");
}
