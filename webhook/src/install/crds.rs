//! `smartops-webhook apply-crds`: brings the CustomResourceDefinitions in a cluster to what this release knows, before
//! anything of the release is upgraded that relies on them. Nothing is taken away that somebody may still use.

use std::io::Write;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use smartops_guard::kinds;
use smartops_process::client::{Error, deadline};

use super::answers::may_pass;
use super::{Fault, Term};

/// Who applies them.
const FIELD_MANAGER: &str = "smartops-install";

/// Applies every one, and waits until the API server serves them all. Where one must not be applied, none is.
pub(super) async fn apply(
    client: &Client,
    term: Term,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let wanted = kinds::crds();
    let mut standing = Vec::new();
    for crd in &wanted {
        standing.push(read(&api, &crd.name_any(), term).await?);
    }
    let pairs = || wanted.iter().zip(&standing);
    let refusals: Vec<String> =
        pairs().filter_map(|(wanted, stands)| refusal(stands.as_ref()?, wanted)).collect();
    if !refusals.is_empty() {
        return Err(Fault(refusals));
    }
    for (wanted, stands) in pairs() {
        let applied = write(&api, wanted, term).await?;
        let what = change(stands.as_ref(), &applied);
        writeln!(output, "{}: {what}", wanted.name_any())?;
    }
    loop {
        let mut waiting = Vec::new();
        for crd in &wanted {
            let name = crd.name_any();
            let stands = read(&api, &name, term).await?;
            waiting.extend(unserved(stands.as_ref()).map(|why| format!("{name} {why}")));
        }
        if waiting.is_empty() {
            writeln!(output, "all {} are served", wanted.len())?;
            return Ok(());
        }
        if !term.pause().await {
            let limit = term.given;
            return Err(Fault(
                waiting.into_iter().map(|why| format!("after {limit:?}: {why}")).collect(),
            ));
        }
    }
}

async fn read(
    api: &Api<CustomResourceDefinition>,
    name: &str,
    term: Term,
) -> Result<Option<CustomResourceDefinition>, Error> {
    let what = "reading a CustomResourceDefinition";
    loop {
        match deadline(what, term.call(), api.get_opt(name)).await {
            Err(error) if may_pass(&error) && term.pause().await => {}
            answer => return answer,
        }
    }
}

async fn write(
    api: &Api<CustomResourceDefinition>,
    crd: &CustomResourceDefinition,
    term: Term,
) -> Result<CustomResourceDefinition, Error> {
    // Helm made them and never writes them again: what it holds of them is taken over.
    let (params, name) = (PatchParams::apply(FIELD_MANAGER).force(), crd.name_any());
    let what = "applying a CustomResourceDefinition";
    loop {
        match deadline(what, term.call(), api.patch(&name, &params, &Patch::Apply(crd))).await {
            Err(error) if may_pass(&error) && term.pause().await => {}
            answer => return answer,
        }
    }
}

/// Why one may not be applied over the one that stands.
fn refusal(stands: &CustomResourceDefinition, wanted: &CustomResourceDefinition) -> Option<String> {
    let name = wanted.name_any();
    if stands.metadata.deletion_timestamp.is_some() {
        return Some(format!(
            "{name} is being deleted, with every object of its kind: wait until it is gone, then give this command again"
        ));
    }
    let offers = |crd: &CustomResourceDefinition, version: &str| {
        crd.spec.versions.iter().any(|v| v.name == version && v.served)
    };
    let served = stands.spec.versions.iter().filter(|v| v.served).map(|v| v.name.as_str());
    let lost: Vec<&str> = served.filter(|version| !offers(wanted, version)).collect();
    if !lost.is_empty() {
        let known: Vec<&str> = wanted.spec.versions.iter().map(|v| v.name.as_str()).collect();
        return Some(format!(
            "{name} is served as {}, and this release knows {} only: it is older than the one that wrote it. Upgrade to \
             that release or a newer one",
            lost.join(", "),
            known.join(", "),
        ));
    }
    let stored = stands.status.iter().flat_map(|s| s.stored_versions.iter().flatten());
    let lost: Vec<&str> = stored
        .map(String::as_str)
        .filter(|version| wanted.spec.versions.iter().all(|v| v.name != *version))
        .collect();
    (!lost.is_empty()).then(|| {
        format!(
            "{name} has objects stored as {}, which this release cannot read: write each of them once more by the release \
             that stands, take the version out of status.storedVersions, then upgrade",
            lost.join(", "),
        )
    })
}

/// What applying one came to.
fn change(
    before: Option<&CustomResourceDefinition>,
    after: &CustomResourceDefinition,
) -> &'static str {
    match before {
        None => "created",
        Some(before) if before.metadata.generation == after.metadata.generation => "unchanged",
        Some(_) => "upgraded",
    }
}

/// Why one is not served yet; `None` where it is.
fn unserved(crd: Option<&CustomResourceDefinition>) -> Option<String> {
    let Some(crd) = crd else {
        return Some("is gone: somebody deleted it meanwhile".to_owned());
    };
    let conditions = || crd.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let holds = |type_: &str| conditions().any(|c| c.type_ == type_ && c.status == "True");
    if holds("Established") && holds("NamesAccepted") {
        return None;
    }
    let told: Vec<&str> =
        conditions().filter(|c| c.status == "False").filter_map(|c| c.message.as_deref()).collect();
    let told = if told.is_empty() { "no word why".to_owned() } else { told.join("; ") };
    Some(format!("is not served by the API server: {told}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// One with these versions (name, whether served), the last of which stored, and what was ever stored.
    fn crd(versions: &[(&str, bool)], stored: &[&str]) -> CustomResourceDefinition {
        let last = versions.len() - 1;
        let versions: Vec<Value> = versions
            .iter()
            .enumerate()
            .map(
                |(i, (name, served))| json!({"name": name, "served": served, "storage": i == last}),
            )
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.smartops.dev", "generation": 3},
            "spec": {
                "group": "smartops.dev", "scope": "Namespaced", "versions": versions,
                "names": {"kind": "Thing", "plural": "things"},
            },
            "status": {"storedVersions": stored},
        }))
        .unwrap()
    }

    #[test]
    fn a_version_that_is_served_or_stored_is_never_taken_away() {
        let (old, new) = (("v1alpha1", true), ("v1", true));
        for (stands, wanted, word) in [
            (crd(&[old], &["v1alpha1"]), crd(&[old], &[]), None),
            (crd(&[old], &["v1alpha1"]), crd(&[old, new], &[]), None),
            (crd(&[old, new], &["v1alpha1", "v1"]), crd(&[old], &[]), Some("older than the one")),
            (
                crd(&[old], &["v1alpha1"]),
                crd(&[("v1alpha1", false), new], &[]),
                Some("is served as v1alpha1"),
            ),
            // No longer served and not stored any more: nobody is left who uses it.
            (crd(&[("v1alpha1", false), new], &["v1"]), crd(&[new], &[]), None),
            (
                crd(&[("v1alpha1", false), new], &["v1alpha1", "v1"]),
                crd(&[new], &[]),
                Some("stored as v1alpha1"),
            ),
        ] {
            let told = refusal(&stands, &wanted);
            let is_as_expected = match word {
                None => told.is_none(),
                Some(word) => told.as_ref().is_some_and(|told| told.contains(word)),
            };
            assert!(is_as_expected, "{word:?}: {told:?}");
        }
    }

    #[test]
    fn one_that_is_being_deleted_is_left_alone() {
        let mut stands = crd(&[("v1", true)], &["v1"]);
        assert_eq!(refusal(&stands, &crd(&[("v1", true)], &[])), None);
        stands.metadata.deletion_timestamp =
            serde_json::from_value(json!("2026-11-27T08:00:00Z")).unwrap();
        let told = refusal(&stands, &crd(&[("v1", true)], &[])).unwrap();
        assert!(told.contains("is being deleted"), "{told}");
    }

    #[test]
    fn what_was_done_is_told_by_the_generation() {
        let stands = crd(&[("v1", true)], &[]);
        let mut after = stands.clone();
        assert_eq!(change(None, &after), "created");
        assert_eq!(change(Some(&stands), &after), "unchanged");
        after.metadata.generation = Some(4);
        assert_eq!(change(Some(&stands), &after), "upgraded");
    }

    #[test]
    fn it_is_served_once_its_names_are_accepted_and_it_is_established() {
        let with = |conditions: Value| {
            let mut crd = serde_json::to_value(crd(&[("v1", true)], &[])).unwrap();
            crd["status"]["conditions"] = conditions;
            serde_json::from_value::<CustomResourceDefinition>(crd).unwrap()
        };
        let (accepted, established) = (
            json!({"type": "NamesAccepted", "status": "True"}),
            json!({"type": "Established", "status": "True"}),
        );
        let taken =
            json!({"type": "NamesAccepted", "status": "False", "message": "\"things\" is taken"});
        assert_eq!(unserved(Some(&with(json!([accepted, established])))), None);
        for (crd, word) in [
            (Some(with(json!([accepted]))), "no word why"),
            (Some(with(json!([taken, established]))), "\"things\" is taken"),
            (None, "is gone"),
        ] {
            assert!(unserved(crd.as_ref()).unwrap().contains(word), "{word}");
        }
    }

    #[test]
    fn every_kind_of_smartops_own_is_among_them() {
        let names: Vec<String> = kinds::crds().iter().map(ResourceExt::name_any).collect();
        assert_eq!(names.len(), 7);
        assert!(names.iter().all(|name| name.ends_with(".smartops.dev")), "{names:?}");
    }
}
