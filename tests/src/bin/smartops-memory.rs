//! `smartops-memory`: how much memory the webhook takes while it watches ten thousand Deployments of 11 KB each, on a
//! real control plane. `cargo xtask bench memory` runs it with the release build.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::{Value, json};
use smartops_tests::cluster::{Cluster, Lifetime};
use smartops_tests::http::Client;
use smartops_tests::process::{self, Signal};
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{install, metrics, places};

/// How many Deployments, in how many namespaces.
const DEPLOYMENTS: usize = 10_000;
const NAMESPACES: usize = 10;
/// How many a request to kubectl creates.
const BATCH: usize = 250;
/// How many kubectl run at once.
const CLIENTS: usize = 8;
/// What each is to weigh as the API server sends it, managedFields included.
const BYTES: usize = 11_000;
const LIMIT: Duration = Duration::from_mins(5);

/// Measures the webhook's resident memory.
#[derive(Debug, Parser)]
#[command(name = "smartops-memory")]
struct Arguments {
    /// The folder of the control plane while it runs.
    #[arg(long, default_value_os_t = places::root().join(".smartops/memory"))]
    dir: PathBuf,
    /// How many Deployments; with none, it says what the program takes by itself.
    #[arg(long, default_value_t = DEPLOYMENTS)]
    deployments: usize,
    /// Fail above so many MiB once all is read.
    #[arg(long)]
    at_most: Option<f64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tell("starting a control plane");
    let mut cluster = Cluster::start_own(&arguments.dir, Lifetime::Harness, &tell)?;
    install::install_base(&mut cluster, &tell)?;
    // Nobody but the watch is to have work with them.
    process::signal(cluster.dir(), "kube-controller-manager", Signal::Stop)?;
    let many = arguments.deployments;
    tell(&format!("creating {many} Deployments"));
    let start = Instant::now();
    fill(&cluster, many)?;
    let size = if many == 0 { 0 } else { stored_size(&cluster)? };
    tell(&format!("created in {:.0} s, {size} bytes each", start.elapsed().as_secs_f32()));
    install::start_webhook(&cluster, &tell)?;
    wait_watched(&cluster, many)?;
    let (now, peak) = resident(&cluster)?;
    say(&format!(
        "{many} Deployments of {size} bytes: {now:.1} MiB resident, {peak:.1} MiB at most while they were read"
    ));
    cluster.stop()?;
    match arguments.at_most {
        Some(limit) if now > limit => bail!("{now:.1} MiB are more than {limit} MiB"),
        _ => Ok(()),
    }
}

/// Creates all of them, several batches at once.
fn fill(cluster: &Cluster, many: usize) -> Result<()> {
    let names = (0..NAMESPACES)
        .map(|n| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space(n)}}));
    cluster.kubectl("admin").apply_all(&names.collect::<Vec<_>>())?;
    let template = recorded()?;
    let batches: Vec<usize> = (0..many.div_ceil(BATCH)).collect();
    let create = |share: Vec<usize>| -> Result<()> {
        for batch in share {
            let items: Vec<Value> = (0..BATCH.min(many - batch * BATCH))
                .map(|i| deployment(&template, batch * BATCH + i))
                .collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
            let arguments = ["create", "--validate=false", "-o", "name", "-f", "-"];
            cluster.kubectl("admin").run_with(&arguments, Some(&list))?.ok()?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let share: Vec<usize> =
                    batches.iter().copied().skip(client).step_by(CLIENTS).collect();
                let create = &create;
                scope.spawn(move || create(share))
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(result) => result?,
                Err(_) => bail!("a client panicked"),
            }
        }
        Ok(())
    })
}

fn space(number: usize) -> String {
    format!("shop-{number}")
}

/// The large Deployment as it was recorded, without what the API server gives.
fn recorded() -> Result<Value> {
    let folder = places::root().join("tests/fixtures/reviews");
    let ending = "-kubectl-set-image-of-a-large-deployment.json";
    let path = std::fs::read_dir(&folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().ends_with(ending))
        .with_context(|| format!("{} holds no *{ending}", folder.display()))?;
    let text = std::fs::read_to_string(&path).context("the recording cannot be read")?;
    let review: Value = serde_json::from_str(&text).context("the recording is no JSON")?;
    let mut deployment = review["request"]["object"].clone();
    deployment["metadata"] = json!({"labels": deployment["metadata"]["labels"]});
    Ok(deployment)
}

/// One of many: different in name, labels and image, as real ones are.
fn deployment(template: &Value, number: usize) -> Value {
    let mut deployment = template.clone();
    let metadata = &mut deployment["metadata"];
    metadata["namespace"] = json!(space(number % NAMESPACES));
    metadata["name"] = json!(format!("checkout-{number}"));
    metadata["labels"]["team"] = json!(format!("team-{}", number % 97));
    metadata["annotations"] = json!({"example.com/notes": "n".repeat(PADDING)});
    deployment["spec"]["replicas"] = json!(0);
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] =
        json!(format!("registry.example.com/shop/checkout:{number}"));
    deployment
}

/// Brings what the recording weighs once it is created up to [`BYTES`].
const PADDING: usize = 900;

/// The bytes of one as the API server sends it.
fn stored_size(cluster: &Cluster) -> Result<usize> {
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/checkout-0", space(0));
    let size = cluster.kubectl("admin").run(&["get", "--raw", &path])?.ok()?.len();
    if size.abs_diff(BYTES) > BYTES / 10 {
        bail!("a Deployment weighs {size} bytes, not about {BYTES}: change the padding");
    }
    Ok(size)
}

/// Waits until the webhook keeps a record of every Deployment.
fn wait_watched(cluster: &Cluster, many: usize) -> Result<()> {
    let client = Client::new(&Program::Webhook.health_url(cluster)?);
    eventually(LIMIT, "every Deployment has a record", || {
        let text = client.get("/metrics")?.text;
        let kept = metrics::sum(&text, "smartops_webhook_histories", &[]).unwrap_or_default();
        let wanted = u32::try_from(many)?;
        Ok(Seen::when(kept >= f64::from(wanted), format!("{kept} records")))
    })
}

/// The webhook's resident memory now and at its peak, in MiB.
fn resident(cluster: &Cluster) -> Result<(f64, f64)> {
    let pid =
        process::pid(cluster.dir(), Program::Webhook.name())?.context("the webhook is gone")?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).context("no status")?;
    let read = |key: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(":"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: f64 = kib.with_context(|| format!("no {key} in its status"))?.parse()?;
        Ok(kib / 1024.0)
    };
    Ok((read("VmRSS")?, read("VmHWM")?))
}

#[expect(clippy::print_stdout, reason = "the command's product")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress, for people")]
fn tell(text: &str) {
    eprintln!("{text}");
}
