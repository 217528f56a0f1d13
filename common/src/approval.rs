//! RemediationApproval: somebody's word on exactly what a Remediation would write. It names the digest of one intent, so
//! another plan asks again; who gave it is stamped by admission, never the writer's own claim.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use kube_derive::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What is approved or rejected, why, and by whom. Immutable.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[kube(
    group = "smartops.dev",
    version = "v1alpha1",
    kind = "RemediationApproval",
    plural = "remediationapprovals",
    shortname = "rema",
    category = "smartops",
    namespaced,
    derive = "PartialEq",
    crates(kube_core = "::kube_core"),
    selectable = ".spec.remediation.uid",
    printcolumn(name = "Remediation", type_ = "string", json_path = ".spec.remediation.name"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "Approver", type_ = "string", json_path = ".spec.approver"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("self == oldSelf").message("an approval is never changed: delete it, or decide anew with another")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemediationApprovalSpec {
    /// The Remediation, in the same namespace.
    pub remediation: Approved,
    /// What it would write: `status.proposal.hash` of the Remediation. 64 hex digits.
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub intent_hash: String,
    /// Yes or no.
    pub decision: Decision,
    /// Why, for whoever reads it later.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub reason: String,
    /// Who decided: stamped by admission with the authenticated name, whatever is given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 1, max = 1024))]
    pub approver: String,
}

/// The Remediation an approval is for.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Approved {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its uid: one that is made anew under the name is another.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Decision {
    /// It may be written.
    Approve,
    /// It may not, and the Remediation ends.
    Reject,
}

/// The CustomResourceDefinition, with the rules that stand at the schema's root.
pub fn crd() -> CustomResourceDefinition {
    schema::with_root_rules(
        RemediationApproval::crd(),
        &[(
            "has(self.spec.approver)",
            "the approver is stamped when an approval is made: SmartOps' admission must be in service",
        )],
    )
}

impl RemediationApproval {
    /// Whether it counts now for this intent of this Remediation: nobody decides over his own request, and an old word
    /// is none. `parties` are whoever asked for the Remediation and whoever made it.
    pub fn counts(
        &self,
        remediation_uid: &str,
        hash: &str,
        parties: [&str; 2],
        expiry: SignedDuration,
        now: Timestamp,
    ) -> bool {
        let made = self.metadata.creation_timestamp.as_ref();
        self.spec.remediation.uid == remediation_uid
            && self.spec.intent_hash == hash
            && !self.spec.approver.is_empty()
            && !parties.contains(&self.spec.approver.as_str())
            && made.is_some_and(|made| now.duration_since(made.0) < expiry)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn approval(approver: &str) -> RemediationApproval {
        let mut approval = RemediationApproval::new(
            "a",
            RemediationApprovalSpec {
                remediation: Approved { name: "r".into(), uid: "u".into() },
                intent_hash: "h".into(),
                decision: Decision::Approve,
                reason: String::new(),
                approver: approver.into(),
            },
        );
        approval.metadata.creation_timestamp = Some(Time(at(0)));
        approval
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_counts_for_one_intent_for_a_while_and_never_for_ones_own_request() {
        let expiry = SignedDuration::from_secs(900);
        for (approver, uid, hash, second, expected) in [
            ("carol", "u", "h", 1, true),
            ("carol", "u", "h", 899, true),
            ("carol", "u", "h", 900, false),
            ("carol", "u", "h2", 1, false),
            ("carol", "u2", "h", 1, false),
            ("alice", "u", "h", 1, false),
            ("controller", "u", "h", 1, false),
            ("", "u", "h", 1, false),
        ] {
            let counts =
                approval(approver).counts(uid, hash, ["alice", "controller"], expiry, at(second));
            assert_eq!(counts, expected, "{approver} {uid} {hash} {second}");
        }
    }
}
