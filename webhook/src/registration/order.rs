//! In which order registrations are written: so that at no instant somebody is neither automation's nor people's, and
//! that nothing stands beside the trial. Pure; which of what is due waits is `plan`'s.

use std::collections::BTreeMap;

use smartops_common::names;
use smartops_guard::registration::{BY_AUTOMATION, Registrations};

use super::standing::{Key, Kind, Standing};

/// Every registration as it should stand, automation's first.
pub(super) fn all(wanted: &Registrations) -> Vec<Standing> {
    let validating = wanted.validating.iter().cloned().map(Standing::from);
    validating.chain(wanted.mutating.iter().cloned().map(Standing::from)).collect()
}

/// What has to be written until nothing stands but this trial.
pub(super) fn clearing(trial: &Standing, seen: &BTreeMap<Key, Standing>) -> Vec<Standing> {
    let others = seen.values().filter(|stands| stands.key() != trial.key() && stands.is_filled());
    let is_missing = seen.get(&trial.key()).is_none_or(|stands| !stands.says_the_same(trial));
    others.map(Standing::emptied).chain(is_missing.then(|| trial.clone())).collect()
}

/// What has to be written, in order, so that at no instant somebody is neither automation's nor people's: whoever
/// becomes automation is so before people's registration lets go of them, and whoever ceases to be is people's first.
///
/// `is_drift` tells that what should stand has not changed, only what does; then what stands is nobody's wish.
pub(super) fn due(
    wanted: &[Standing],
    seen: &BTreeMap<Key, Standing>,
    is_drift: bool,
) -> Vec<Standing> {
    let mut due: Vec<Standing> = wanted
        .iter()
        .filter(|w| seen.get(&w.key()).is_none_or(|stands| !stands.says_the_same(w)))
        .cloned()
        .collect();
    let automation = (Kind::Validating, names::AUTOMATION_REGISTRATION.to_owned());
    let people = (Kind::Validating, names::PEOPLE_REGISTRATION.to_owned());
    let place = |key: &Key| due.iter().position(|w| w.key() == *key);
    let (Some(first), Some(second)) = (place(&automation), place(&people)) else { return due };
    let stands = seen.get(&automation).and_then(Standing::by_automation);
    let (Some(old), Some(new)) = (stands, due[first].by_automation()) else { return due };
    if is_drift || old == new {
        return due;
    }
    let both = format!("({old}) || ({new})");
    let widened = due[first].clone().with_automation(&both);
    let narrowed = std::mem::replace(&mut due[first], widened);
    due.insert(second + 1, narrowed);
    due
}

impl Standing {
    /// The expression that says who automation is.
    fn by_automation(&self) -> Option<&str> {
        let Self::Validating(c) = self else { return None };
        let mut conditions =
            c.webhooks.iter().flatten().flat_map(|w| w.match_conditions.iter().flatten());
        conditions.find(|c| c.name == BY_AUTOMATION).map(|c| c.expression.as_str())
    }

    /// The same with this expression for who automation is.
    fn with_automation(mut self, expression: &str) -> Self {
        let Self::Validating(c) = &mut self else { return self };
        let conditions =
            c.webhooks.iter_mut().flatten().flat_map(|w| w.match_conditions.iter_mut().flatten());
        for condition in conditions.filter(|c| c.name == BY_AUTOMATION) {
            expression.clone_into(&mut condition.expression);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::admissionregistration::v1::MatchCondition;
    use smartops_common::config::SmartOpsConfigSpec;
    use smartops_guard::policy::{GuardrailPolicy, compile, shipped};
    use smartops_guard::registration::{Demand, Reach, probing, registrations};

    use super::super::bundles::tests::authority;
    use super::super::trust::tests::pem;
    use super::*;

    fn wanted(users: &[&str]) -> Vec<Standing> {
        let mut config = SmartOpsConfigSpec::default();
        config.automation.users = users.iter().map(|u| (*u).to_owned()).collect();
        let demand = |p: GuardrailPolicy| Demand::of(&p.spec, &compile("p", &p.spec).unwrap());
        let demands: Vec<Demand> = shipped().into_iter().map(demand).collect();
        let demands: Vec<&Demand> = demands.iter().collect();
        all(&registrations(&config, &demands, &Reach::Service, Some(b"ca")).unwrap())
    }

    fn stand(all: &[Standing]) -> BTreeMap<Key, Standing> {
        all.iter().map(|s| (s.key(), s.clone())).collect()
    }

    /// The names of what is written of the validating half, with whether `user` would be automation after the step.
    fn steps(due: &[Standing], user: &str) -> Vec<(String, bool)> {
        let quoted = format!("'{user}'");
        let holds = |s: &Standing| format!("{s:?}").contains(&quoted);
        let validating = due.iter().filter(|s| matches!(s, Standing::Validating(_)));
        validating.map(|s| (s.key().1, holds(s))).collect()
    }

    #[test]
    fn beside_the_trial_nothing_stands_and_by_the_trial_nobody_is_distrusted() {
        let (trial, former) = (pem("AAAA"), pem("BBBB"));
        let trial: Standing = probing(&Reach::Service, trial.as_bytes()).into();
        let all = wanted(&[]);
        let own: Vec<Standing> =
            all.iter().filter(|standing| standing.key().1 == trial.key().1).cloned().collect();
        assert!(own.len() == 2 && !own.iter().any(Standing::asks_about_others), "{own:?}");
        assert!(all.iter().any(Standing::asks_about_others));
        let written = clearing(&trial, &stand(&own));
        assert_eq!(written, [own[1].emptied(), trial.clone()]);
        let stands = BTreeMap::from([(trial.key(), trial.clone())]);
        assert_eq!(clearing(&trial, &stands), []);
        assert_eq!(clearing(&trial, &BTreeMap::new()), std::slice::from_ref(&trial));
        assert!(trial.is_filled() && !trial.asks_about_others());
        assert!(trial.trusts(&authority(&former)), "nobody's write hangs on it");
        assert!(!own[0].trusts(&authority(&former)));
    }

    #[test]
    fn what_stands_as_it_should_is_left_alone_whatever_its_order() {
        let all = wanted(&[]);
        let mut seen = stand(&all);
        for standing in seen.values_mut() {
            if let Standing::Validating(c) = standing {
                c.webhooks.as_mut().unwrap().reverse();
                for webhook in c.webhooks.iter_mut().flatten() {
                    webhook.match_conditions.as_mut().unwrap().reverse();
                    webhook.object_selector = None;
                }
            }
        }
        assert_eq!(due(&all, &seen, false), []);
    }

    #[test]
    fn whoever_becomes_automation_is_so_before_people_let_go() {
        let all = wanted(&["ci"]);
        let due = due(&all, &stand(&wanted(&[])), false);
        let names = [
            ("smartops-automation", true),
            ("smartops-people", true),
            ("smartops-automation", true),
        ];
        assert_eq!(steps(&due, "ci"), names.map(|(n, h)| (n.to_owned(), h)));
    }

    #[test]
    fn whoever_ceases_to_be_automation_is_people_s_first() {
        let due = due(&wanted(&["new"]), &stand(&wanted(&["old"])), false);
        let names = [
            ("smartops-automation", true),
            ("smartops-people", false),
            ("smartops-automation", false),
        ];
        assert_eq!(steps(&due, "old"), names.map(|(n, h)| (n.to_owned(), h)));
    }

    #[test]
    fn what_somebody_else_wrote_is_not_taken_for_a_former_list() {
        let all = wanted(&[]);
        let mut seen = stand(&all);
        for standing in seen.values_mut() {
            *standing = standing.clone().with_automation("true");
        }
        let people = (Kind::Validating, names::PEOPLE_REGISTRATION.to_owned());
        seen.remove(&people);
        let due = due(&all, &seen, true);
        assert!(!format!("{due:?}").contains("(true)"));
        assert_eq!(due.len(), 2);
    }

    #[test]
    fn every_field_that_counts_is_missed_when_it_changes() {
        type Edit = fn(&mut k8s_openapi::api::admissionregistration::v1::ValidatingWebhook);
        let edits: [(&str, Edit); 9] = [
            ("rules", |w| w.rules = None),
            ("failurePolicy", |w| w.failure_policy = Some("Ignore".into())),
            ("conditions", |w| {
                w.match_conditions
                    .get_or_insert_default()
                    .push(MatchCondition { name: "never".into(), expression: "false".into() });
            }),
            ("bundle", |w| w.client_config.ca_bundle = None),
            ("path", |w| w.client_config.service.as_mut().unwrap().path = Some("/".into())),
            ("objectSelector", |w| {
                w.object_selector.get_or_insert_default().match_labels =
                    Some([("a".to_owned(), "b".to_owned())].into());
            }),
            ("namespaceSelector", |w| {
                w.namespace_selector.get_or_insert_default().match_labels =
                    Some([("a".to_owned(), "b".to_owned())].into());
            }),
            ("timeout", |w| w.timeout_seconds = Some(1)),
            ("matchPolicy", |w| w.match_policy = Some("Exact".into())),
        ];
        let all = wanted(&[]);
        for (what, edit) in edits {
            let mut seen = stand(&all);
            let key = (Kind::Validating, names::AUTOMATION_REGISTRATION.to_owned());
            let Some(Standing::Validating(c)) = seen.get_mut(&key) else { panic!("{what}") };
            edit(&mut c.webhooks.as_mut().unwrap()[0]);
            assert_eq!(due(&all, &seen, true).len(), 1, "{what}");
        }
        let mut seen = stand(&all);
        seen.remove(&(Kind::Mutating, names::PEOPLE_REGISTRATION.to_owned()));
        assert_eq!(due(&all, &seen, true).len(), 1, "deleted");
    }
}
