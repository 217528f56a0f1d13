//! The policies every installation starts with.

use smartops_common::config::ServiceAccount;
use smartops_common::names;

use super::allowance::ExceptionsSpec;
use super::kind::{
    GuardrailPolicy, GuardrailPolicySpec, KindMatch, Match, Mode, NamespaceMatch, OperationName,
    SubjectMatch, SubjectSet,
};
use crate::rules::RulesSpec;
use crate::rules::capabilities::CapabilitiesSpec;
use crate::rules::cooldown::CooldownSpec;
use crate::rules::images::{ImageRule, ImagesSpec};
use crate::rules::paths::PathsSpec;
use crate::rules::replicas::{OnViolation, ReplicasSpec};
use crate::rules::warrant::WarrantSpec;

/// What automation may change.
const SAFELIST: [&str; 4] = [
    "spec.template.metadata.annotations",
    "spec.template.metadata.labels",
    "spec.replicas",
    "spec.template.spec.containers[].resources",
];

/// What automation may never change, whatever another list allows.
const FORBIDDEN: [&str; 13] = [
    "spec.template.spec.containers[].image",
    "spec.template.spec.initContainers[].image",
    "spec.template.spec.ephemeralContainers[].image",
    "spec.template.spec.securityContext",
    "spec.template.spec.containers[].securityContext",
    "spec.template.spec.initContainers[].securityContext",
    "spec.template.spec.ephemeralContainers[].securityContext",
    "spec.template.spec.volumes",
    "spec.template.spec.tolerations",
    "spec.template.spec.nodeSelector",
    "spec.template.spec.serviceAccountName",
    "spec.template.spec.serviceAccount",
    "spec.template.spec.hostAliases",
];

/// `smartops-automation`, which says all that automation may do, `smartops-baseline`, which holds for everybody in the
/// guarded namespaces, and `smartops-controller`, by which SmartOps' own controller writes only what it announced.
pub fn shipped() -> Vec<GuardrailPolicy> {
    vec![
        GuardrailPolicy::new("smartops-automation", automation()),
        GuardrailPolicy::new("smartops-baseline", baseline()),
        GuardrailPolicy::new("smartops-controller", controller()),
    ]
}

fn automation() -> GuardrailPolicySpec {
    GuardrailPolicySpec {
        match_: Match {
            kinds: vec![kind("apps", "deployments"), kind("apps", "deployments/scale")],
            operations: vec![OperationName::Update],
            namespaces: None,
            subjects: Some(SubjectMatch {
                include: Some(SubjectSet { automation: true, ..SubjectSet::default() }),
                exclude: None,
            }),
            objects: None,
            conditions: Vec::new(),
        },
        mode: Mode::Enforce,
        rules: RulesSpec {
            replicas: Some(ReplicasSpec {
                min: Some(1),
                max: Some(10),
                max_step: Some(2),
                step_window_seconds: None,
                on_violation: OnViolation::Deny,
            }),
            cooldown: Some(CooldownSpec { restart_seconds: Some(120), scale_seconds: None }),
            paths: Some(PathsSpec {
                allow: Some(SAFELIST.map(str::to_owned).to_vec()),
                forbid: FORBIDDEN.map(str::to_owned).to_vec(),
            }),
            images: Some(ImagesSpec { change: ImageRule::Deny, ..ImagesSpec::default() }),
            capabilities: Some(CapabilitiesSpec::default()),
            ..RulesSpec::default()
        },
        exceptions: ExceptionsSpec::default(),
    }
}

fn baseline() -> GuardrailPolicySpec {
    GuardrailPolicySpec {
        match_: Match {
            kinds: vec![
                kind("apps", "deployments"),
                kind("apps", "deployments/scale"),
                kind("autoscaling", "horizontalpodautoscalers"),
                kind("apps", "statefulsets"),
                kind("apps", "replicasets"),
                kind("", "replicationcontrollers"),
            ],
            operations: vec![OperationName::Create, OperationName::Update],
            namespaces: Some(NamespaceMatch { guarded: true, ..NamespaceMatch::default() }),
            objects: None,
            subjects: None,
            conditions: Vec::new(),
        },
        mode: Mode::Enforce,
        rules: RulesSpec {
            replicas: Some(ReplicasSpec { min: Some(1), max: Some(10), ..ReplicasSpec::default() }),
            ..RulesSpec::default()
        },
        exceptions: ExceptionsSpec::default(),
    }
}

fn controller() -> GuardrailPolicySpec {
    let controller = ServiceAccount {
        namespace: names::SYSTEM_NAMESPACE.to_owned(),
        name: names::CONTROLLER_SERVICE_ACCOUNT.to_owned(),
    };
    GuardrailPolicySpec {
        match_: Match {
            kinds: vec![
                kind("apps", "deployments"),
                kind("apps", "deployments/scale"),
                kind("autoscaling", "horizontalpodautoscalers"),
                kind("", "pods/eviction"),
            ],
            operations: vec![OperationName::Create, OperationName::Update],
            namespaces: None,
            subjects: Some(SubjectMatch {
                include: Some(SubjectSet {
                    service_accounts: vec![controller],
                    ..SubjectSet::default()
                }),
                exclude: None,
            }),
            objects: None,
            conditions: Vec::new(),
        },
        mode: Mode::Enforce,
        rules: RulesSpec {
            warrant: Some(WarrantSpec { required: true, approval: false }),
            ..RulesSpec::default()
        },
        exceptions: ExceptionsSpec::default(),
    }
}

fn kind(group: &str, resource: &str) -> KindMatch {
    KindMatch { group: group.to_owned(), resource: resource.to_owned(), ..KindMatch::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::compile;

    #[test]
    fn what_ships_compiles_and_survives_its_own_schema_types() {
        for policy in shipped() {
            let name = policy.metadata.name.clone().unwrap();
            compile(&name, &policy.spec).unwrap();
            let text = serde_json::to_string(&policy.spec).unwrap();
            assert_eq!(serde_json::from_str::<GuardrailPolicySpec>(&text).unwrap(), policy.spec);
        }
    }
}
