//! What holds of any warrant.

use super::*;

/// A further Remediation of the same object that is no warrant of the write, for this reason.
fn beside(name: &str, change: fn(&mut Remediation)) -> Remediation {
    let mut other = remediation(&scale_intent(4));
    other.metadata.name = Some(name.to_owned());
    other.metadata.uid = Some(format!("uid-{name}"));
    change(&mut other);
    other
}

proptest! {
    #[test]
    fn the_order_of_remediations_and_approvals_never_matters(
        order in Just((0..5usize).collect::<Vec<_>>()).prop_shuffle(),
        with_warrant in any::<bool>(),
    ) {
        let mut asked = remediation(&scale_intent(4));
        asked.spec.require_approval = true;
        let first = if with_warrant { asked.clone() } else { beside("e", |r| last(r).deadline = time(AT)) };
        let all = [
            first,
            beside("a", |r| last(r).result = Some(AttemptResult::Conflict)),
            beside("b", |r| last(r).intent = scale_intent(5)),
            beside("c", |r| last(r).intent = scale_intent(6)),
            beside("d", |r| r.spec.dry_run = true),
        ];
        let decisions = [
            approval(&asked, "carol", Decision::Approve),
            approval(&asked, "dave", Decision::Approve),
            approval(&asked, "alice", Decision::Approve),
            approval(&all[1], "carol", Decision::Reject),
            approval(&all[2], "carol", Decision::Reject),
        ];
        let shuffled: Vec<_> = order.iter().map(|place| all[*place].clone()).collect();
        let decided: Vec<_> = order.iter().rev().map(|place| decisions[*place].clone()).collect();
        let expected = verdict_as(&scale(3, 4), &controller(), &all, &decisions, false);
        let verdict = verdict_as(&scale(3, 4), &controller(), &shuffled, &decided, false);
        prop_assert_eq!(verdict.denial().is_none(), with_warrant);
        prop_assert_eq!(verdict, expected);
    }

    #[test]
    fn whatever_else_changes_beside_what_was_announced_is_refused(
        place in 0..8usize, value in "[a-z]{1,8}", is_restart in any::<bool>(),
    ) {
        let intent = if is_restart { restart_intent() } else { scale_intent(4) };
        let mut new = plain();
        if is_restart {
            new["spec"]["template"]["metadata"]["annotations"] =
                json!({"kubectl.kubernetes.io/restartedAt": AT});
        } else {
            new["spec"]["replicas"] = json!(4);
        }
        let warranted = update("", &plain(), &new);
        prop_assert_eq!(refusal(&verdict(&warranted, &[remediation(&intent)])), None);
        let spec = "/spec/template/spec";
        let at = ["/metadata/labels", "/metadata/annotations", "/spec/strategy", "/spec/template/metadata/labels",
            spec, &format!("{spec}/nodeSelector"), &format!("{spec}/containers/0"),
            &format!("{spec}/securityContext")][place].to_owned();
        let (above, key) = at.rsplit_once('/').unwrap();
        if new.pointer(&at).is_none() {
            new.pointer_mut(above).unwrap()[key] = json!({});
        }
        new.pointer_mut(&at).unwrap()["extra"] = json!(value);
        let write = update("", &plain(), &new);
        let verdict = verdict(&write, &[remediation(&intent)]);
        let causes = verdict.denial().map(|denial| denial.causes.clone()).unwrap_or_default();
        let is_refused = causes.iter().any(|c| {
            c.rule == smartops_common::denial::Rule::Warrant && c.path.ends_with("extra")
        });
        prop_assert!(is_refused, "{} {:?}", at, causes);
    }
}
