//! The status of the SmartOpsConfig: the kill switch of the closed loop is the controller's, and whoever's may write it by
//! hand; everything else is the webhook's. Neither program writes the other's part.

use serde::Deserialize;
use serde_json::{Map, Value};
use smartops_common::names::{is_controller, is_webhook};
use smartops_guard::policy::Flaw;

use super::answer::flaw;

const SWITCH: &str = "closedLoop";

/// A SmartOpsConfig as far as its status.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    status: Option<Map<String, Value>>,
}

/// What is wrong with who changed what.
pub(super) fn flaws(user: &str, old: &Config, new: &Config) -> Vec<Flaw> {
    let turned = part(old, true) != part(new, true);
    let told = part(old, false) != part(new, false);
    let mut flaws = Vec::new();
    if turned && is_webhook(user) {
        let reason = "is the kill switch, which the webhook has no business with";
        flaws.push(flaw(format!("status.{SWITCH}"), reason));
    }
    if told && is_controller(user) {
        let reason = "is what the webhook says of the configuration; the controller writes status.closedLoop alone";
        flaws.push(flaw("status", reason));
    }
    if new.status.is_none() && old.status.is_some() {
        let reason = "cannot be taken away: the kill switch stands in it";
        flaws.push(flaw("status", reason));
    }
    flaws
}

fn part(config: &Config, switch: bool) -> Map<String, Value> {
    let entries = config.status.iter().flatten().filter(|(name, _)| (*name == SWITCH) == switch);
    entries.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CONTROLLER: &str = "system:serviceaccount:smartops-system:smartops-orchestrator";
    const WEBHOOK: &str = "system:serviceaccount:smartops-system:smartops-webhook";

    fn config(status: &Value) -> Config {
        serde_json::from_value(json!({"status": status})).unwrap()
    }

    #[test]
    fn the_controller_turns_the_switch_and_nothing_else_and_the_webhook_the_other_way_round() {
        let old = || config(&json!({"observedGeneration": 1, "closedLoop": {"enabled": true}}));
        let thrown = || config(&json!({"observedGeneration": 1, "closedLoop": {"enabled": false}}));
        let told = || config(&json!({"observedGeneration": 2, "closedLoop": {"enabled": true}}));
        for (user, new, passes) in [
            (CONTROLLER, thrown(), true),
            (CONTROLLER, told(), false),
            (WEBHOOK, told(), true),
            (WEBHOOK, thrown(), false),
            ("operator", thrown(), true),
            ("operator", told(), true),
            (CONTROLLER, old(), true),
            ("operator", Config::default(), false),
        ] {
            assert_eq!(flaws(user, &old(), &new).is_empty(), passes, "{user} {new:?}");
        }
        assert!(
            flaws(
                CONTROLLER,
                &Config::default(),
                &config(&json!({"closedLoop": {"enabled": false}}))
            )
            .is_empty()
        );
    }
}
