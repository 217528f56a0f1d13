//! `smartops-record`: what the API server really asks. It acts on a real control plane as people, agents and
//! controllers do, and stores each AdmissionReview, scrubbed, for the tests to replay.
//!
//! Lives here: the actions and the recording. Does not live here: what SmartOps should answer.

mod deployments;
mod kinds;
mod loops;
mod neighbours;
mod objects;
mod pods;
mod scrub;
mod server;
mod stage;
mod tape;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use smartops_tests::cluster::{Cluster, Lifetime};
use smartops_tests::{identities, install, places};

use crate::server::Server;
use crate::stage::{NAMESPACE, Stage};
use crate::tape::Tape;

/// Records AdmissionReviews of a real control plane.
#[derive(Debug, Parser)]
#[command(name = "smartops-record")]
struct Arguments {
    /// The folder the recordings go to; recordings that are there already go.
    #[arg(long, default_value_os_t = places::root().join("tests/fixtures/reviews"))]
    into: PathBuf,
    /// The folder of the control plane while it runs.
    #[arg(long, default_value_os_t = places::root().join(".smartops/record"))]
    dir: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tell("starting a control plane");
    let mut cluster = Cluster::start_own(&arguments.dir, Lifetime::Harness, &tell)?;
    install::install_base(&mut cluster, &tell)?;
    identities::grant_namespace(&cluster, NAMESPACE)?;
    let server = Server::start(cluster.dir())?;
    let mut tape = Tape::new(&server, arguments.into, &tell)?;
    tape.register(&cluster, NAMESPACE)?;
    let stage = Stage::new(&cluster);
    deployments::play(&stage, &mut tape)?;
    kinds::play(&stage, &mut tape)?;
    neighbours::play(&stage, &mut tape)?;
    pods::play(&stage, &mut tape)?;
    loops::play(&stage, &mut tape)?;
    tell("starting SmartOps, to record its own writes");
    install::start_programs(&cluster, &tell)?;
    loops::play_controller(&stage, &mut tape)?;
    cluster.stop()
}

#[expect(clippy::print_stderr, reason = "progress, for people")]
fn tell(text: &str) {
    eprintln!("{text}");
}
