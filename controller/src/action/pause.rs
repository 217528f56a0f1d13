//! Pause and resume: whether the Deployment controller rolls out what the template says. One word of the spec, and each
//! takes the other back.

use kube::api::Patch;
use serde_json::json;
use smartops_common::action::{ActionType, Intent};

use super::Write;
use crate::target::Live;

pub(super) fn write(intent: &Intent, resource_version: &str) -> Write {
    Write::Deployment(Patch::Merge(json!({
        "metadata": {"resourceVersion": resource_version},
        "spec": {"paused": intent.type_ == ActionType::Pause},
    })))
}

pub(super) fn is_applied(intent: &Intent, live: &Live) -> bool {
    live.is_paused() == (intent.type_ == ActionType::Pause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{deployment, edited};

    #[test]
    fn each_writes_one_word_on_condition_of_the_version_and_knows_it_again() {
        let paused = edited(3, |d| d["spec"]["paused"] = json!(true));
        for (type_, word, is_there, is_not) in [
            (ActionType::Pause, true, &paused, &deployment(3)),
            (ActionType::Resume, false, &deployment(3), &paused),
        ] {
            let intent = Intent::of(type_);
            let expected = json!({"metadata": {"resourceVersion": "70"}, "spec": {"paused": word}});
            assert_eq!(write(&intent, "70"), Write::Deployment(Patch::Merge(expected)));
            assert!(is_applied(&intent, is_there) && !is_applied(&intent, is_not), "{type_}");
        }
    }
}
