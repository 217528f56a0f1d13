//! What is sent by which way: whom each registration is about, how the webhook is reached, and what both halves ask.

use super::*;
use crate::rules::replicas::OnViolation;

#[test]
fn every_entry_leads_where_it_was_made_to_and_nowhere_else() {
    let reaches = ["https://127.0.0.1:1", "https://127.0.0.1:11", "https://evil.example"]
        .map(|url| Reach::Url(url.to_owned()));
    let reaches = [&[Reach::Service][..], &reaches].concat();
    for made in &reaches {
        let all = registrations(&config(), &[], made, None).unwrap();
        for webhook in all.validating.iter().flat_map(|c| c.webhooks.iter().flatten()) {
            for reach in &reaches {
                let leads = reach.leads(&webhook.client_config);
                assert_eq!(leads, reach == made, "{} {made:?} {reach:?}", webhook.name);
            }
        }
    }
    assert!(!reaches.iter().any(|reach| reach.leads(&WebhookClientConfig::default())));
}

#[test]
fn the_audiences_are_told_apart_by_path() {
    let reach = Reach::Url("https://127.0.0.1:1/".into());
    let demands: Vec<Demand> = shipped().iter().map(|p| demand(&p.spec)).collect();
    let demands: Vec<&Demand> = demands.iter().collect();
    let all = registrations(&config(), &demands, &reach, Some(b"ca")).unwrap();
    let paths = [path::VALIDATE_AUTOMATION, path::VALIDATE_PEOPLE, path::VALIDATE_OWN];
    for (registration, path) in all.validating.into_iter().zip(paths) {
        let webhooks = registration.webhooks.unwrap();
        assert!(!webhooks.is_empty(), "{path}");
        for webhook in webhooks {
            assert_eq!(webhook.client_config.url, Some(format!("https://127.0.0.1:1{path}")));
            assert_eq!(webhook.client_config.ca_bundle, Some(ByteString(b"ca".to_vec())));
        }
    }
}

#[test]
fn automation_is_asked_about_everything_in_its_groups_and_custom_resources_it_is_bound_in() {
    let mut spec = naming(&[("shop.example", "carts")], &[OperationName::Update]);
    spec.match_.subjects = Some(SubjectMatch {
        include: Some(SubjectSet { automation: true, ..SubjectSet::default() }),
        exclude: None,
    });
    let given = entries(work_out(&[demand(&spec)]).validating[0].webhooks.as_ref());
    // A policy for everybody binds automation as well.
    spec.match_.subjects = None;
    let everybody = entries(work_out(&[demand(&spec)]).validating[0].webhooks.as_ref());
    assert_eq!(given, everybody);
    let every = "CREATE,UPDATE,DELETE,CONNECT";
    let own = "smartops.dev/*/*";
    let groups = ",apps,batch,autoscaling,discovery.k8s.io,networking.k8s.io,policy,rbac.authorization.k8s.io";
    assert_eq!(
        entries(work_out(&[demand(&spec)]).validating[0].webhooks.as_ref()),
        [
            format!(
                "objects.automation [] {every} {groups}/*/* + {every} {own} + {every} shop.example/carts,carts/*"
            ),
            format!(
                "scale.automation [] {every} {groups}/*/scale + {every} shop.example/carts/scale"
            ),
        ]
    );
}

#[test]
fn only_what_an_enforced_policy_clamps_is_sent_to_the_mutating_half() {
    let mut spec = sample::baseline();
    let mutated = |spec: &GuardrailPolicySpec| {
        let all = work_out(&[demand(spec)]);
        all.mutating
            .iter()
            .map(|c| c.webhooks.iter().flatten().map(|w| w.name.clone()).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let own: &[&str] = &["own.automation.smartops.dev"];
    let stamped: &[&str] = &["own.smartops.dev"];
    assert_eq!(mutated(&spec), [own, &[], stamped]);
    spec.rules.replicas.as_mut().unwrap().on_violation = OnViolation::Clamp;
    assert_eq!(
        mutated(&spec),
        [
            [&["objects.automation.smartops.dev", "scale.automation.smartops.dev"][..], own,]
                .concat(),
            vec!["objects.people.smartops.dev", "scale.people.smartops.dev"],
            stamped.to_vec(),
        ]
    );
    spec.mode = Mode::Audit;
    assert_eq!(mutated(&spec), [own, &[], stamped]);
}

#[test]
fn our_own_kinds_are_checked_and_stamped_whoever_writes_them_and_the_webhook_never_asks_itself() {
    let all = work_out(&[]);
    let webhook = &all.validating[2].webhooks.as_ref().unwrap()[0];
    let conditions: Vec<&str> =
        webhook.match_conditions.iter().flatten().map(|c| c.name.as_str()).collect();
    assert_eq!(conditions, ["not-the-webhooks-ledger"]);
    assert_eq!(
        entries(all.validating[2].webhooks.as_ref()),
        [
            "own [] CREATE,UPDATE smartops.dev/guardrailpolicies,guardrailexceptions,smartopsconfigs,smartopsconfigs/status,remediations,remediations/status,remediationapprovals,remediationpolicies,remediationpolicies/status,changeledgers",
            "reach [] CREATE smartops.dev/changeledgers",
        ]
    );
    let stamped = &all.mutating[2].webhooks.as_ref().unwrap()[0];
    let rule = &stamped.rules.as_ref().unwrap()[0];
    assert_eq!(rule.resources.as_deref().unwrap(), ["remediations", "remediationapprovals"]);
    assert_eq!(rule.operations.as_deref().unwrap(), ["CREATE"]);
    assert_eq!(stamped.match_conditions.as_deref(), Some(&[][..]));
}

#[test]
fn more_of_automation_than_a_condition_can_say_is_a_flaw() {
    let mut config = config();
    config.automation.users = (0..64).map(|n| format!("{n}-{}", "u".repeat(2000))).collect();
    let flaw = registrations(&config, &[], &Reach::Service, None).unwrap_err();
    assert_eq!(flaw.field, "spec.automation");
    config.automation.users.truncate(8);
    assert!(registrations(&config, &[], &Reach::Service, None).is_ok());
}
