//! `smartops-soak`: signals for many Deployments, posted to several replicas of the controller while these are killed and
//! frozen at random, on a real control plane. It fails when an accepted signal is in no Remediation, when a write was
//! made twice, or when anything is worse at the end. `cargo xtask soak` runs it.

mod account;
mod chaos;
mod dice;
mod load;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use serde_json::{Value, json};
use smartops_tests::cluster::{Cluster, Lifetime};
use smartops_tests::programs::Program;
use smartops_tests::replicas::Replica;
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{install, places, sample};

use self::account::Account;
use self::chaos::Chaos;
use self::dice::Dice;
use self::load::{Load, Sent};

/// How many replicas each Deployment begins with.
const REPLICAS: u32 = 2;
/// How long what was accepted may take to come to its end after the last signal.
const END: Duration = Duration::from_mins(3);
/// How long the pods of the last remedies may take.
const READY: Duration = Duration::from_mins(2);

/// Posts signals while replicas die, and counts.
#[derive(Debug, Clone, Parser)]
#[command(name = "smartops-soak")]
struct Arguments {
    /// The folder of the control plane while it runs.
    #[arg(long, default_value_os_t = places::root().join(".smartops/soak"))]
    dir: PathBuf,
    /// A bounded run: 150 signals for 10 Deployments within 40 seconds.
    #[arg(long)]
    short: bool,
    /// How many signals.
    #[arg(long, default_value_t = 1000)]
    signals: usize,
    /// For how many Deployments.
    #[arg(long, default_value_t = 50)]
    deployments: usize,
    /// How many replicas of the controller.
    #[arg(long, default_value_t = 3)]
    replicas: usize,
    /// Over how many seconds the signals are spread.
    #[arg(long, default_value_t = 400)]
    seconds: u64,
    /// Fail when fewer remedies than these were written.
    #[arg(long, default_value_t = 500)]
    at_least: usize,
    /// What decides who is asked, and who is killed when; without one, chance.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<()> {
    let mut arguments = Arguments::parse();
    if arguments.short {
        let (signals, deployments, seconds, at_least) = (150, 10, 40, 30);
        arguments = Arguments { signals, deployments, seconds, at_least, ..arguments };
    }
    ensure!(
        arguments.deployments > 0 && arguments.replicas > 0,
        "--deployments and --replicas must be at least 1: with none there is nothing to try"
    );
    let seed = arguments.seed.unwrap_or_else(Dice::any);
    tell("starting a control plane");
    let mut cluster = Cluster::start_own(&arguments.dir, Lifetime::Harness, &tell)?;
    install::install(&mut cluster, &tell)?;
    let outcome = soak(&cluster, &arguments, seed);
    cluster.stop()?;
    outcome
}

fn soak(cluster: &Cluster, arguments: &Arguments, seed: u64) -> Result<()> {
    let targets: Vec<String> = (0..arguments.deployments).map(|n| format!("soak-{n}")).collect();
    tell(&format!("rolling out {} Deployments", targets.len()));
    prepare(cluster, &targets)?;
    Program::Controller.kill(cluster)?;
    let mut replicas = vec![Replica::first(cluster)?];
    for number in 2..=arguments.replicas {
        replicas.push(Replica::further(cluster, number)?);
    }
    for replica in &replicas {
        replica.launch(chaos::FLAGS)?;
    }
    for replica in &replicas {
        replica.wait_ready()?;
    }

    let (signals, span) = (arguments.signals, Duration::from_secs(arguments.seconds));
    tell(&format!(
        "posting {signals} signals over {} s to {} replicas, some of which die (seed {seed})",
        span.as_secs(),
        replicas.len()
    ));
    let begun = Instant::now();
    let is_over = AtomicBool::new(false);
    let load = Load { replicas: &replicas, targets: &targets, signals, span, seed };
    let chaos = Chaos { replicas: &replicas, is_over: &is_over, dice: Dice::new(seed) };
    let (sent, deaths) = std::thread::scope(|scope| {
        let chaos = scope.spawn(|| chaos.run());
        let sent = load.run();
        is_over.store(true, Ordering::SeqCst);
        (sent, chaos.join())
    });
    let Ok(deaths) = deaths else { bail!("whoever kills replicas has panicked") };
    let (sent, deaths): (Sent, _) = (sent?, deaths?);
    tell("waiting until everything has ended");
    wait_ended(cluster, &replicas)?;
    wait_ready(cluster, &targets)?;
    let account = Account::of(cluster, &sent, REPLICAS)?;
    say(&format!(
        "seed {seed}: {signals} signals for {} Deployments, {} accepted ({} sent again), {} replicas killed {} times and \
         frozen {} times, {:.0} s\n{account}",
        targets.len(),
        sent.accepted.len(),
        sent.repeats,
        replicas.len(),
        deaths.killed,
        deaths.frozen,
        begun.elapsed().as_secs_f32(),
    ));
    ensure!(deaths.killed + deaths.frozen > 0, "nobody was killed or frozen: nothing was tried");
    ensure!(sent.accepted.len() == signals, "not accepted in time: {:?}", sent.refused);
    account.check(arguments.at_least)
}

/// Deployments that may grow as often as they are signalled, and a loop that is held by nothing but its cooldown.
fn prepare(cluster: &Cluster, targets: &[String]) -> Result<()> {
    let admin = cluster.kubectl("admin");
    let patch = |object: &str, patch: &Value| {
        admin.run(&["patch", object, "--type=merge", "-p", &patch.to_string()])?.ok().map(drop)
    };
    for policy in ["smartops-automation", "smartops-baseline"] {
        let room = json!({"spec": {"rules": {"replicas": {"max": 1000}}}});
        patch(&format!("gp/{policy}"), &room)?;
    }
    let limits = json!({
        "maxInFlight": 1000,
        "storm": {"targets": 100_000, "windowSeconds": 1},
        "namespaceRate": {"remedies": 100_000, "windowSeconds": 1},
        "staleSeconds": 86_400,
    });
    let retention = json!({"maxPerTarget": 10_000});
    patch("soc/default", &json!({"spec": {"closedLoop": limits, "retention": retention}}))?;
    let objects: Vec<Value> =
        targets.iter().map(|name| sample::deployment(sample::NAMESPACE, name, REPLICAS)).collect();
    cluster.kubectl("developer").apply_all(&objects)?;
    targets.iter().try_for_each(|name| sample::wait_rolled_out(&admin, sample::NAMESPACE, name))
}

/// Waits until every Remediation has ended and no replica counts one that has not.
fn wait_ended(cluster: &Cluster, replicas: &[Replica<'_>]) -> Result<()> {
    eventually(END, "every Remediation has ended", || {
        let open = account::remediations(cluster)?
            .into_iter()
            .filter(|r| !r["status"]["outcome"].is_object())
            .map(|r| format!("{} {}", r["metadata"]["name"], r["status"]["phase"]))
            .collect::<Vec<_>>();
        let open_text =
            format!("{} are open: {:?}", open.len(), open.iter().take(5).collect::<Vec<_>>());
        Ok(Seen::when(open.is_empty(), open_text))
    })?;
    for replica in replicas {
        eventually(END, &format!("the queue of {} is empty", replica.name()), || {
            let depth = replica.metric("orchestrator_closed_loop_queue_depth");
            Ok(Seen::when(depth == Some(0.0), format!("{depth:?}")))
        })?;
    }
    Ok(())
}

/// Waits until every pod that is wanted is ready.
fn wait_ready(cluster: &Cluster, targets: &[String]) -> Result<()> {
    eventually(READY, "every pod is ready", || {
        let all = account::deployments(cluster)?;
        let wanting: Vec<&String> = targets
            .iter()
            .filter(|name| {
                all.get(*name).is_none_or(|d| d["status"]["readyReplicas"] != d["spec"]["replicas"])
            })
            .collect();
        Ok(Seen::when(wanting.is_empty(), format!("not of {wanting:?}")))
    })
}

#[expect(clippy::print_stderr, reason = "progress, for whoever waits")]
fn tell(message: &str) {
    eprintln!("smartops-soak: {message}");
}

#[expect(clippy::print_stdout, reason = "the command's own output")]
fn say(message: &str) {
    println!("{message}");
}
