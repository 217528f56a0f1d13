//! Installing SmartOps into a cluster: manifests, actors, both programs, the sample workload.

use std::fs;
use std::io::Read as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::cluster::{Cluster, free_ports};
use crate::hex::hex;
use crate::programs::Program;
use crate::state::Endpoints;
use crate::wait::{Seen, eventually};
use crate::{identities, pki, places, sample};

const LIMIT: Duration = Duration::from_mins(1);
/// Both kinds of registration.
const REGISTRATIONS: &str = "validatingwebhookconfigurations,mutatingwebhookconfigurations";

/// Who automation is in a cluster of ours, who may break the glass, and who approves.
const CONFIG: &str = "\
apiVersion: smartops.dev/v1alpha1
kind: SmartOpsConfig
metadata:
  name: default
spec:
  automation:
    serviceAccounts:
      - namespace: smartops-dev
        name: agent
      - namespace: smartops-dev
        name: meddler
  breakGlass:
    groups: [oncall]
  approval:
    groups: [approvers]
  # Tests share the cluster: what they do together is no storm.
  closedLoop:
    maxInFlight: 200
    storm: {targets: 10000}
    namespaceRate: {remedies: 10000}
";

/// Installs everything and returns when both programs are ready and the sample has rolled out.
pub fn install(cluster: &mut Cluster, tell: &dyn Fn(&str)) -> Result<()> {
    install_base(cluster, tell)?;
    start_programs(cluster, tell)?;
    tell("rolling out the sample workload");
    let developer = cluster.kubectl("developer");
    sample::roll_out(&developer, sample::NAMESPACE, sample::DEPLOYMENT, sample::REPLICAS)
}

/// Installs what both programs need, and the actors: CRDs, RBAC, policies, kubeconfigs. Nothing is registered yet.
pub fn install_base(cluster: &mut Cluster, tell: &dyn Fn(&str)) -> Result<()> {
    prepare(cluster)?;
    let admin = cluster.kubectl("admin");
    tell("installing CRDs, RBAC, policies, actors");
    admin.apply(&render(cluster, "base")?)?;
    let kinds = [
        "smartopsconfigs",
        "guardrailpolicies",
        "guardrailexceptions",
        "remediations",
        "remediationapprovals",
        "remediationpolicies",
    ]
    .map(|plural| format!("crd/{plural}.smartops.dev"));
    let mut arguments = vec!["wait", "--for=condition=Established", "--timeout=60s"];
    arguments.extend(kinds.iter().map(String::as_str));
    admin.run(&arguments)?.ok()?;
    admin.apply(&render(cluster, "policies")?)?;
    identities::create(cluster)
}

/// Starts both programs, registers the webhook, and returns when both are ready.
pub fn start_programs(cluster: &Cluster, tell: &dyn Fn(&str)) -> Result<()> {
    start_webhook(cluster, tell)?;
    tell("starting the controller");
    Program::Controller.start(cluster, &[])?;
    Ok(())
}

/// Starts the webhook, registers it, and returns when the API server asks it.
pub fn start_webhook(cluster: &Cluster, tell: &dyn Fn(&str)) -> Result<()> {
    let admin = cluster.kubectl("admin");
    // As an installation has them: by name alone. The webhook fills them once it serves.
    admin.apply(&render(cluster, "registrations")?)?;
    tell("starting the webhook");
    Program::Webhook.start(cluster, &[])?;
    wait_registered(cluster)
}

/// Chooses ports and makes the API key. Ports are kept when programs start again: registrations name them.
fn prepare(cluster: &mut Cluster) -> Result<()> {
    let [webhook_port, webhook_health_port, controller_port] = free_ports()?;
    let api_key = random_hex()?;
    let hash = hex(&Sha256::digest(&api_key));
    let keys = cluster.dir().join("api-keys");
    pki::write(
        &keys,
        &format!(
            "# Keys of the controller's API: a name and the SHA-256 of the key.\nharness {hash}\n"
        ),
    )?;
    pki::write(&cluster.dir().join("smartopsconfig.yaml"), CONFIG)?;
    let webhook_host = if cluster.state.own_control_plane {
        "127.0.0.1".to_owned()
    } else {
        places::variable("SMARTOPS_WEBHOOK_HOST").unwrap_or_else(|| "127.0.0.1".to_owned())
    };
    cluster.state.smartops = Some(Endpoints {
        webhook_host,
        webhook_port,
        webhook_health_port,
        controller_port,
        api_key,
    });
    cluster.state.write()
}

/// One part of the installation as the manifests crate renders it for this cluster.
pub fn render(cluster: &Cluster, part: &str) -> Result<String> {
    let output = Command::new(places::program("smartops-manifests")?)
        .args(["render", "--only", part])
        .arg("--config")
        .arg(cluster.dir().join("smartopsconfig.yaml"))
        .output()
        .context("cannot start smartops-manifests")?;
    if !output.status.success() {
        bail!("smartops-manifests: {}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("the manifests are no text")
}

/// Waits until the webhook has filled every registration, CA bundles included, and answers through one.
fn wait_registered(cluster: &Cluster) -> Result<()> {
    let admin = cluster.kubectl("admin");
    eventually(LIMIT, "the webhook has filled its registrations", || {
        let missing = unfilled(&admin.get(&[REGISTRATIONS])?);
        Ok(Seen::when(missing.is_empty(), format!("without entries or CA: {missing:?}")))
    })
    .with_context(|| Program::Webhook.last_words(cluster))?;
    // The API server learns a registration a moment after it is stored; a write judged by it shows that it has.
    let developer = cluster.kubectl("developer");
    let probe =
        sample::deployment(sample::NAMESPACE, "smartops-registration-probe", 99).to_string();
    eventually(LIMIT, "the API server asks the webhook", || {
        let arguments = ["create", "--dry-run=server", "-f", "-"];
        let outcome = developer.run_with(&arguments, Some(&probe))?;
        let judged = !outcome.succeeded && outcome.errors.contains("denied the request");
        Ok(Seen::when(judged, outcome.text()))
    })
    .with_context(|| hint(cluster))
}

fn hint(cluster: &Cluster) -> String {
    let words = Program::Webhook.last_words(cluster);
    if cluster.state.own_control_plane {
        return words;
    }
    format!(
        "the webhook runs on this machine, and the API server of SMARTOPS_KUBECONFIG must reach it: set \
         SMARTOPS_WEBHOOK_HOST to an address of this machine that it can reach; {words}"
    )
}

/// Every registration that asks about something whatever policies say, as kind/name, that a list shows without entries
/// or not at all; and every entry of ours in it without a CA bundle.
pub fn unfilled(list: &Value) -> Vec<String> {
    const ASKING: [(&str, &str); 4] = [
        ("ValidatingWebhookConfiguration", "smartops-automation"),
        ("ValidatingWebhookConfiguration", "smartops-people"),
        ("ValidatingWebhookConfiguration", "smartops-own"),
        ("MutatingWebhookConfiguration", "smartops-own"),
    ];
    let all: Vec<&Value> = list["items"].as_array().into_iter().flatten().collect();
    let entries =
        |registration: &Value| registration["webhooks"].as_array().cloned().unwrap_or_default();
    let is = |registration: &Value, kind: &str, name: &str| {
        registration["kind"] == kind && registration["metadata"]["name"] == name
    };
    let asks = |(kind, name): (&str, &str)| {
        all.iter()
            .any(|registration| is(registration, kind, name) && !entries(registration).is_empty())
    };
    let silent = ASKING.into_iter().filter(|asking| !asks(*asking));
    let mut missing: Vec<String> = silent.map(|(kind, name)| format!("{kind}/{name}")).collect();
    let ours = all.iter().filter(|registration| {
        registration["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("smartops-"))
    });
    let without_bundle = ours
        .flat_map(|registration| entries(registration))
        .filter(|entry| entry["clientConfig"]["caBundle"].as_str().is_none_or(str::is_empty));
    missing.extend(without_bundle.map(|entry| entry["name"].as_str().unwrap_or("?").to_owned()));
    missing
}

fn random_hex() -> Result<String> {
    let mut bytes = [0; 24];
    let mut source = fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    source.read_exact(&mut bytes).context("cannot read /dev/urandom")?;
    Ok(hex(&bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(kind: &str, name: &str) -> Value {
        let entry = json!({"name": format!("{name}.{kind}"), "clientConfig": {"caBundle": "x"}});
        json!({"kind": kind, "metadata": {"name": name}, "webhooks": [entry]})
    }

    #[test]
    fn a_registration_of_ours_without_entries_or_a_bundle_is_missed_and_nobody_elses() {
        let (v, m) = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration");
        let mut all = vec![
            filled(v, "smartops-automation"),
            filled(v, "smartops-people"),
            filled(v, "smartops-own"),
            filled(m, "smartops-own"),
            json!({"kind": m, "metadata": {"name": "smartops-people"}}),
            json!({"kind": v, "metadata": {"name": "foreign"}, "webhooks": [{"name": "c"}]}),
        ];
        let missed = |all: &[Value]| unfilled(&json!({"items": all}));
        assert_eq!(missed(&all), [""; 0]);
        all[0]["webhooks"] = json!([]);
        all[1]["webhooks"][0]["clientConfig"] = json!({});
        all.remove(2);
        let expected = [
            "ValidatingWebhookConfiguration/smartops-automation",
            "ValidatingWebhookConfiguration/smartops-own",
            "smartops-people.ValidatingWebhookConfiguration",
        ];
        assert_eq!(missed(&all), expected);
    }
}
