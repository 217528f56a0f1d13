//! `smartops-demo`: the whole idea on a real control plane, told as a story. Every step says who asks what, shows the
//! command or the request, and what came back; a step that comes out otherwise than expected fails the run.

mod alerts;
mod approvals;
mod automation;
mod people;
mod signals;
mod story;
mod undone;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Parser;
use smartops_tests::cluster::{Cluster, Lifetime};
use smartops_tests::{install, places, process, sample};

use crate::story::{Story, line};

/// Deployments of the demo besides the sample: one for each story, so that cooldowns do not mix them.
const LEDGER: &str = "smartops-ledger";
const PORTAL: &str = "smartops-portal";

/// Watch SmartOps work on a real control plane.
#[derive(Debug, Parser)]
#[command(name = "smartops-demo")]
struct Arguments {
    /// Leave everything running afterwards.
    #[arg(long)]
    keep: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let dir = places::root().join(format!(".smartops/demo-{}", std::process::id()));
    let mut story = Story::default();
    let mut cluster = story.part("control plane", || {
        line("Starting a control plane: etcd, API server with RBAC, controllers, scheduler, two fake nodes.");
        Cluster::start(&dir, Lifetime::Harness, &|text| line(&format!("  {text}")))
    })?;
    let told = tell(&mut story, &mut cluster);
    story.finish();
    if let Err(error) = &told {
        line(&format!("\nThe demo broke off: {error:#}"));
    }
    let good = told.is_ok() && story.unexpected().is_empty();
    if arguments.keep {
        cluster.keep()?;
        line(&format!("\nLeft running. Look: cargo xtask cluster up --dir {}", dir.display()));
        line(&format!("End it:             cargo xtask cluster down --dir {}", dir.display()));
    } else {
        let start = Instant::now();
        cluster.stop()?;
        line(&format!("\nEverything ended after {:.1} s.", start.elapsed().as_secs_f32()));
        if good {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        } else {
            line(&format!("Logs: {}", dir.join("logs").display()));
        }
    }
    told?;
    if !story.unexpected().is_empty() {
        bail!("steps came out otherwise than expected: {:?}", story.unexpected());
    }
    line("Every step came out as expected.");
    Ok(())
}

fn tell(story: &mut Story, cluster: &mut Cluster) -> Result<()> {
    story.part("installation", || {
        line("Installing SmartOps into it.");
        install::install(cluster, &|text| line(&format!("  {text}")))?;
        let developer = cluster.kubectl("developer");
        for name in [LEDGER, PORTAL] {
            sample::roll_out(&developer, sample::NAMESPACE, name, sample::REPLICAS)?;
        }
        Ok(())
    })?;
    story
        .chapter("People's changes, judged by the webhook", |story| people::tell(story, cluster))?;
    story.chapter("Signals, remedied by the controller", |story| signals::tell(story, cluster))?;
    story
        .chapter("Requests to the controller's API", |story| automation::by_api(story, cluster))?;
    story
        .chapter("An alert, from Prometheus to the remedy", |story| alerts::tell(story, cluster))?;
    story.chapter("A remedy that does not help", |story| undone::tell(story, cluster))?;
    story.chapter("Two people for one scale", |story| approvals::tell(story, cluster))?;
    story.chapter("Automation with kubectl: no way around", |story| {
        automation::by_kubectl(story, cluster)
    })?;
    story.chapter("What was really written", |story| {
        automation::written(story, cluster);
        Ok(())
    })?;
    footprint(cluster)
}

/// Sizes an operator asks for first.
fn footprint(cluster: &Cluster) -> Result<()> {
    line("");
    for name in ["webhook", "controller"] {
        let pid = process::pid(cluster.dir(), name)?.with_context(|| format!("{name} ended"))?;
        let status: PathBuf = ["/proc", &pid.to_string(), "status"].iter().collect();
        let status = fs::read_to_string(status).context("cannot read /proc")?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = resident
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .context("/proc does not tell resident memory")?;
        line(&format!("smartops-{name}: {} MiB of resident memory", kib / 1024));
    }
    Ok(())
}
