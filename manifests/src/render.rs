//! Which objects belong to an installation, and their text: one YAML stream `kubectl apply` takes.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use smartops_common::config::{SmartOpsConfig, SmartOpsConfigSpec};
use smartops_common::{names, remediation_policy};
use smartops_guard::{kinds, policy, vap};

use crate::{output, rbac, registration};

/// A part of the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Namespace, CRDs, RBAC.
    Base,
    /// SmartOpsConfig and the shipped policies: custom resources, so the CRDs must be established.
    Policies,
    /// The webhook registrations, which ask about nothing until the webhook fills them; in any order with the rest.
    Registrations,
}

impl Part {
    /// All parts, in the order in which they are applied.
    pub const ALL: [Self; 3] = [Self::Base, Self::Policies, Self::Registrations];
}

/// The objects of one part.
pub fn objects(part: Part, config: &SmartOpsConfigSpec) -> Result<Vec<Value>> {
    let objects = match part {
        Part::Base => {
            let mut objects = crds()?;
            objects.extend(rbac::objects(&[names::DEFAULT_TARGET_NAMESPACE])?);
            // The RoleBinding in the default target namespace needs the namespace.
            objects.insert(0, output::namespace(names::DEFAULT_TARGET_NAMESPACE));
            objects
        }
        Part::Policies => {
            let mut objects = vec![config_object(config)?];
            objects.extend(policies()?);
            objects
        }
        Part::Registrations => registrations(config)?,
    };
    Ok(objects)
}

/// The CRDs, by name.
pub fn crds() -> Result<Vec<Value>> {
    kinds::crds().iter().map(to_value).collect()
}

/// The shipped policies.
pub fn policies() -> Result<Vec<Value>> {
    let labelled = policy::shipped().into_iter().map(|mut policy| {
        policy.metadata.labels = Some(rbac::labels());
        to_value(&policy)
    });
    let mut remedies = remediation_policy::shipped();
    remedies.metadata.labels = Some(rbac::labels());
    labelled.chain([to_value(&remedies)]).collect()
}

/// The SmartOpsConfig.
pub fn config_object(config: &SmartOpsConfigSpec) -> Result<Value> {
    let mut object = SmartOpsConfig::new(names::CONFIG_NAME, config.clone());
    object.metadata.labels = Some(rbac::labels());
    to_value(&object)
}

/// The registrations, unfilled, and what the API server keeps of SmartOps' own objects by itself.
pub fn registrations(config: &SmartOpsConfigSpec) -> Result<Vec<Value>> {
    let all = registration::unfilled();
    let mut objects: Vec<Value> = all.validating.iter().map(to_value).collect::<Result<_>>()?;
    objects.extend(all.mutating.iter().map(to_value).collect::<Result<Vec<_>>>()?);
    objects.extend(own_objects(config)?);
    Ok(objects)
}

/// What keeps automation from SmartOps' own objects whether a webhook answers or not.
fn own_objects(config: &SmartOpsConfigSpec) -> Result<[Value; 2]> {
    let mut own = vap::own_objects(config)
        .map_err(|flaw| anyhow::anyhow!("{}: {}", flaw.field, flaw.reason))?;
    own.policy.metadata.labels = Some(rbac::labels());
    own.binding.metadata.labels = Some(rbac::labels());
    Ok([to_value(&own.policy)?, to_value(&own.binding)?])
}

fn to_value(object: &impl Serialize) -> Result<Value> {
    serde_json::to_value(object).context("a generated object does not serialise")
}

#[cfg(test)]
mod tests {
    use smartops_common::approval::{Decision, RemediationApproval};
    use smartops_common::remediation::Remediation;
    use smartops_guard::exception::{Exception, GuardrailException};
    use smartops_guard::policy::{GuardrailPolicy, compile};

    use super::*;

    #[test]
    fn the_examples_are_read_and_compile() {
        let policy: GuardrailPolicy =
            serde_saphyr::from_str(include_str!("../../docs/examples/guardrailpolicy.yaml"))
                .unwrap();
        compile("example", &policy.spec).unwrap();
        let exception: GuardrailException =
            serde_saphyr::from_str(include_str!("../../docs/examples/guardrailexception.yaml"))
                .unwrap();
        let (made, metadata) = ("2026-11-27T08:00:00Z".parse().unwrap(), exception.metadata);
        let (namespace, name) = (metadata.namespace.unwrap(), metadata.name.unwrap());
        let exception = Exception::check(&namespace, &name, made, exception.spec).unwrap();
        let baseline = policy::shipped()
            .into_iter()
            .find(|p| p.metadata.name.as_deref() == Some(exception.policy()));
        let baseline = compile(exception.policy(), &baseline.unwrap().spec).unwrap();
        assert_eq!(exception.flaws_under(Some(&baseline)), []);
        let config: SmartOpsConfig =
            serde_saphyr::from_str(include_str!("../../docs/examples/smartopsconfig.yaml"))
                .unwrap();
        assert!(config.spec.is_automation("ci@example.com", &[] as &[&str]));
        let remedies: remediation_policy::RemediationPolicy =
            serde_saphyr::from_str(include_str!("../../docs/examples/remediationpolicy.yaml"))
                .unwrap();
        assert_eq!(remediation_policy::check(&remedies.spec), []);
        let remediation: Remediation =
            serde_saphyr::from_str(include_str!("../../docs/examples/remediation.yaml")).unwrap();
        assert!(remediation.is_open());
        let labels = remediation.metadata.labels.unwrap();
        let cause = smartops_common::remediation::cause_label(&remediation.spec.cause);
        assert_eq!(labels[names::label::CAUSE], cause);
        assert_eq!(labels[names::label::TARGET_UID], remediation.spec.target.uid);
        let approval: RemediationApproval =
            serde_saphyr::from_str(include_str!("../../docs/examples/remediationapproval.yaml"))
                .unwrap();
        assert_eq!(approval.spec.decision, Decision::Approve);
        assert!(approval.spec.approver.is_empty());
    }
}
