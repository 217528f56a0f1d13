//! `smartops-webhook remove-registrations`: takes away everything by which SmartOps judges a write, with the webhook
//! alive, wrong or dead. The webhook's rights over registrations go first, so that it cannot put back what is deleted.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io::Write;
use std::time::Duration;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
    ValidatingWebhookConfiguration,
};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use smartops_common::names;
use smartops_guard::registration::PRODUCT;
use smartops_process::client::{Error, deadline};
use tokio::time::Instant;

use super::answers::may_pass;
use super::{Fault, Term};

/// For how long nothing may come back: longer than the webhook waits before it makes a deleted registration again.
const QUIET: Duration = Duration::from_secs(4);

/// Deletes, and looks again until nothing has been there for [`QUIET`].
pub(super) async fn remove(
    client: &Client,
    term: Term,
    output: &mut dyn Write,
) -> Result<(), Fault> {
    let mut seen = Seen::default();
    loop {
        let looked = look(client, term).await;
        let now = Instant::now();
        match &looked {
            Ok(found) => {
                for object in seen.unseen(found) {
                    writeln!(output, "deleting {object}")?;
                }
                if seen.is_over(found, now) {
                    let told = match seen.told.len() {
                        0 => "nothing of SmartOps' judges any write: nothing was to be done"
                            .to_owned(),
                        deleted => {
                            format!("{deleted} deleted: nothing of SmartOps' judges any write")
                        }
                    };
                    writeln!(output, "{told}")?;
                    return Ok(());
                }
            }
            Err(error) if may_pass(error) => seen.quiet_since = None,
            Err(_) => {}
        }
        let is_hopeless = looked.as_ref().is_err_and(|error| !may_pass(error));
        if is_hopeless || !term.pause().await {
            return Err(unfinished(looked, term.given));
        }
    }
}

/// Why it did not come to its end.
fn unfinished(looked: Result<Vec<Found>, Error>, given: Duration) -> Fault {
    match looked {
        Ok(found) if found.is_empty() => {
            format!("everything is deleted, and {given:?} were too short to see that nothing comes back: give the command again")
                .into()
        }
        Ok(found) => Fault(found.iter().map(|found| found.after(given)).collect()),
        Err(error) => Fault(vec![
            format!("after {given:?} the registrations are not known to be gone: {error}"),
            "what to do: docs/outage.md, the way out".to_owned(),
        ]),
    }
}

/// Something of ours that stood, and was asked to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    kind: &'static str,
    name: String,
    finalizers: Vec<String>,
}

impl Found {
    fn of<K: Resource<DynamicType = ()>>(object: &K, kind: &'static str) -> Self {
        Self { kind, name: object.name_any(), finalizers: object.finalizers().to_vec() }
    }

    /// That it still stands.
    fn after(&self, given: Duration) -> String {
        let Self { kind, name, finalizers } = self;
        let why = if finalizers.is_empty() {
            "somebody makes it again; see who writes it (metadata.managedFields) and stop that first".to_owned()
        } else {
            format!(
                "it is held by {}: have whoever put that there let go of it",
                finalizers.join(", ")
            )
        };
        format!("{kind} {name} still stands after {given:?}: {why}")
    }
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    /// What stood at any time.
    told: BTreeSet<String>,
    quiet_since: Option<Instant>,
}

impl Seen {
    /// Takes note of what stood, and hands out what was not seen before.
    fn unseen(&mut self, found: &[Found]) -> Vec<String> {
        let objects = found.iter().map(|Found { kind, name, .. }| format!("{kind} {name}"));
        objects.filter(|object| self.told.insert(object.clone())).collect()
    }

    /// Whether it can be said, after this look, that nothing is there and nothing comes back.
    fn is_over(&mut self, found: &[Found], now: Instant) -> bool {
        if !found.is_empty() {
            self.quiet_since = None;
            return false;
        }
        // Where the webhook had no rights to begin with and nothing stood, nobody is there who would put it back.
        let since = *self.quiet_since.get_or_insert(now);
        self.told.is_empty() || now.duration_since(since) >= QUIET
    }
}

/// Deletes whatever stands, and says what did: in the order in which it has to go.
async fn look(client: &Client, term: Term) -> Result<Vec<Found>, Error> {
    let binding = format!("{}-cluster", names::WEBHOOK_SERVICE_ACCOUNT);
    let mut found = Vec::new();
    found.extend(delete::<ClusterRoleBinding>(client, &binding, term).await?);
    for name in names::REGISTRATIONS {
        found.extend(delete::<ValidatingWebhookConfiguration>(client, name, term).await?);
        found.extend(delete::<MutatingWebhookConfiguration>(client, name, term).await?);
    }
    // A policy without a binding judges nothing.
    found.extend(delete_labelled::<ValidatingAdmissionPolicyBinding>(client, term).await?);
    found.extend(delete_labelled::<ValidatingAdmissionPolicy>(client, term).await?);
    Ok(found)
}

/// Of the whole cluster.
trait Ours:
    Resource<DynamicType = (), Scope = ClusterResourceScope>
    + k8s_openapi::Resource
    + Clone
    + Debug
    + DeserializeOwned
{
}

impl<K> Ours for K where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + k8s_openapi::Resource
        + Clone
        + Debug
        + DeserializeOwned
{
}

async fn delete<K: Ours>(client: &Client, name: &str, term: Term) -> Result<Option<Found>, Error> {
    let api: Api<K> = Api::all(client.clone());
    let params = DeleteParams::default();
    let call = api.delete(name, &params);
    match deadline("deleting what judges writes", term.call(), call).await {
        Ok(deleted) => Ok(Some(deleted.either(
            |object| Found::of(&object, K::KIND),
            |_| Found { kind: K::KIND, name: name.to_owned(), finalizers: Vec::new() },
        ))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn delete_labelled<K: Ours>(client: &Client, term: Term) -> Result<Vec<Found>, Error> {
    let api: Api<K> = Api::all(client.clone());
    let ours = ListParams::default().labels(&format!("{}={PRODUCT}", names::PART_OF));
    let what = "listing what the API server judges by itself";
    let listed = deadline(what, term.call(), api.list(&ours)).await?;
    let mut found = Vec::new();
    for object in listed.items {
        found.extend(delete::<K>(client, &object.name_any(), term).await?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, finalizers: &[&str]) -> Found {
        let finalizers = finalizers.iter().map(|f| (*f).to_owned()).collect();
        Found { kind: "ValidatingWebhookConfiguration", name: name.to_owned(), finalizers }
    }

    #[test]
    fn where_nothing_stood_nothing_is_waited_for() {
        let mut seen = Seen::default();
        assert!(seen.is_over(&[], Instant::now()));
    }

    #[test]
    fn it_is_over_once_nothing_came_back_for_a_while_and_what_comes_back_begins_it_anew() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let people = [found("smartops-people", &[])];
        assert_eq!(seen.unseen(&people), ["ValidatingWebhookConfiguration smartops-people"]);
        assert!(!seen.is_over(&people, at(0)));
        assert!(!seen.is_over(&[], at(1)));
        assert!(!seen.is_over(&[], at(4)));
        assert_eq!(seen.unseen(&people), Vec::<String>::new(), "each is told once");
        assert!(!seen.is_over(&people, at(5)));
        assert!(!seen.is_over(&[], at(6)));
        assert!(!seen.is_over(&[], at(9)));
        assert!(seen.is_over(&[], at(10)));
    }

    #[test]
    fn what_still_stands_is_told_with_who_holds_it() {
        let given = Duration::from_secs(30);
        let Fault(told) =
            unfinished(Ok(vec![found("a", &[]), found("b", &["example.com/keep"])]), given);
        assert!(told[0].contains("a still stands after 30s: somebody makes it again"), "{told:?}");
        assert!(told[1].contains("held by example.com/keep"), "{told:?}");
        let Fault(told) = unfinished(Ok(Vec::new()), given);
        assert!(told[0].contains("too short"), "{told:?}");
        let deaf = Error::Deadline { what: "deleting", limit: given };
        let Fault(told) = unfinished(Err(deaf), given);
        assert!(told[0].contains("no answer") && told[1].contains("docs/outage.md"), "{told:?}");
    }
}
