//! Every kind of SmartOps' own, as the API server is to know it. What each says is its module's.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use smartops_common::{approval, config, remediation, remediation_policy};

use crate::{exception, ledger, policy};

/// The CustomResourceDefinitions of an installation.
pub fn crds() -> [CustomResourceDefinition; 7] {
    [
        ledger::crd(),
        exception::crd(),
        policy::crd(),
        approval::crd(),
        remediation::crd(),
        remediation_policy::crd(),
        config::crd(),
    ]
}
