//! Rollback: the pod template of an earlier revision, as the ReplicaSet the target owns still has it. What is recorded is
//! that ReplicaSet and the digest of its template, not its number: numbers move with every rollback, so that "the one
//! before" of a moment ago is the bad one now.

use kube::api::Patch;
use serde_json::json;
use smartops_common::action::{Action, Intent, RevisionIntent};

use super::{Malformed, Seen, Write};
use crate::remediation::means::{Means, Revision};
use crate::target::Live;

/// The revision `action` means: the one it names, or the latest earlier one whose template differs from the present and
/// of which nothing tells that it is unhealthy. A revision without pods says nothing of its health: whether it was ever
/// available is kept nowhere. A repeat is for the same one.
pub(super) fn plan(
    action: &Action,
    recorded: Option<&Intent>,
    seen: Seen<'_>,
) -> Result<Intent, Malformed> {
    if let Some(recorded) = recorded.filter(|intent| intent.revision.is_some()) {
        return Ok(recorded.clone());
    }
    let Seen { live, means } = seen;
    let name = live.name();
    let found = match &action.rollback {
        Some(asked) => means.revisions.iter().find(|r| r.number == asked.to_revision).ok_or_else(
            || {
                let number = asked.to_revision;
                Malformed(format!(
                    "Deployment {name} keeps no revision {number}: it has {}",
                    kept(means)
                ))
            },
        )?,
        None => latest_good(live, means).ok_or_else(|| {
            Malformed(format!(
                "Deployment {name} keeps no earlier revision with another pod template that is not known to be unhealthy: it has {}",
                kept(means)
            ))
        })?,
    };
    Ok(to(found, action))
}

fn to(revision: &Revision, action: &Action) -> Intent {
    Intent { revision: Some(named(revision)), ..Intent::of(action.type_) }
}

/// A revision as an intent names it.
pub(super) fn named(revision: &Revision) -> RevisionIntent {
    RevisionIntent {
        replica_set: revision.name.clone(),
        uid: revision.uid.clone(),
        number: revision.number,
        template: revision.digest.clone(),
    }
}

fn latest_good<'m>(live: &Live, means: &'m Means) -> Option<&'m Revision> {
    let present = live.template_digest();
    let number = means.revisions.iter().filter(|r| r.digest == present).map(|r| r.number).max();
    means
        .revisions
        .iter()
        .filter(|r| r.digest != present && number.is_none_or(|number| r.number < number))
        .filter(|r| !r.is_unhealthy())
        .max_by_key(|r| r.number)
}

fn kept(means: &Means) -> String {
    let mut numbers: Vec<i64> = means.revisions.iter().map(|r| r.number).collect();
    numbers.sort_unstable();
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    if numbers.is_empty() {
        "none (revisionHistoryLimit may be 0)".to_owned()
    } else {
        format!("{} (kubectl rollout history)", numbers.join(", "))
    }
}

pub(super) fn write(
    intent: &Intent,
    resource_version: &str,
    means: &Means,
) -> Result<Write, Malformed> {
    let wanted = intent
        .revision
        .as_ref()
        .ok_or_else(|| Malformed("the recorded intent of a rollback has no revision".into()))?;
    let revision = means
        .revisions
        .iter()
        .find(|r| r.uid == wanted.uid && r.digest == wanted.template)
        .ok_or_else(|| {
            Malformed(format!(
                "ReplicaSet {} (revision {}) is gone or has another template now: ask again",
                wanted.replica_set, wanted.number
            ))
        })?;
    let operations = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": resource_version},
        {"op": "replace", "path": "/spec/template", "value": revision.template},
    ]);
    let patch = serde_json::from_value(operations)
        .map_err(|e| Malformed(format!("the revision's template cannot be written: {e}")))?;
    Ok(Write::Deployment(Patch::Json(patch)))
}

pub(super) fn is_applied(intent: &Intent, live: &Live) -> bool {
    intent.revision.as_ref().is_some_and(|r| r.template == live.template_digest())
}

#[cfg(test)]
mod tests {
    use smartops_common::action::{ActionType, RollbackParameters};

    use super::*;
    use crate::fixture::{deployment, edited, revision};

    /// Revisions 1 (`web:0`), 2 (`web:9`), 3 (`web:1`, the present one).
    fn means() -> Means {
        let revisions = vec![
            revision(1, "web:0", 0, 0),
            revision(2, "web:9", 0, 0),
            revision(3, "web:1", 3, 3),
        ];
        Means { revisions, ..Means::default() }
    }

    fn planned(to: Option<i64>, live: &Live, means: &Means) -> Result<i64, Malformed> {
        let rollback = to.map(|to_revision| RollbackParameters { to_revision });
        let action = Action { rollback, ..Action::of(ActionType::Rollback) };
        let intent = plan(&action, None, Seen { live, means })?;
        Ok(intent.revision.unwrap().number)
    }

    fn image(image: &str) -> Live {
        edited(3, |d| d["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image))
    }

    #[test]
    fn the_latest_earlier_revision_with_another_template_is_meant_unless_its_pods_are_unhealthy() {
        let present = deployment(3);
        assert_eq!(planned(None, &present, &means()), Ok(2));
        let mut sick = means();
        sick.revisions[1] = revision(2, "web:9", 1, 0);
        assert_eq!(planned(None, &present, &sick), Ok(1));
        let mut equal = means();
        equal.revisions[1] = revision(2, "web:1", 0, 0);
        assert_eq!(
            planned(None, &present, &equal),
            Ok(1),
            "an equal template is nothing to go back to"
        );
        let none = Means::default();
        let words = planned(None, &present, &none).unwrap_err().0;
        assert!(words.contains("revisionHistoryLimit"), "{words}");
    }

    #[test]
    fn a_number_means_that_revision_and_an_unknown_one_is_told_with_those_that_are_kept() {
        let live = deployment(3);
        assert_eq!(planned(Some(1), &live, &means()), Ok(1));
        let words = planned(Some(7), &live, &means()).unwrap_err().0;
        assert!(words.contains("no revision 7") && words.contains("1, 2, 3"), "{words}");
    }

    #[test]
    fn after_a_rollback_the_one_before_is_not_the_bad_one_where_the_intent_was_recorded() {
        let (live, means) = (deployment(3), means());
        let action = Action::of(ActionType::Rollback);
        let first = plan(&action, None, Seen { live: &live, means: &means }).unwrap();
        // Written, revision 2 has become revision 4, and "the one before" is 3.
        let rolled = image("web:9");
        let mut moved = means.clone();
        moved.revisions[1].number = 4;
        let seen = Seen { live: &rolled, means: &moved };
        assert_eq!(plan(&action, Some(&first), seen).unwrap(), first);
        assert!(is_applied(&first, &rolled) && !is_applied(&first, &live));
        // The twin: asked anew, it means the one before that.
        assert_eq!(planned(None, &rolled, &moved), Ok(3));
    }

    #[test]
    fn the_write_is_the_template_of_that_very_replica_set_on_condition_of_the_version() {
        let (live, means) = (deployment(3), means());
        let action = Action::of(ActionType::Rollback);
        let intent = plan(&action, None, Seen { live: &live, means: &means }).unwrap();
        let Write::Deployment(Patch::Json(patch)) = write(&intent, "70", &means).unwrap() else {
            panic!("no JSON Patch");
        };
        let operations = serde_json::to_value(patch).unwrap();
        assert_eq!(operations[0]["value"], "70");
        assert_eq!(operations[1]["path"], "/spec/template");
        assert_eq!(operations[1]["value"]["spec"]["containers"][0]["image"], "web:9");
        let label = &operations[1]["value"]["metadata"]["labels"];
        assert_eq!(label, &json!({"app": "web"}), "without the hash of its own pods");
        // One that is gone, or was edited, is not written.
        assert!(write(&intent, "70", &Means::default()).is_err());
        let mut edited = means;
        edited.revisions[1] = revision(2, "web:8", 0, 0);
        assert!(write(&intent, "70", &edited).is_err());
    }
}
