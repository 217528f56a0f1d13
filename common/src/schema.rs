//! What the derived schemas cannot say: rules at the root of a kind, where they see metadata and hold even when
//! `status` is removed, and fields whose content is not ours to describe.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, ValidationRule,
};

/// Adds CEL rules, each with the sentence shown when it fails, to the root of every version's schema.
pub fn with_root_rules(
    mut crd: CustomResourceDefinition,
    rules: &[(&str, &str)],
) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) else {
            continue;
        };
        root.x_kubernetes_validations.get_or_insert_default().extend(rules.iter().map(
            |(rule, message)| ValidationRule {
                rule: (*rule).to_owned(),
                message: Some((*message).to_owned()),
                ..ValidationRule::default()
            },
        ));
    }
    crd
}
