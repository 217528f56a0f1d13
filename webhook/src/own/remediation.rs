//! A written Remediation: what is stamped stayed stamped, its labels say what its spec says, and whoever makes one
//! could do himself what it asks for. The controller makes them for others; its status is `status`'s.

use smartops_change::Resource;
use smartops_common::action::ActionType;
use smartops_common::names::{self, MANUAL_CAUSE, is_controller, label};
use smartops_common::remediation::{Remediation, Source, cause_label};
use smartops_guard::Subject;
use smartops_guard::policy::Flaw;

use super::answer::flaw;
use crate::snapshot::Snapshot;

/// Most policies that are told of one Remediation.
const MOST_POLICIES: usize = 4;
/// Hex digits at the end of the names the controller gives.
const DIGITS: usize = 16;

/// What somebody has to be allowed, to ask for it by a Remediation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deed {
    pub(super) verb: &'static str,
    pub(super) group: &'static str,
    pub(super) resource: &'static str,
    pub(super) subresource: Option<&'static str>,
    pub(super) namespace: String,
    /// Of which object; absent means of any, where it is not known yet.
    pub(super) name: Option<String>,
}

/// What is wrong with one that comes into being, whatever its maker may do.
pub(super) fn flaws_of_new(new: &Remediation, user: &str) -> Vec<Flaw> {
    let spec = &new.spec;
    let mut flaws = Vec::new();
    if spec.created_by != user {
        flaws.push(stamp("createdBy", &spec.created_by, user));
    }
    if is_controller(user) {
        if spec.requested_by.is_empty() {
            flaws.push(flaw("spec.requestedBy", "is empty; name the authenticated caller"));
        }
    } else {
        if spec.requested_by != user {
            flaws.push(stamp("requestedBy", &spec.requested_by, user));
        }
        flaws.extend(posing(new));
    }
    flaws.extend(mislabelled(new, None));
    flaws
}

/// What is wrong with one whose metadata changes; its spec never does.
pub(super) fn flaws_of_update(old: &Remediation, new: &Remediation) -> Vec<Flaw> {
    mislabelled(new, Some(old)).collect()
}

/// What has to be allowed to whoever makes it; the controller asks for others, who were asked by the controller.
pub(super) fn deed(new: &Remediation, namespace: &str, user: &str) -> Option<Deed> {
    if is_controller(user) {
        return None;
    }
    let (action, target) = (&new.spec.action, Some(new.spec.target.name.clone()));
    let (verb, group, resource, subresource, name) = match action.type_ {
        ActionType::Scale => ("patch", "apps", "deployments", Some("scale"), target),
        ActionType::EvictPod => {
            let pod = action.evict_pod.as_ref().map(|parameters| parameters.pod.clone());
            ("create", "", "pods", Some("eviction"), pod)
        }
        // Which autoscaler it is, planning finds out.
        ActionType::HpaBounds => ("patch", "autoscaling", "horizontalpodautoscalers", None, None),
        ActionType::Restart
        | ActionType::Patch
        | ActionType::Rollback
        | ActionType::Pause
        | ActionType::Resume => ("patch", "apps", "deployments", None, target),
    };
    Some(Deed { verb, group, resource, subresource, namespace: namespace.to_owned(), name })
}

/// That its maker may not do it himself.
pub(super) fn not_allowed(deed: &Deed, user: &str) -> Flaw {
    let below = deed.subresource.map(|below| format!("/{below}")).unwrap_or_default();
    flaw(
        "spec.action",
        format!(
            "{user} may not {} {}{below}{} in {}, and so may not have it done; have somebody ask who may, or get that \
             right from whoever owns the namespace",
            deed.verb,
            deed.resource,
            deed.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default(),
            deed.namespace,
        ),
    )
}

/// That policies hold its maker to rules which what is done for him would go past: it is judged as the controller's.
/// What they say of his own writes, only his own writes can be asked.
pub(super) fn goes_past(snapshot: &Snapshot, namespace: &str, maker: &Subject) -> Option<Flaw> {
    if maker.is_controller() {
        return None;
    }
    let account = names::CONTROLLER_SERVICE_ACCOUNT;
    let controller = names::service_account_user(names::SYSTEM_NAMESPACE, account);
    let groups = [
        "system:serviceaccounts".to_owned(),
        names::service_accounts_group(names::SYSTEM_NAMESPACE),
        "system:authenticated".to_owned(),
    ];
    let controller = Subject::new(&snapshot.config, &controller, &groups);
    let deployments =
        Resource { group: "apps", version: "v1", resource: "deployments", subresource: "" };
    let policies = snapshot.index.policies(Some(namespace)).iter().map(|applied| &applied.policy);
    let past = policies.filter(|policy| policy.is_gone_past(maker, &controller, deployments));
    let past: Vec<&str> = past.map(|policy| &**policy.name()).take(MOST_POLICIES).collect();
    (!past.is_empty()).then(|| {
        flaw(
            "spec.action",
            format!(
                "would be judged as the controller's write, and {} is written for {} and not for the controller; make the \
                 change yourself, or have the policy include the controller",
                past.join(", "),
                maker.username(),
            ),
        )
    })
}

fn stamp(field: &str, found: &str, user: &str) -> Flaw {
    flaw(
        format!("spec.{field}"),
        format!(
            "says {found:?} and is stamped with who asks, {user:?}; another webhook changed it, or the stamp is not in \
             service: see the MutatingWebhookConfiguration smartops-own"
        ),
    )
}

/// What would make it look like the controller's.
fn posing(new: &Remediation) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    if new.spec.source == Source::ClosedLoop {
        let reason =
            "closed-loop is the controller's, for signals; write user, policy-engine or ai-agent";
        flaws.push(flaw("spec.source", reason));
    }
    if !new.spec.cause.starts_with(MANUAL_CAUSE) {
        let cause = &new.spec.cause;
        let reason = format!(
            "{cause:?} is the controller's to give; begin it with {MANUAL_CAUSE}, as in {MANUAL_CAUSE}scale"
        );
        flaws.push(flaw("spec.cause", reason));
    }
    if new.spec.signal.is_some() {
        let reason = "is what the controller acts on, and goes before everybody's; leave it out";
        flaws.push(flaw("spec.signal", reason));
    }
    let name = new.metadata.name.as_deref().unwrap_or_default();
    if is_reserved(name) {
        let reason = format!(
            "{name:?} is of the shape the controller gives, a dash and {DIGITS} hex digits at the end; give another"
        );
        flaws.push(flaw("metadata.name", reason));
    }
    flaws
}

fn is_reserved(name: &str) -> bool {
    let digest = name.rsplit_once('-').map(|(_, digest)| digest);
    digest.is_some_and(|digest| {
        digest.len() == DIGITS && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The labels by which it is found, where they do not say what its spec says; those that were wrong before may stay.
fn mislabelled<'a>(
    new: &'a Remediation,
    old: Option<&'a Remediation>,
) -> impl Iterator<Item = Flaw> + 'a {
    let cause = cause_label(&new.spec.cause);
    let wanted = [(label::TARGET_UID, new.spec.target.uid.clone()), (label::CAUSE, cause)];
    wanted.into_iter().filter_map(move |(key, wanted)| {
        let found = labelled(new, key);
        let stays = old.is_some_and(|old| labelled(old, key) == found);
        (found != Some(wanted.as_str()) && !stays).then(|| {
            let found =
                found.map_or_else(|| "is missing".to_owned(), |found| format!("says {found:?}"));
            flaw(
                format!("metadata.labels[{key}]"),
                format!("{found} and has to say {wanted:?}, as the spec does"),
            )
        })
    })
}

fn labelled<'a>(remediation: &'a Remediation, key: &str) -> Option<&'a str> {
    remediation.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    pub(in crate::own) const CONTROLLER: &str =
        "system:serviceaccount:smartops-system:smartops-orchestrator";

    /// A Remediation as alice makes one, stamped, with these members of its spec.
    pub(in crate::own) fn remediation(members: &Value) -> Remediation {
        let mut object = json!({
            "apiVersion": "smartops.dev/v1alpha1", "kind": "Remediation",
            "metadata": {"name": "web-more", "namespace": "shop", "uid": "r-1", "labels": {
                label::TARGET_UID: "u-1", label::CAUSE: cause_label("manual/scale"),
            }},
            "spec": {
                "target": {"kind": "Deployment", "name": "web", "uid": "u-1"},
                "action": {"type": "scale", "scale": {"replicas": 5}},
                "cause": "manual/scale", "source": "user",
                "requestedBy": "alice", "createdBy": "alice",
            },
        });
        for (key, value) in members.as_object().unwrap() {
            object["spec"][key] = value.clone();
        }
        let cause = cause_label(object["spec"]["cause"].as_str().unwrap());
        object["metadata"]["labels"][label::CAUSE] = json!(cause);
        serde_json::from_value(object).unwrap()
    }

    fn fields(flaws: &[Flaw]) -> Vec<&str> {
        flaws.iter().map(|flaw| flaw.field.as_str()).collect()
    }

    #[test]
    fn a_person_asks_in_his_own_name_for_a_cause_of_his_own() {
        for (members, expected) in [
            (json!({}), vec![]),
            (json!({"source": "ai-agent"}), vec![]),
            (json!({"createdBy": "bob"}), vec!["spec.createdBy"]),
            (json!({"createdBy": ""}), vec!["spec.createdBy"]),
            (json!({"requestedBy": "bob"}), vec!["spec.requestedBy"]),
            (json!({"source": "closed-loop"}), vec!["spec.source"]),
            (json!({"cause": "rca/memory_leak"}), vec!["spec.cause"]),
            (json!({"cause": "manual"}), vec!["spec.cause"]),
            (json!({"signal": {"kind": "rca", "id": "w-1"}}), vec!["spec.signal"]),
        ] {
            let new = remediation(&members);
            assert_eq!(fields(&flaws_of_new(&new, "alice")), expected, "{members}");
        }
    }

    #[test]
    fn the_controller_asks_for_somebody_it_names() {
        let by = |asker: &str| {
            let members = json!({"createdBy": CONTROLLER, "requestedBy": asker, "source": "closed-loop", "cause": "rca/x"});
            remediation(&members)
        };
        assert_eq!(flaws_of_new(&by("apikey:detector"), CONTROLLER), []);
        assert_eq!(fields(&flaws_of_new(&by(""), CONTROLLER)), ["spec.requestedBy"]);
        let mut named = by("apikey:detector");
        named.metadata.name = Some("web-0123456789abcdef".into());
        let signal = json!({"kind": "rca", "id": "w-1", "score": 0.9});
        named.spec.signal = Some(serde_json::from_value(signal).unwrap());
        assert_eq!(flaws_of_new(&named, CONTROLLER), []);
    }

    #[test]
    fn names_of_the_controllers_shape_are_its_own() {
        for (name, reserved) in [
            ("web-0123456789abcdef", true),
            ("0123456789abcdef", false),
            ("web-0123456789abcde", false),
            ("web-0123456789abcdef0", false),
            ("web-0123456789abcdeg", false),
            ("web-0123456789abcdef-2", false),
        ] {
            let mut new = remediation(&json!({}));
            new.metadata.name = Some(name.into());
            let expected = if reserved { vec!["metadata.name"] } else { vec![] };
            assert_eq!(fields(&flaws_of_new(&new, "alice")), expected, "{name}");
        }
    }

    #[test]
    fn the_labels_say_what_the_spec_says_when_it_is_made_and_ever_after() {
        let good = remediation(&json!({}));
        let with = |key: &str, value: Option<&str>| {
            let mut new = good.clone();
            let labels = new.metadata.labels.as_mut().unwrap();
            match value {
                Some(value) => drop(labels.insert(key.into(), value.into())),
                None => drop(labels.remove(key)),
            }
            new
        };
        for key in [label::TARGET_UID, label::CAUSE] {
            let field = format!("metadata.labels[{key}]");
            for bad in [with(key, Some("other")), with(key, None)] {
                assert_eq!(fields(&flaws_of_new(&bad, "alice")), [field.as_str()]);
                assert_eq!(fields(&flaws_of_update(&good, &bad)), [field.as_str()]);
                assert_eq!(flaws_of_update(&bad, &good), []);
                assert_eq!(flaws_of_update(&bad, &bad), []);
            }
        }
        assert_eq!(flaws_of_update(&good, &with("team", Some("shop"))), []);
    }

    #[test]
    fn what_is_asked_for_is_what_has_to_be_allowed() {
        let patch = json!({"type": "patch", "patch": {"format": "json", "body": "[]"}});
        let bounds = json!({"type": "hpa-bounds", "hpaBounds": {"maxDelta": 1}});
        for (action, expected) in [
            (
                json!({"type": "scale", "scale": {"replicas": 5}}),
                "patch apps/deployments/scale web",
            ),
            (json!({"type": "restart"}), "patch apps/deployments web"),
            (patch, "patch apps/deployments web"),
            (json!({"type": "rollback"}), "patch apps/deployments web"),
            (json!({"type": "pause"}), "patch apps/deployments web"),
            (json!({"type": "resume"}), "patch apps/deployments web"),
            (json!({"type": "evict-pod"}), "create /pods/eviction"),
            (json!({"type": "evict-pod", "evictPod": {"pod": "p"}}), "create /pods/eviction p"),
            (bounds, "patch autoscaling/horizontalpodautoscalers"),
        ] {
            let new = remediation(&json!({"action": action}));
            let Deed { verb, group, resource, subresource, name, .. } =
                deed(&new, "shop", "alice").unwrap();
            let below = subresource.map(|below| format!("/{below}")).unwrap_or_default();
            let name = name.map(|name| format!(" {name}")).unwrap_or_default();
            assert_eq!(format!("{verb} {group}/{resource}{below}{name}"), expected);
            assert_eq!(deed(&new, "shop", CONTROLLER), None);
        }
        let scale = deed(&remediation(&json!({})), "shop", "alice").unwrap();
        let reason = not_allowed(&scale, "alice").reason;
        assert!(
            reason.starts_with("alice may not patch deployments/scale web in shop"),
            "{reason}"
        );
    }
}
