//! Every command of docs/security_audit.md, run as it stands there on a new installation, prints what stands there.

use anyhow::{Result, ensure};

use crate::documents::{Shell, read, steps};
use crate::support::own;

#[test]
fn every_command_of_the_audit_prints_what_the_document_says() -> Result<()> {
    let cluster = own("audit")?;
    let steps = steps(&read("docs/security_audit.md")?);
    ensure!(steps.len() >= 15, "only {} commands were found", steps.len());
    Shell::new(&cluster).follow(&steps)?;
    cluster.stop()
}
