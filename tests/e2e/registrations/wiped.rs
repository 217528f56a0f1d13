//! Registrations whose CA bundles or entries are wiped, by hand or by a manifest that is applied once more, and what
//! becomes meanwhile of writes beyond a limit: judged, refused because nobody is trusted, or passed because nobody asks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::install;
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use super::{MUTATING, OURS, REGISTRATIONS, SECONDS, VALIDATING, apply, entries, policy};
use crate::support::{Namespace, own};

/// From the moment something is wiped until every write is judged again, the API server's own delay included.
const UNJUDGED: Duration = Duration::from_secs(3);
const NAMES: [&str; 3] = ["smartops-automation", "smartops-people", "smartops-own"];

/// A write beyond a limit.
#[derive(Debug, Clone)]
struct Probe {
    actor: &'static str,
    began: Instant,
    ended: Instant,
    judged: bool,
    text: String,
}

/// Sends writes beyond a limit, by a person and by automation, for as long as the work lasts.
fn probing<T>(
    namespace: &Namespace<'_>,
    work: impl FnOnce(&Mutex<Vec<Probe>>) -> Result<T>,
) -> Result<T> {
    let (probes, is_over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for actor in ["developer", "agent"] {
            let (probes, is_over) = (&probes, &is_over);
            scope.spawn(move || {
                let scale = ["scale", "deployment/portal", "--replicas=50", "--dry-run=server"];
                while !is_over.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let Ok(outcome) = namespace.run(actor, &scale) else { return };
                    let text = outcome.text();
                    let judged = !outcome.succeeded && text.contains("SmartOps denies");
                    let probe = Probe { actor, began, ended: Instant::now(), judged, text };
                    probes.lock().unwrap_or_else(PoisonError::into_inner).push(probe);
                }
            });
        }
        let done = work(&probes);
        is_over.store(true, Ordering::Relaxed);
        done
    })
}

/// What one wiping led to.
#[derive(Debug)]
struct Wiping {
    what: String,
    /// Until it was read to be back, since the wipe was answered.
    back: Duration,
    /// Until the last write was over that nobody judged, since the wipe began; nothing where each was.
    unjudged: Duration,
    /// Writes of the time: all, and those nobody judged.
    probes: (usize, usize),
}

/// Wipes, and waits until everything is as before and every actor's writes are judged.
fn wipe(
    cluster: &Cluster,
    probes: &Mutex<Vec<Probe>>,
    what: &str,
    wipe: impl FnOnce() -> Result<()>,
) -> Result<Wiping> {
    // Read at once, so that the reading takes no longer than it must.
    let all = || -> Result<Vec<Value>> {
        let list = cluster.kubectl("admin").get(&[REGISTRATIONS, "-l", OURS])?;
        let all = list["items"].as_array().cloned().unwrap_or_default();
        Ok(all.into_iter().map(|registration| registration["webhooks"].clone()).collect())
    };
    let should = all()?;
    ensure!(should.len() == 6 && should.iter().all(|entries| *entries != json!([])), "{should:?}");
    let began = Instant::now();
    wipe()?;
    let wiped = Instant::now();
    eventually(SECONDS, &format!("{what}: everything is back"), || {
        let stands = all()?;
        Ok(Seen::when(stands == should, format!("{stands:?}")))
    })?;
    let back = Instant::now();
    let look = || probes.lock().unwrap_or_else(PoisonError::into_inner).clone();
    eventually(SECONDS, &format!("{what}: every write is judged again"), || {
        let all = look();
        let last = |actor: &str| all.iter().rfind(|p| p.actor == actor && p.began > back);
        let is_judged =
            ["developer", "agent"].iter().all(|actor| last(actor).is_some_and(|p| p.judged));
        Ok(Seen::when(is_judged, format!("{:?}", all.last())))
    })?;
    let during: Vec<Probe> = look().into_iter().filter(|p| p.ended > began).collect();
    let unjudged: Vec<&Probe> = during.iter().filter(|p| !p.judged).collect();
    let last = unjudged.iter().map(|p| p.ended.duration_since(began)).max().unwrap_or_default();
    let words: Vec<(&str, &str)> = unjudged.iter().map(|p| (p.actor, p.text.as_str())).collect();
    ensure!(last < UNJUDGED, "{what}: not judged for {last:?}: {words:#?}");
    let probes = (during.len(), unjudged.len());
    Ok(Wiping { what: what.to_owned(), back: back.duration_since(wiped), unjudged: last, probes })
}

/// Empties all six within the time one takes.
fn empty_all(cluster: &Cluster) -> Result<()> {
    let empty = json!([{"op": "replace", "path": "/webhooks", "value": []}]).to_string();
    std::thread::scope(|scope| {
        let each =
            [VALIDATING, MUTATING].into_iter().flat_map(|kind| NAMES.map(|name| (kind, name)));
        let patches: Vec<_> = each
            .map(|(kind, name)| {
                let empty = &empty;
                scope.spawn(move || {
                    let arguments = ["patch", kind, name, "--type=json", "-p", empty];
                    cluster.kubectl("admin").run(&arguments)?.ok().map(drop)
                })
            })
            .collect();
        patches
            .into_iter()
            .try_for_each(|patch| patch.join().map_err(|_| anyhow!("a patch panicked"))?)
    })
}

#[test]
fn what_is_wiped_or_applied_empty_once_more_is_back_before_many_a_write_notices() -> Result<()> {
    let cluster = own("wiped")?;
    let admin = cluster.kubectl("admin");
    let namespace = Namespace::create(&cluster, "wiped")?;
    sample::roll_out(&cluster.kubectl("developer"), &namespace.name, "portal", 2)?;
    // So that the mutating half for people asks about something too.
    let kinds = json!([{"group": "apps", "resource": "statefulsets"}]);
    let clamped = json!({"rules": {"replicas": {"max": 4, "onViolation": "Clamp"}}});
    apply(&cluster, "operator", &policy("clamped", &kinds, &clamped))?;
    for name in NAMES {
        super::entries_become(&cluster, MUTATING, name, "it asks about something", |entries| {
            entries.as_array().is_some_and(|entries| !entries.is_empty())
        })?;
    }
    let shipped = install::render(&cluster, "registrations")?;
    let wipings = probing(&namespace, |probes| {
        let mut wipings = Vec::new();
        for kind in [VALIDATING, MUTATING] {
            for name in NAMES {
                let count = entries(&cluster, kind, name).as_array().map_or(0, Vec::len);
                let paths = (0..count).map(|i| format!("/webhooks/{i}/clientConfig/caBundle"));
                let bundles: Value =
                    paths.map(|path| json!({"op": "remove", "path": path})).collect();
                let empty = json!([{"op": "replace", "path": "/webhooks", "value": []}]);
                for (what, patch) in [("bundles", bundles), ("entries", empty)] {
                    let arguments = ["patch", kind, name, "--type=json", "-p", &patch.to_string()];
                    let what = format!("the {what} of {kind} {name}");
                    wipings.push(wipe(&cluster, probes, &what, || {
                        admin.run(&arguments)?.ok().map(drop)
                    })?);
                }
            }
        }
        for (what, arguments) in [
            ("kubectl apply of the manifest", &["apply", "-f", "-"][..]),
            (
                "kubectl apply of the manifest by the server",
                &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            ),
            ("kubectl replace with the manifest", &["replace", "-f", "-"]),
        ] {
            wipings.push(wipe(&cluster, probes, what, || {
                admin.run_with(arguments, Some(&shipped))?.ok().map(drop)
            })?);
        }
        wipings.push(wipe(&cluster, probes, "the entries of all six at once", || {
            empty_all(&cluster)
        })?);
        Ok(wipings)
    })?;
    let report = Path::new(env!("CARGO_TARGET_TMPDIR")).join("registrations_wiped.txt");
    fs::write(report, told(&wipings))?;
    let applied = wipings.iter().filter(|wiping| wiping.what.contains("apply"));
    for wiping in applied {
        ensure!(wiping.probes.1 == 0, "an empty manifest takes nothing out: {wiping:?}");
    }
    for kind in [VALIDATING, MUTATING] {
        for name in NAMES {
            let owners = admin.get(&[kind, name])?["metadata"]["ownerReferences"].clone();
            ensure!(owners[0]["kind"] == "Namespace", "{kind} {name}: {owners}");
        }
    }
    cluster.stop()
}

/// The measurements, a line each.
fn told(wipings: &[Wiping]) -> String {
    let mut text = String::new();
    for Wiping { what, back, unjudged, probes } in wipings {
        let (all, not) = probes;
        let (back, last) = (back.as_millis(), unjudged.as_millis());
        _ = writeln!(
            text,
            "{what}: back after {back} ms; {not} of {all} writes unjudged, the last after {last} ms"
        );
    }
    text
}
