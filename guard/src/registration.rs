//! The webhook registrations, worked out from the configuration and the policies in force: which writes the API
//! server asks the webhook about, whose, and by which URL path.
//!
//! Automation's fail closed in every namespace and cover every write to the kinds a workload is made of, so that what
//! no policy names is denied. People's cover exactly what policies that can bind people ask for, and fail as the
//! configuration says. A third has SmartOps' own kinds checked, whoever writes them, and fails closed. The scale subresource is an entry of its own, because its
//! reviews carry no labels. Does not live here: who writes them into the cluster, and when.

mod demand;
mod entries;
mod outage;
mod probe;
mod versions;
mod wanted;
pub(crate) mod who;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhook, MutatingWebhookConfiguration, ServiceReference, ValidatingWebhook,
    ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::names::{self, path};

pub use self::demand::{Demand, Target};
use self::entries::{Entry, Unanswered};
pub(crate) use self::outage::within;
pub use self::probe::{PROBE, REACHED, probing};
pub use self::who::BY_AUTOMATION;
use crate::policy::Flaw;

/// How long the API server waits for a verdict without which a write is refused. Seconds.
const TIMEOUT_SECONDS: i32 = 10;
/// How long it waits where the write passes without one: so long does a webhook that hangs hold it up. Seconds.
const PASSING_TIMEOUT_SECONDS: i32 = 3;
/// What [`names::PART_OF`] says of everything of ours.
pub const PRODUCT: &str = "smartops";

/// How the API server reaches the webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// By its Service in SmartOps' namespace.
    Service,
    /// By this base URL (`https://127.0.0.1:8443`), where it runs outside the cluster.
    Url(String),
}

impl Reach {
    /// Whether an entry that stands somewhere leads there, by whatever path.
    pub fn leads(&self, client_config: &WebhookClientConfig) -> bool {
        match self {
            Self::Service => client_config.service.as_ref().is_some_and(|service| {
                service.name == names::WEBHOOK_SERVICE
                    && service.namespace == names::SYSTEM_NAMESPACE
            }),
            Self::Url(base) => {
                let url = client_config.url.as_deref().unwrap_or_default();
                let path = url.strip_prefix(base.trim_end_matches('/'));
                path.is_some_and(|path| path.starts_with('/'))
            }
        }
    }
}

/// All registrations of SmartOps, as they should stand.
#[derive(Debug, Clone, PartialEq)]
pub struct Registrations {
    /// Automation's, people's, and the one for SmartOps' own kinds.
    pub validating: Vec<ValidatingWebhookConfiguration>,
    /// The mutating halves of the same: what a policy can clamp, and what is stamped.
    pub mutating: Vec<MutatingWebhookConfiguration>,
}

/// Works the registrations out.
///
/// # Errors
/// Where the configuration names more than a registration can say.
pub fn registrations(
    config: &SmartOpsConfigSpec,
    demands: &[&Demand],
    reach: &Reach,
    authority: Option<&[u8]>,
) -> Result<Registrations, Flaw> {
    let by_automation = who::by_automation(config)?;
    let mut by_people = who::by_people(config);
    by_people.push(who::not_the_way_out());
    let server = Server { reach, authority };
    let validating = |name: &str, path: &str, entries: Vec<Entry>| ValidatingWebhookConfiguration {
        metadata: named(name),
        webhooks: Some(entries.into_iter().map(|e| e.validating(server.at(path))).collect()),
    };
    let mutating = |name: &str, path: &str, entries: Vec<Entry>| MutatingWebhookConfiguration {
        metadata: named(name),
        webhooks: Some(entries.into_iter().map(|e| e.mutating(server.at(path))).collect()),
    };
    let (automation, people) = (names::AUTOMATION_REGISTRATION, names::PEOPLE_REGISTRATION);
    let mut own = validating(names::OWN_REGISTRATION, path::VALIDATE_OWN, vec![entries::own()]);
    own.webhooks.get_or_insert_default().push(probe::entry(server));
    Ok(Registrations {
        validating: vec![
            validating(
                automation,
                path::VALIDATE_AUTOMATION,
                entries::automation(&by_automation, demands),
            ),
            validating(people, path::VALIDATE_PEOPLE, entries::people(config, &by_people, demands)),
            own,
        ],
        mutating: vec![
            mutating(
                automation,
                path::MUTATE_AUTOMATION,
                entries::clamped_automation(&by_automation, demands),
            ),
            mutating(
                people,
                path::MUTATE_PEOPLE,
                entries::clamped_people(config, &by_people, demands),
            ),
            mutating(names::OWN_REGISTRATION, path::MUTATE_OWN, vec![entries::stamped()]),
        ],
    })
}

fn named(name: &str) -> ObjectMeta {
    let labels = [(names::PART_OF.to_owned(), PRODUCT.to_owned())];
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels.into()), ..ObjectMeta::default() }
}

/// Where the webhook is, and by which authority it is known.
#[derive(Clone, Copy)]
struct Server<'a> {
    reach: &'a Reach,
    authority: Option<&'a [u8]>,
}

impl Server<'_> {
    fn at(&self, path: &str) -> WebhookClientConfig {
        let ca_bundle = self.authority.map(|pem| ByteString(pem.to_vec()));
        match self.reach {
            Reach::Service => WebhookClientConfig {
                ca_bundle,
                url: None,
                service: Some(ServiceReference {
                    name: names::WEBHOOK_SERVICE.to_owned(),
                    namespace: names::SYSTEM_NAMESPACE.to_owned(),
                    path: Some(path.to_owned()),
                    port: Some(443),
                }),
            },
            Reach::Url(url) => WebhookClientConfig {
                ca_bundle,
                url: Some(format!("{}{path}", url.trim_end_matches('/'))),
                service: None,
            },
        }
    }
}

impl Unanswered {
    fn failure_policy(self) -> &'static str {
        match self {
            Self::Refused => "Fail",
            Self::Passes => "Ignore",
        }
    }

    fn timeout_seconds(self) -> i32 {
        match self {
            Self::Refused => TIMEOUT_SECONDS,
            Self::Passes => PASSING_TIMEOUT_SECONDS,
        }
    }
}

/// Every field is given, so that what stands in the cluster can be compared with what should.
impl Entry {
    fn validating(self, client_config: WebhookClientConfig) -> ValidatingWebhook {
        ValidatingWebhook {
            name: self.name,
            rules: Some(self.rules),
            match_conditions: Some(self.conditions),
            namespace_selector: Some(self.namespaces),
            object_selector: Some(LabelSelector::default()),
            client_config,
            admission_review_versions: vec!["v1".to_owned()],
            failure_policy: Some(self.unanswered.failure_policy().to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            side_effects: "NoneOnDryRun".to_owned(),
            timeout_seconds: Some(self.unanswered.timeout_seconds()),
        }
    }

    fn mutating(self, client_config: WebhookClientConfig) -> MutatingWebhook {
        MutatingWebhook {
            name: self.name,
            rules: Some(self.rules),
            match_conditions: Some(self.conditions),
            namespace_selector: Some(self.namespaces),
            object_selector: Some(LabelSelector::default()),
            client_config,
            admission_review_versions: vec!["v1".to_owned()],
            failure_policy: Some(self.unanswered.failure_policy().to_owned()),
            match_policy: Some("Equivalent".to_owned()),
            reinvocation_policy: Some("IfNeeded".to_owned()),
            side_effects: "NoneOnDryRun".to_owned(),
            timeout_seconds: Some(self.unanswered.timeout_seconds()),
        }
    }
}

#[cfg(test)]
mod tests;
