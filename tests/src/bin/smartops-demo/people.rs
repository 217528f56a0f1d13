//! What people ask for, and what the webhook says to it.

use anyhow::Result;
use serde_json::Value;
use smartops_tests::cluster::Cluster;
use smartops_tests::sample::{DEPLOYMENT, NAMESPACE};
use smartops_tests::wait::Seen;

use crate::story::{Expect, Story};

/// Scales by a developer: within the limits, above, and to nothing.
pub(crate) fn tell(story: &mut Story, cluster: &Cluster) -> Result<()> {
    let target = format!("deployment/{DEPLOYMENT}");
    let scale = |to: &'static str| ["-n", NAMESPACE, "scale", target.as_str(), to];
    story.kubectl(
        cluster,
        ("developer", "scale from 3 to 5"),
        &scale("--replicas=5"),
        Expect::Allowed,
    )?;
    story.sees("pods ready", || ready(cluster, DEPLOYMENT, 5));
    story.kubectl(
        cluster,
        ("developer", "scale to 50"),
        &scale("--replicas=50"),
        Expect::Denied(&["smartops-baseline", "50", "10"]),
    )?;
    story.kubectl(
        cluster,
        ("developer", "scale to 0"),
        &scale("--replicas=0"),
        Expect::Denied(&["smartops-baseline", "0", "1"]),
    )?;
    story.kubectl(
        cluster,
        ("developer", "only ask whether 20 would do (a dry run)"),
        &[scale("--replicas=20").as_slice(), &["--dry-run=server"]].concat(),
        Expect::Denied(&["smartops-baseline", "20", "10"]),
    )?;
    story.sees("nothing changed", || ready(cluster, DEPLOYMENT, 5));
    Ok(())
}

/// Whether the Deployment wants `count` replicas and all of them are ready.
pub(crate) fn ready(cluster: &Cluster, name: &str, count: u64) -> Result<Seen<String>> {
    let object = cluster.kubectl("operator").get(&["-n", NAMESPACE, "deployment", name])?;
    let number = |path: &str| object.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let (wanted, ready) = (number("/spec/replicas"), number("/status/readyReplicas"));
    let text = format!("{ready} of {wanted}");
    Ok(if wanted == count && ready == count { Seen::Done(text) } else { Seen::NotYet(text) })
}
