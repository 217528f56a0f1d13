//! The registrations an installation starts with: their names, and no entries. They fail closed, so they are filled by
//! whoever serves them and at no time before; what they hold then is worked out in `guard`.

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use smartops_common::names;
use smartops_guard::registration::Registrations;

use crate::rbac;

/// The registrations, each without an entry.
pub fn unfilled() -> Registrations {
    let named = |name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(rbac::labels()),
        ..ObjectMeta::default()
    };
    Registrations {
        validating: names::REGISTRATIONS
            .map(|name| ValidatingWebhookConfiguration {
                metadata: named(name),
                webhooks: Some(Vec::new()),
            })
            .into(),
        mutating: names::REGISTRATIONS
            .map(|name| MutatingWebhookConfiguration {
                metadata: named(name),
                webhooks: Some(Vec::new()),
            })
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use smartops_common::config::SmartOpsConfigSpec;
    use smartops_guard::registration::{Reach, registrations};

    use super::*;

    #[test]
    fn every_registration_is_shipped_by_name_and_asks_about_nothing_before_somebody_serves_it() {
        let kept =
            registrations(&SmartOpsConfigSpec::default(), &[], &Reach::Service, None).unwrap();
        let shipped = unfilled();
        let names = |all: &Registrations| {
            let validating = all.validating.iter().map(|c| (0, c.metadata.name.clone()));
            let mutating = all.mutating.iter().map(|c| (1, c.metadata.name.clone()));
            validating.chain(mutating).collect::<Vec<_>>()
        };
        assert_eq!(names(&shipped), names(&kept));
        assert!(shipped.validating.iter().all(|c| c.webhooks == Some(Vec::new())));
        assert!(shipped.mutating.iter().all(|c| c.webhooks == Some(Vec::new())));
    }
}
