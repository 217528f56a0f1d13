//! The one entry that stands before all others, and then beside them: it asks about nothing but the webhook's own trial
//! whether the API server reaches it, so that nothing fails closed where it does not, and that it is known when it does so
//! no more. Who tries, and when, is not decided here.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingWebhook, ValidatingWebhookConfiguration,
};
use smartops_common::names::{self, path};

use super::{Reach, Server, entries, named};

/// The name of the entry, and of the ledger that is never made. No namespace has a dot in its name, so no ledger has it.
pub const PROBE: &str = "reach.smartops.dev";
/// The webhook's answer to the trial, by which it is known that the API server reaches it.
pub const REACHED: &str =
    "is no ledger's: by this answer the webhook learns that the API server reaches it";
/// How long the API server waits for it. Seconds.
const PROBE_TIMEOUT_SECONDS: i32 = 2;

/// The registration of SmartOps' own kinds while nothing but the trial is asked about.
pub fn probing(reach: &Reach, authority: &[u8]) -> ValidatingWebhookConfiguration {
    ValidatingWebhookConfiguration {
        metadata: named(names::OWN_REGISTRATION),
        webhooks: Some(vec![entry(Server { reach, authority: Some(authority) })]),
    }
}

/// The entry itself.
pub(super) fn entry(server: Server<'_>) -> ValidatingWebhook {
    let mut entry = entries::reach().validating(server.at(path::VALIDATE_OWN));
    entry.timeout_seconds = Some(PROBE_TIMEOUT_SECONDS);
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_webhooks_own_dry_run_of_one_name_is_asked_about_and_it_fails_closed() {
        let found = probing(&Reach::Service, b"ca");
        assert_eq!(found.metadata.name.as_deref(), Some("smartops-own"));
        let [entry] = found.webhooks.as_deref().unwrap() else { panic!("{found:?}") };
        assert_eq!(entry.name, PROBE);
        assert_eq!(entry.failure_policy.as_deref(), Some("Fail"));
        assert!(entry.client_config.ca_bundle.is_some());
        let [rule] = entry.rules.as_deref().unwrap() else { panic!("{entry:?}") };
        assert_eq!(rule.operations, Some(vec!["CREATE".to_owned()]));
        assert_eq!(rule.resources, Some(vec!["changeledgers".to_owned()]));
        let [condition] = entry.match_conditions.as_deref().unwrap() else { panic!("{entry:?}") };
        assert_eq!(
            condition.expression,
            "request.userInfo.username == 'system:serviceaccount:smartops-system:smartops-webhook' && \
             has(request.dryRun) && request.dryRun && has(request.name) && request.name == 'reach.smartops.dev'"
        );
    }
}
