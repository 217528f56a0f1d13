//! What a site with cert-manager is given: the chart's objects and flags where cert-manager issues, and the rights of its
//! programs.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::chart::{self, RELEASE};
use smartops_tests::components::Helm;
use smartops_tests::helm::Runner;

use super::site::{AUTHORITY, SERVING};
use crate::support::folder;

/// What of the chart is for certificates.
const KINDS: [&str; 4] =
    ["Issuer", "Certificate", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];

/// What helm makes of the chart.
pub(super) fn rendered(values: &[&str]) -> Result<Vec<Value>> {
    let helm = Runner::new(&Helm::ensure(&|_| {})?, &folder("helm"));
    chart::objects(&helm.template(RELEASE, &chart::folder(), values)?.ok()?)
}

/// What the chart tells the webhook of its certificate.
pub(super) fn flags(objects: &[Value]) -> Result<Vec<String>> {
    let is_it = |o: &&Value| o["kind"] == "Deployment" && o["metadata"]["name"] == SERVING;
    let deployment = objects.iter().find(is_it).context("no Deployment")?;
    let arguments = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments = arguments.as_array().into_iter().flatten().filter_map(Value::as_str);
    let of_certificates = arguments.filter(|argument| argument.starts_with("--certificate"));
    let flags: Vec<String> = of_certificates.map(str::to_owned).collect();
    ensure!(flags.len() == 2, "{flags:?}");
    Ok(flags)
}

/// What of the chart's objects is for certificates, and what lets the webhook read them.
pub(super) fn of_certificates(objects: &[Value], lifetimes: Option<(&str, &str)>) -> Vec<Value> {
    let lets = |o: &Value| o["kind"] == "Role" && o["metadata"]["name"] == SERVING;
    let is_wanted = |o: &&Value| lets(o) || KINDS.iter().any(|kind| o["kind"] == *kind);
    objects.iter().filter(is_wanted).map(|object| living(object.clone(), lifetimes)).collect()
}

/// An object that is to live as long as is said, where it is a Certificate.
fn living(mut object: Value, lifetimes: Option<(&str, &str)>) -> Value {
    if let (Some((serving, authority)), true) = (lifetimes, object["kind"] == "Certificate") {
        let is_authority = object["metadata"]["name"] == AUTHORITY;
        object["spec"]["duration"] = json!(if is_authority { authority } else { serving });
        if is_authority {
            object["spec"]["renewBefore"] = json!(serving);
        }
    }
    object
}

/// What the controllers of the two issuers may do.
pub(super) fn controller_rights() -> Value {
    json!([
        {"apiGroups": ["cert-manager.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["secrets", "events"], "verbs": ["*"]},
    ])
}

/// What the CA injector may do.
pub(super) fn injector_rights() -> Value {
    let registrations = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"];
    json!([
        {"apiGroups": ["cert-manager.io"], "resources": ["certificates"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": ["admissionregistration.k8s.io"], "resources": registrations,
            "verbs": ["get", "list", "watch", "update", "patch"],
        },
    ])
}
