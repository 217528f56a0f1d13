//! SmartOps on real nodes: pods that run, a webhook behind a Service, a chart put in by helm. Every test here is ignored
//! unless `cargo xtask test --node` made a network namespace for it; the tests share one machine, one after the other.

mod machine;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};
use smartops_tests::node::Machine;
use smartops_tests::places;

use crate::support;

/// The machine all tests here share. A test that wants one of its own takes it out first: an address is there once.
static SHARED: Mutex<Option<Machine>> = Mutex::new(None);

const NODES: usize = 2;

/// The one place for a machine, with or without one in it.
fn place() -> MutexGuard<'static, Option<Machine>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(name: &str) -> Result<Machine> {
    let _turn = support::swept()?;
    Machine::start(&support::folder(name), NODES, &images()?, &|_| {})
}

/// The archives of images that nodes start with.
fn images() -> Result<Vec<PathBuf>> {
    let folder = places::root().join("target/images");
    let found = ["smartops-pause", "smartops-controller", "smartops-webhook"]
        .map(|name| folder.join(format!("{name}.tar")));
    if let Some(missing) = found.iter().find(|path| !path.is_file()) {
        bail!("there is no {}: run `cargo xtask test --node`, which builds it", missing.display());
    }
    Ok(found.into())
}
