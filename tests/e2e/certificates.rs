//! The webhook's certificate under a stream of writes that fail closed: lost, damaged, rotated, taken over by another
//! replica in the middle, and somebody else's. What every test shares is `load`; cert-manager's are `cert_manager`.

mod cert_manager;
mod load;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use smartops_tests::cluster::{Cluster, free_ports};
use smartops_tests::http::Client;
use smartops_tests::process;
use smartops_tests::programs::{Program, endpoints};
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{metrics, pki, places, sample};

use self::load::{served_under, under_load};
use crate::drain::certificate_authority;
use crate::support::own;

const SECRET: [&str; 4] = ["-n", "smartops-system", "secret", "smartops-webhook-certificate"];
/// A look every ten seconds, and what follows it.
const SOON: Duration = Duration::from_secs(20);
/// Until a new CA is trusted, presented, seen everywhere, and the former one is gone.
const OVERLAP: Duration = Duration::from_secs(40);
/// Until a Lease that nobody gave up has run out, and what follows.
const TAKEN_OVER: Duration = Duration::from_secs(40);

/// The Secret, as far as it is there.
fn stored(cluster: &Cluster) -> Result<Option<Value>> {
    let arguments = [&["get"], SECRET.as_slice(), &["--ignore-not-found", "-o", "json"]].concat();
    let text = cluster.kubectl("admin").run(&arguments)?.ok()?;
    Ok(serde_json::from_str(&text).ok())
}

/// One part of the Secret, as text; empty where it is missing.
fn part(secret: &Value, key: &str) -> Result<String> {
    let bytes = STANDARD.decode(secret["data"][key].as_str().unwrap_or_default())?;
    String::from_utf8(bytes).with_context(|| format!("{key} is no text"))
}

/// The CAs in the Secret, the current one first.
fn authorities(secret: &Value) -> Result<Vec<String>> {
    let end = "-----END CERTIFICATE-----\n";
    let bundle = part(secret, "ca.crt")?;
    Ok(bundle.split_inclusive(end).filter(|pem| pem.ends_with(end)).map(str::to_owned).collect())
}

/// The current CA in the Secret.
fn current(cluster: &Cluster) -> Result<Option<String>> {
    Ok(match stored(cluster)? {
        Some(secret) => authorities(&secret)?.into_iter().next(),
        None => None,
    })
}

/// Waits until another CA than `former` is stored; returns it and those beside it.
fn anew(cluster: &Cluster, former: &str) -> Result<(String, Vec<String>)> {
    eventually(SOON, "another CA is stored", || {
        let found = stored(cluster)?.map(|secret| authorities(&secret)).transpose()?;
        let mut found = found.unwrap_or_default().into_iter();
        Ok(match found.next() {
            Some(current) if current != former => Seen::Done((current, found.collect())),
            _ => Seen::NotYet("there is none, or it is the former one".to_owned()),
        })
    })
    .with_context(|| Program::Webhook.last_words(cluster))
}

/// Waits until the webhook presents a leaf under this CA.
fn presented_under(cluster: &Cluster, authority: &str) -> Result<()> {
    eventually(OVERLAP, "a leaf under the current CA is presented", || {
        Ok(match served_under(cluster, authority.as_bytes()) {
            Ok(()) => Seen::Done(()),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })
    .with_context(|| Program::Webhook.last_words(cluster))
}

/// Waits until this CA is handed out alone, in the Secret and in the registrations.
fn alone(cluster: &Cluster, authority: &str) -> Result<()> {
    eventually(OVERLAP, "the former CA is gone", || {
        let stored = stored(cluster)?.map(|secret| authorities(&secret)).transpose()?;
        let handed_out = String::from_utf8(certificate_authority(cluster)?)?;
        let is_alone =
            stored.as_deref() == Some(&[authority.to_owned()]) && handed_out == authority;
        Ok(Seen::when(is_alone, format!("{stored:?}\n{handed_out}")))
    })
    .with_context(|| Program::Webhook.last_words(cluster))
}

fn patch(cluster: &Cluster, operations: &Value) -> Result<()> {
    let operations = operations.to_string();
    let arguments = [&["patch"], SECRET.as_slice(), &["--type=json", "-p", &operations]].concat();
    cluster.kubectl("admin").run(&arguments)?.ok().map(drop)
}

/// One of the webhook's metrics about certificates, summed.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are whole")]
fn counted(cluster: &Cluster, name: &str, labels: &[(&str, &str)]) -> Result<u64> {
    let text = Client::new(&Program::Webhook.health_url(cluster)?).get("/metrics")?.text;
    Ok(metrics::sum(&text, name, labels).unwrap_or_default() as u64)
}

/// Whether a write that breaks a policy is denied in the webhook's words.
fn judges(cluster: &Cluster) -> Result<Seen<()>> {
    let arguments = ["-n", sample::NAMESPACE, "scale", "deployment", sample::DEPLOYMENT];
    let arguments = [&arguments[..], &["--replicas=99", "--dry-run=server"]].concat();
    let outcome = cluster.kubectl("developer").run(&arguments)?;
    let is_denied = !outcome.succeeded && outcome.text().contains("SmartOps denies");
    Ok(Seen::when(is_denied, outcome.text()))
}

#[test]
fn a_secret_that_is_deleted_or_damaged_is_made_anew_beside_what_is_served_and_no_write_fails()
-> Result<()> {
    let cluster = own("certificates")?;
    under_load(&cluster, || {
        let former = current(&cluster)?.context("nothing is stored")?;
        let delete = [&["delete"], SECRET.as_slice()].concat();
        cluster.kubectl("admin").run(&delete)?.ok()?;
        let (after_deletion, beside) = anew(&cluster, &former)?;
        ensure!(beside == [former], "the former CA is handed out beside it: {beside:?}");
        presented_under(&cluster, &after_deletion)?;
        alone(&cluster, &after_deletion)?;

        let rubbish = STANDARD.encode("rubbish");
        let replace =
            |key: &str| json!({"op": "replace", "path": format!("/data/{key}"), "value": rubbish});
        patch(&cluster, &json!([replace("ca.key"), replace("tls.key"), replace("tls.crt")]))?;
        let (after_damage, beside) = anew(&cluster, &after_deletion)?;
        ensure!(beside == [after_deletion], "{beside:?}");
        presented_under(&cluster, &after_damage)?;
        alone(&cluster, &after_damage)?;

        // The twin: of a damaged leaf alone nothing but the leaf is made anew.
        patch(&cluster, &json!([replace("tls.key")]))?;
        eventually(SOON, "the leaf is made anew", || {
            let key = stored(&cluster)?.map(|secret| part(&secret, "tls.key")).transpose()?;
            Ok(Seen::when(key.is_some_and(|key| key.contains("PRIVATE KEY")), "it is rubbish"))
        })?;
        ensure!(current(&cluster)? == Some(after_damage), "the CA was good");
        Ok(())
    })?;
    let rotated =
        |labels: &[(&str, &str)]| counted(&cluster, "smartops_certificate_rotations_total", labels);
    // The first one was issued when SmartOps was installed.
    ensure!(rotated(&[("certificate", "ca"), ("reason", "missing")])? == 2);
    ensure!(rotated(&[("certificate", "ca"), ("reason", "damaged")])? == 1);
    ensure!(rotated(&[("certificate", "serving"), ("reason", "damaged")])? == 2);
    cluster.stop()
}

/// A certificate of somebody else for this machine, as the data of a Secret without the CA's key.
fn of_somebody_else(cluster: &Cluster) -> Result<Value> {
    let folder = cluster.dir().join("pki-somebody-else");
    pki::Authority::create(&folder)?.issue("hook", "hook", &[], &["127.0.0.1"])?;
    let read = |name: &str| -> Result<String> { Ok(STANDARD.encode(fs::read(folder.join(name))?)) };
    Ok(json!({
        "ca.crt": read("ca.crt")?, "tls.crt": read("hook.crt")?, "tls.key": read("hook.key")?,
    }))
}

#[test]
fn a_secret_of_somebody_else_is_never_overwritten_and_served_by_where_that_was_asked_for()
-> Result<()> {
    let cluster = own("foreign-certificate")?;
    let theirs = of_somebody_else(&cluster)?;
    let own = current(&cluster)?.context("nothing is stored")?;
    patch(
        &cluster,
        &json!([
            {"op": "remove", "path": "/metadata/annotations/smartops.dev~1certificate"},
            {"op": "replace", "path": "/data", "value": theirs},
        ]),
    )?;
    eventually(SOON, "it is refused, more than once", || {
        let refused =
            counted(&cluster, "smartops_certificate_errors_total", &[("kind", "foreign")])?;
        Ok(Seen::when(refused >= 3, format!("refused {refused} times")))
    })?;
    let is_theirs =
        || Ok::<bool, anyhow::Error>(stored(&cluster)?.is_some_and(|s| s["data"] == theirs));
    ensure!(is_theirs()?, "it was written");
    let log = fs::read_to_string(process::log(cluster.dir(), "webhook"))?;
    ensure!(log.contains("was not made by SmartOps") && log.contains("Delete it"), "{log}");
    // What is presented stays good, and goes on being judged by.
    served_under(&cluster, own.as_bytes())?;
    eventually(SOON, "the webhook still judges", || judges(&cluster))?;

    Program::Webhook.terminate(&cluster, SOON)?;
    Program::Webhook.start(&cluster, &["--certificate-source=secret"])?;
    let authority = STANDARD.decode(theirs["ca.crt"].as_str().unwrap_or_default())?;
    served_under(&cluster, &authority)?;
    eventually(SOON, "the API server asks it under their CA", || judges(&cluster))?;
    ensure!(is_theirs()?, "what is only read was written");

    // Somebody renews it, and it is followed.
    let renewed = of_somebody_else(&cluster)?;
    under_load(&cluster, || {
        patch(&cluster, &json!([{"op": "replace", "path": "/data", "value": renewed}]))?;
        let authority = STANDARD.decode(renewed["ca.crt"].as_str().unwrap_or_default())?;
        presented_under(&cluster, &String::from_utf8(authority)?)
    })?;

    // By hand: what is registered trusts what is served, until nothing is.
    let (is_fine, text) = checked(&cluster)?;
    ensure!(
        is_fine && text.contains("ValidatingWebhookConfiguration smartops-people: trusts"),
        "{text}"
    );
    Program::Webhook.kill(&cluster)?;
    let (is_fine, text) = checked(&cluster)?;
    ensure!(!is_fine && text.contains("NOT TRUSTED: https://127.0.0.1"), "{text}");
    cluster.stop()
}

/// What `smartops-certs check` says of a cluster, and whether it finds all well.
fn checked(cluster: &Cluster) -> Result<(bool, String)> {
    let output = Command::new(places::program("smartops-certs")?)
        .args(["check", "--kubeconfig"])
        .arg(cluster.kubectl("admin").kubeconfig())
        .output()
        .context("cannot start smartops-certs")?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

const SECOND: &str = "webhook-2";

/// A second replica of the webhook at ports of its own; the API server comes to the first.
struct Second<'a> {
    cluster: &'a Cluster,
    port: u16,
    health: u16,
}

impl<'a> Second<'a> {
    fn start(cluster: &'a Cluster, flags: &[&str]) -> Result<Self> {
        let [port, health] = free_ports()?;
        let ports = [
            format!("--listen-address=127.0.0.1:{port}"),
            format!("--health-address=127.0.0.1:{health}"),
        ];
        let flags = [&[&*ports[0], &*ports[1]], flags].concat();
        Program::Webhook.launch_as(SECOND, cluster, &flags)?;
        let second = Self { cluster, port, health };
        second.wait("/readyz", "it is ready", |answer| !answer.contains("not ready"))?;
        Ok(second)
    }

    fn wait(&self, path: &str, what: &str, is_so: impl Fn(&str) -> bool) -> Result<()> {
        let client = Client::new(&format!("http://127.0.0.1:{}", self.health));
        eventually(TAKEN_OVER, &format!("{SECOND}: {what}"), || {
            process::check_runs(self.cluster.dir(), SECOND)?;
            Ok(match client.get(path) {
                Ok(answer) => Seen::when(is_so(&answer.text), answer.text),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
    }

    fn wait_leads(&self) -> Result<()> {
        self.wait("/metrics", "it leads", |text| {
            metrics::sum(text, "smartops_webhook_leader", &[]) == Some(1.0)
        })
    }
}

#[test]
fn whoever_follows_a_leader_killed_on_the_way_to_a_new_ca_goes_it_to_its_end_and_no_write_fails()
-> Result<()> {
    let cluster = own("killed-rotation")?;
    // Before anybody was told of it, when some registrations were, and once the leader itself presents a leaf under it.
    for (failpoint, is_told) in [
        ("certificate-stored", false),
        ("registration-before-write@3", true),
        ("certificate-presented@2", true),
    ] {
        let second = Second::start(&cluster, &[&format!("--failpoint={failpoint}")])?;
        ensure!(second.port != endpoints(&cluster)?.webhook_port);
        Program::Webhook.terminate(&cluster, SOON)?;
        second.wait_leads()?;
        Program::Webhook.start(&cluster, &[])?;
        under_load(&cluster, || {
            let former = current(&cluster)?.context("nothing is stored")?;
            cluster.kubectl("admin").run(&[&["delete"], SECRET.as_slice()].concat())?.ok()?;
            process::wait_ended(cluster.dir(), SECOND, SOON)?;
            let (authority, beside) = anew(&cluster, &former)?;
            ensure!(beside == [former.clone()], "{beside:?}");
            if !is_told {
                // What everybody trusts is the former one, and that is still presented.
                served_under(&cluster, former.as_bytes())?;
            }
            eventually(TAKEN_OVER, "the successor hands it out", || {
                let bundle = String::from_utf8(certificate_authority(&cluster)?)?;
                Ok(Seen::when(bundle.starts_with(&authority), bundle))
            })
            .with_context(|| Program::Webhook.last_words(&cluster))?;
            presented_under(&cluster, &authority)?;
            alone(&cluster, &authority)
        })
        .with_context(|| failpoint.to_owned())?;
    }
    cluster.stop()
}

#[test]
fn the_only_replica_killed_in_the_middle_of_a_rotation_serves_again_within_seconds() -> Result<()> {
    let cluster = own("killed-alone")?;
    let started = |failpoint: &str| -> Result<()> {
        Program::Webhook.terminate(&cluster, SOON)?;
        Program::Webhook.start(&cluster, &[&format!("--failpoint={failpoint}")]).map(drop)
    };
    // The first leaf is presented at the start, and the one under the new CA after that.
    for failpoint in [
        "certificate-before-store",
        "certificate-stored",
        "registration-before-write",
        "registration-before-write@3",
        "certificate-presented@2",
    ] {
        started(failpoint)?;
        let former = current(&cluster)?.context("nothing is stored")?;
        cluster.kubectl("admin").run(&[&["delete"], SECRET.as_slice()].concat())?.ok()?;
        Program::Webhook.wait_ended(&cluster, SOON)?;
        let again = Instant::now();
        Program::Webhook.start(&cluster, &[])?;
        eventually(SOON, "it judges again", || judges(&cluster))?;
        let took = again.elapsed();
        ensure!(took < Duration::from_secs(10), "{failpoint}: serving again after {took:?}");
        let (authority, _) = anew(&cluster, &former)?;
        presented_under(&cluster, &authority)?;
    }
    cluster.stop()
}

#[test]
fn certificates_of_a_minute_rotate_five_times_and_their_ca_with_them_without_a_failed_write()
-> Result<()> {
    let cluster = own("time-travel")?;
    Program::Webhook.terminate(&cluster, SOON)?;
    Program::Webhook.start(&cluster, &["--certificate-lifetime=60s", "--ca-lifetime=120s"])?;
    eventually(SOON, "it judges", || judges(&cluster))?;
    let rotations = |certificate: &str| {
        let labels = [("certificate", certificate), ("reason", "expiring")];
        counted(&cluster, "smartops_certificate_rotations_total", &labels)
    };
    let calls = under_load(&cluster, || {
        // Each after two thirds of a minute.
        for number in 1..=5 {
            eventually(Duration::from_secs(50), &format!("rotation {number}"), || {
                let done = rotations("serving")?;
                Ok(Seen::when(done >= number, format!("{done} so far")))
            })?;
        }
        let authority = current(&cluster)?.context("nothing is stored")?;
        presented_under(&cluster, &authority)
    })?;
    ensure!(rotations("ca")? >= 2, "a CA of two minutes has to rotate as well");
    ensure!(calls >= 2_000, "{calls} writes are too few to tell anything");
    cluster.stop()
}
