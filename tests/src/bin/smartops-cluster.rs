//! `smartops-cluster`: a control plane with SmartOps in it, up and down.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use serde_json::Value;
use smartops_tests::cluster::{self, Cluster, Lifetime};
use smartops_tests::components::{Components, Helm, Monitors};
use smartops_tests::state::State;
use smartops_tests::{install, places, process, reaper};

/// Runs a real Kubernetes control plane with SmartOps in it.
#[derive(Debug, Parser)]
#[command(name = "smartops-cluster")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the control plane's executables, once; print the folder with kubectl.
    Build {
        /// Prometheus and Alertmanager too, which the tests start.
        #[arg(long)]
        monitoring: bool,
        /// Helm too, which installs the chart in the tests.
        #[arg(long)]
        helm: bool,
    },
    /// Start a cluster, install SmartOps, run both programs, and print what a person needs to try it.
    Up(Up),
    /// End a cluster.
    Down(Place),
    /// Say what runs.
    Status(Place),
    /// Take a cluster down when standard input ends (started by the harness).
    #[command(hide = true)]
    Reap(Place),
}

#[derive(Debug, Args)]
struct Place {
    /// The cluster's folder; everything lies below it.
    #[arg(long, default_value_os_t = places::default_cluster())]
    dir: PathBuf,
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    place: Place,
    /// Print one JSON object for scripts.
    #[arg(long)]
    json: bool,
    /// Only the control plane, without SmartOps.
    #[arg(long, conflicts_with = "json")]
    bare: bool,
    /// Stay in the foreground; the cluster ends with this command, however it ends, or with its standard input.
    #[arg(long)]
    foreground: bool,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Build { monitoring, helm } => {
            let components = Components::ensure(&tell)?;
            if monitoring {
                Monitors::ensure(&tell)?;
            }
            if helm {
                Helm::ensure(&tell)?;
            }
            say(&components.bin()?.display().to_string());
            Ok(())
        }
        Command::Up(up) => bring_up(&up),
        Command::Down(place) => {
            let ran = cluster::down(&place.dir)?;
            tell(if ran { "the cluster is down" } else { "no cluster ran there" });
            Ok(())
        }
        Command::Status(place) => status(&place.dir),
        Command::Reap(place) => reaper::reap_when_abandoned(&place.dir),
    }
}

fn bring_up(up: &Up) -> Result<()> {
    if let Some(running) = find_running(&up.place.dir)? {
        tell("it is up already");
        return describe(&running.state, up);
    }
    let start = Instant::now();
    let lifetime = if up.foreground { Lifetime::Harness } else { Lifetime::Detached };
    let cluster = match start_all(up, lifetime) {
        Ok(cluster) => cluster,
        Err(error) => {
            // Nothing half started stays behind; the logs do.
            cluster::down(&up.place.dir)?;
            return Err(error);
        }
    };
    tell(&format!("up after {:.1} s", start.elapsed().as_secs_f32()));
    describe(&cluster.state, up)?;
    if up.foreground {
        tell("running until interrupted or until standard input ends");
        std::io::stdin().read_to_end(&mut Vec::new()).context("cannot read standard input")?;
        cluster.stop()?;
    }
    Ok(())
}

fn start_all(up: &Up, lifetime: Lifetime) -> Result<Cluster> {
    tell("starting the control plane");
    let mut cluster = Cluster::start(&up.place.dir, lifetime, &tell)?;
    if !up.bare {
        install::install(&mut cluster, &tell)?;
    }
    Ok(cluster)
}

/// The cluster in `dir` when all of it runs; an error when only a part does.
fn find_running(dir: &Path) -> Result<Option<Cluster>> {
    let Some(cluster) = Cluster::open(dir)? else { return Ok(None) };
    let running = process::running(cluster.dir())?;
    if running.is_empty() {
        return Ok(None);
    }
    let missing: Vec<&str> = expected(&cluster.state)
        .into_iter()
        .filter(|name| !running.iter().any(|process| process.name == *name))
        .collect();
    if !missing.is_empty() {
        bail!("the cluster in {} lacks {missing:?}: take it down first", dir.display());
    }
    Ok(Some(cluster))
}

/// The processes a cluster should have.
fn expected(state: &State) -> Vec<&'static str> {
    let mut names = Vec::new();
    if state.own_control_plane {
        names.extend([
            "etcd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kwok",
        ]);
    }
    if state.smartops.is_some() {
        names.extend(["webhook", "controller"]);
    }
    names
}

fn describe(state: &State, up: &Up) -> Result<()> {
    match state.summary()? {
        Some(summary) if up.json => say(&format!("{summary:#}")),
        Some(summary) => say(&for_people(state, &summary)),
        None if up.json => bail!("SmartOps does not run in this cluster: take it down first"),
        None => say(&format!("export KUBECONFIG={}", state.kubeconfig("admin").display())),
    }
    Ok(())
}

fn for_people(state: &State, summary: &Value) -> String {
    let text = |key: &str| summary[key].as_str().unwrap_or_default();
    let mut lines = vec![
        format!("export PATH={}:$PATH", text("bin")),
        format!("export KUBECONFIG={}", state.kubeconfig("developer").display()),
        format!("export URL={} KEY={}", text("controllerUrl"), text("apiKey")),
        format!("export CA={}", text("controllerCa")),
        String::new(),
        "Others to be, by KUBECONFIG:".to_owned(),
    ];
    for actor in ["admin", "controller", "agent", "developer", "operator"] {
        lines.push(format!("  {actor:<10} {}", state.kubeconfig(actor).display()));
    }
    lines.extend([
        String::new(),
        format!("metrics    {}", text("controllerMetricsUrl")),
        format!("           {}", text("webhookMetricsUrl")),
        format!("logs       {}", state.dir.join("logs").display()),
        String::new(),
        "Try:".to_owned(),
        "  kubectl -n smartops-dev scale deployment smartops-erp-simulator --replicas=50"
            .to_owned(),
        "  curl -s --cacert $CA -H \"X-API-Key: $KEY\" -H 'content-type: application/json' $URL/v1/k8s/scale \\"
            .to_owned(),
        "    -d '{\"namespace\":\"smartops-dev\",\"deployment\":\"erp-simulator\",\"replicas\":4}'"
            .to_owned(),
        format!("End it: cargo xtask cluster down --dir {}", state.dir.display()),
    ]);
    lines.join("\n")
}

fn status(dir: &Path) -> Result<()> {
    let Some(cluster) = Cluster::open(dir)? else {
        say("no cluster was set up there");
        return Ok(());
    };
    let running = process::running(cluster.dir())?;
    for name in expected(&cluster.state) {
        let pid = running.iter().find(|process| process.name == name).map(|process| process.pid);
        say(&pid.map_or_else(
            || format!("{name:<24} not running"),
            |pid| format!("{name:<24} process {pid}"),
        ));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command's product")]
fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "progress, for people; standard output is for scripts")]
fn tell(text: &str) {
    eprintln!("{text}");
}
