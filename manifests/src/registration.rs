//! The registrations an installation starts with: those of the shipped policies. From then on the webhook keeps them,
//! and the CA bundle, which stays empty here. What they hold is worked out in `guard`.

use anyhow::{Context, Result};
use smartops_common::config::SmartOpsConfigSpec;
use smartops_guard::policy::{compile, shipped};
use smartops_guard::registration::{Demand, Registrations, registrations};

pub use smartops_guard::registration::Reach;

use crate::rbac;

/// The registrations for a configuration and the shipped policies.
pub fn of_shipped(config: &SmartOpsConfigSpec, reach: &Reach) -> Result<Registrations> {
    let mut demands = Vec::new();
    for policy in shipped() {
        let name = policy.metadata.name.as_deref().unwrap_or_default();
        let compiled = compile(name, &policy.spec).context("a shipped policy does not compile")?;
        demands.push(Demand::of(&policy.spec, &compiled));
    }
    let demands: Vec<&Demand> = demands.iter().collect();
    let mut all = registrations(config, &demands, reach, None)
        .map_err(|flaw| anyhow::anyhow!("{}: {}", flaw.field, flaw.reason))?;
    let metadata = all.validating.iter_mut().map(|c| &mut c.metadata);
    for metadata in metadata.chain(all.mutating.iter_mut().map(|c| &mut c.metadata)) {
        metadata.labels = Some(rbac::labels());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_in_kube_system_and_our_namespace_never_wait_for_the_webhook() {
        let all = of_shipped(&SmartOpsConfigSpec::default(), &Reach::Service).unwrap();
        for webhook in all.validating[1].webhooks.as_ref().unwrap() {
            let expressions =
                webhook.namespace_selector.clone().unwrap().match_expressions.unwrap();
            let values = expressions[0].values.clone().unwrap();
            for namespace in ["kube-system", "smartops-system"] {
                assert!(values.contains(&namespace.to_owned()), "{}", webhook.name);
            }
        }
    }
}
