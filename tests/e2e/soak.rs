//! The short soak: signals to several replicas, which are killed and frozen at random. `cargo xtask soak` is the long one.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use smartops_tests::places;

use crate::support::folder;

#[test]
fn while_replicas_die_at_random_no_accepted_signal_is_lost_and_no_write_is_made_twice() -> Result<()>
{
    let output = Command::new(places::program("smartops-soak")?)
        .args(["--short", "--dir"])
        .arg(folder("soak"))
        .output()
        .context("cannot start smartops-soak")?;
    let (said, told) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{told}{said}");
    ensure!(said.contains("lost 0, acted on twice 0, written twice 0"), "{said}");
    Ok(())
}
