//! `smartops-webhook self-test`: sees whether an installation does what it is there for, through the API server alone.
//! Nothing is stored: every write is a dry run. What a finding means is `checks`'.

use std::io::Write;

use axum::http::Uri;
use clap::Args;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::PostParams;
use kube::{Api, Client, Config};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use smartops_common::names::{self, label};
use smartops_common::remediation::{Remediation, cause_label};
use smartops_process::client::{Error, deadline};

use super::answers::Judged;
use super::checks::{self, FEW, Finding, Registration, TOO_MANY};
use super::{Fault, InstallArgs, Term};

/// Begins the names of what is never stored.
const PROBE: &str = "smartops-self-test";
/// A cause that nobody gives but the controller.
const RESERVED_CAUSE: &str = "rca/self-test";

/// The arguments of a self-test.
#[derive(Debug, Clone, Args)]
pub struct SelfTestArgs {
    /// What every one of these takes.
    #[command(flatten)]
    pub common: InstallArgs,
    /// A namespace whose workloads the policies guard.
    #[arg(long, default_value = names::DEFAULT_TARGET_NAMESPACE, value_name = "NAME")]
    pub target_namespace: String,
    /// The controller: as its Service is named in the API server's proxy, `SCHEME:NAME:PORT`, or for one outside the
    /// cluster by its base URL, `http[s]://HOST:PORT`. Only whether it is ready is asked, so no certificate is checked.
    #[arg(long, default_value = "https:smartops-orchestrator:8001", value_name = "NAME|URL")]
    pub controller: String,
    /// The shipped policies are not installed: ask for no denial by them.
    #[arg(long)]
    pub without_policies: bool,
}

/// Looks at everything until all of it is well, or the time is over.
pub(super) async fn test(
    client: &Client,
    term: Term,
    args: &SelfTestArgs,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let findings = loop {
        let findings = look(client, term, args).await?;
        if findings.iter().all(|finding| finding.told.is_ok()) || !term.pause().await {
            break findings;
        }
    };
    let mut wrong = 0;
    for Finding { what, told } in &findings {
        match told {
            Ok(told) => writeln!(output, "ok      {what}: {told}")?,
            Err(told) => {
                wrong += 1;
                writeln!(output, "FAILED  {what}: {told}")?;
            }
        }
    }
    if wrong == 0 {
        return Ok(());
    }
    Err(format!("{wrong} of {} checks failed", findings.len()).into())
}

async fn look(client: &Client, term: Term, args: &SelfTestArgs) -> Result<Vec<Finding>, Fault> {
    let namespace = args.target_namespace.as_str();
    let mut findings = vec![checks::registrations(&registrations(client, term).await?)];
    let remediation = remediation(namespace).map_err(|error| error.to_string())?;
    findings.push(checks::own_kinds(&tried(client, namespace, &remediation, term).await));
    for replicas in [TOO_MANY, FEW] {
        if replicas == TOO_MANY && args.without_policies {
            continue;
        }
        let deployment = deployment(replicas).map_err(|error| error.to_string())?;
        let judged = tried(client, namespace, &deployment, term).await;
        findings.push(match replicas {
            TOO_MANY => checks::too_many(&judged, namespace),
            _ => checks::few(&judged, namespace),
        });
    }
    let answer = readiness(client, &args.controller, term).await?;
    findings.push(checks::controller(answer, &args.controller));
    Ok(findings)
}

async fn registrations(client: &Client, term: Term) -> Result<Vec<Registration>, Error> {
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let mut found = Vec::new();
    let what = "reading a registration";
    for name in names::REGISTRATIONS {
        let is_never_empty = names::is_never_empty(name);
        let stands = deadline(what, term.call(), validating.get_opt(name)).await?;
        let entries = stands.map(|stands| {
            stands.webhooks.iter().flatten().map(|entry| trusts(&entry.client_config)).collect()
        });
        found.push(Registration { key: format!("validating {name}"), is_never_empty, entries });
        let stands = deadline(what, term.call(), mutating.get_opt(name)).await?;
        let entries = stands.map(|stands| {
            stands.webhooks.iter().flatten().map(|entry| trusts(&entry.client_config)).collect()
        });
        found.push(Registration { key: format!("mutating {name}"), is_never_empty, entries });
    }
    Ok(found)
}

/// Whether an entry says whom to trust.
fn trusts(client_config: &WebhookClientConfig) -> bool {
    client_config.ca_bundle.as_ref().is_some_and(|bundle| !bundle.0.is_empty())
}

/// What would become of an object that is created.
async fn tried<K>(client: &Client, namespace: &str, object: &K, term: Term) -> Judged
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Serialize
        + DeserializeOwned
        + Clone
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    Judged::of(deadline("trying a write", term.call(), api.create(&dry_run, object)).await)
}

/// A Deployment with so many replicas.
fn deployment(replicas: u32) -> serde_json::Result<Deployment> {
    let labels = json!({"app.kubernetes.io/name": PROBE});
    let container = json!({
        "name": "nothing", "image": "smartops.invalid/nothing:1",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}, "limits": {"cpu": "1m", "memory": "1Mi"}},
    });
    let pod = json!({
        "containers": [container], "automountServiceAccountToken": false,
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
    });
    serde_json::from_value(json!({
        "metadata": {"generateName": format!("{PROBE}-"), "labels": labels},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }))
}

/// A Remediation that only the controller could make.
fn remediation(namespace: &str) -> serde_json::Result<Remediation> {
    let target: Value = json!({"kind": "Deployment", "name": PROBE, "uid": PROBE});
    serde_json::from_value(json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "Remediation",
        "metadata": {"namespace": namespace, "generateName": format!("{PROBE}-"), "labels": {
            label::TARGET_UID: PROBE, label::CAUSE: cause_label(RESERVED_CAUSE),
        }},
        "spec": {
            "target": target, "action": {"type": "restart"}, "cause": RESERVED_CAUSE,
            "source": "user", "dryRun": true,
        },
    }))
}

/// What the controller answers at /readyz.
async fn readiness(
    client: &Client,
    controller: &str,
    term: Term,
) -> Result<Result<String, Error>, Fault> {
    let what = "asking the controller";
    let get = |path: String| {
        axum::http::Request::get(path).body(Vec::new()).map_err(|error| {
            format!("--controller {controller:?} makes no address ({error}): give SCHEME:NAME:PORT or a URL")
        })
    };
    if !controller.contains("://") {
        let path = format!(
            "/api/v1/namespaces/{}/services/{controller}/proxy/readyz",
            names::SYSTEM_NAMESPACE
        );
        let call = client.request_text(get(path)?);
        return Ok(deadline(what, term.call(), call).await);
    }
    let base: Uri = controller.parse().map_err(|error| {
        format!("--controller {controller:?} is no URL ({error}): give http[s]://HOST:PORT")
    })?;
    let mut config = Config::new(base);
    config.default_retry = false;
    config.accept_invalid_certs = true;
    let direct = Client::try_from(config).map_err(Error::Build)?;
    Ok(deadline(what, term.call(), direct.request_text(get("/readyz".to_owned())?)).await)
}
