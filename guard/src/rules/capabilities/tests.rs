//! What each capability lets pass, what is said where it is off, and what holds beside it.

use serde_json::{Value, json};
use smartops_change::TemplateDigest;
use smartops_common::action::{BoundsIntent, Intent, PodIntent, RevisionIntent};
use smartops_common::remediation::{AttemptKind, AttemptResult, Bounds, Remediation};

use super::*;
use crate::facts::{Facts, Origin, Related, RelatedObject, Relation, Warrants};
use crate::policy::{Applied, shipped};
use crate::sample::{self, Write};
use crate::warrant::sample as announced;

fn digest(template: &Value) -> String {
    serde_json::from_value::<TemplateDigest>(template.clone()).unwrap().to_string()
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}})
}

fn deployment(template: &Value, more: &Value) -> Value {
    let mut spec = json!({"replicas": 3, "template": template});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    announced::object(&spec)
}

/// The ReplicaSet of the deployment whose pods have this template.
fn replica_set(template: &Value) -> Value {
    let mut template = template.clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!("abc");
    json!({
        "metadata": {"name": "web-abc", "uid": "s1", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u1", "controller": true},
        ]},
        "spec": {"template": template},
    })
}

fn to_revision(template: &Value) -> Intent {
    let revision = RevisionIntent {
        replica_set: "web-abc".into(),
        uid: "s1".into(),
        number: 2,
        template: digest(template),
    };
    Intent { revision: Some(revision), ..Intent::of(ActionType::Rollback) }
}

fn rollback(from: &str, to: &Value) -> Write {
    announced::update("", &deployment(&template(from), &json!({})), &deployment(to, &json!({})))
}

fn evicted(name: &str, uid: &str) -> Intent {
    let pod = PodIntent { name: name.into(), uid: uid.into() };
    Intent { pod: Some(pod), ..Intent::of(ActionType::EvictPod) }
}

/// The eviction of the pod `web`, of uid `p1`, with these members.
fn eviction(members: &Value) -> Write {
    let mut object = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": "web", "namespace": "smartops-dev", "creationTimestamp": null},
        "deleteOptions": {"preconditions": {"uid": "p1"}},
    });
    for (key, value) in members.as_object().unwrap() {
        object[key] = value.clone();
    }
    let mut write = Write::of(Operation::Create, "", "pods");
    (write.subresource, write.old, write.new) = ("eviction", None, Some(object.to_string()));
    write
}

/// The pod, its ReplicaSet and its Deployment, of these uids.
fn owners(pod: &str, deployment: &str) -> Vec<RelatedObject> {
    let object = |relation, group, kind, uid: &str| RelatedObject {
        uid: uid.to_owned(),
        record: (kind == "Deployment").then_some(sample::QUIET),
        generation: Some(7),
        ..sample::relative(relation, group, kind)
    };
    vec![
        object(Relation::Parent, "", "Pod", pod),
        object(Relation::Owner, "apps", "ReplicaSet", "s1"),
        object(Relation::Owner, "apps", "Deployment", deployment),
    ]
}

fn bounds(min_replicas: i32, max_replicas: i32) -> Intent {
    let (name, uid, resource_version) = ("web".to_owned(), "h1".to_owned(), "51".to_owned());
    let bounds = BoundsIntent { name, uid, resource_version, min_replicas, max_replicas };
    Intent { bounds: Some(bounds), ..Intent::of(ActionType::HpaBounds) }
}

fn autoscaler((min, max): (i64, i64), target: &str) -> Value {
    json!({
        "metadata": {"name": "web", "uid": "h1", "resourceVersion": "51"},
        "spec": {
            "minReplicas": min, "maxReplicas": max,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        },
    })
}

fn moved(from: (i64, i64), to: (i64, i64)) -> Write {
    let mut write = announced::update("", &autoscaler(from, "web"), &autoscaler(to, "web"));
    (write.group, write.resource) = ("autoscaling", "horizontalpodautoscalers");
    write
}

/// The shipped policies, with these capabilities of smartops-automation.
fn policies(capabilities: &Value) -> Vec<Applied> {
    let policies = shipped().into_iter().map(|mut policy| {
        let name = policy.metadata.name.clone().unwrap();
        if name == "smartops-automation" {
            policy.spec.rules.capabilities = serde_json::from_value(capabilities.clone()).unwrap();
        }
        sample::applied(&name, &policy.spec)
    });
    policies.collect()
}

/// What is known beside the write.
struct World {
    remediation: Remediation,
    set: Option<String>,
    objects: Vec<RelatedObject>,
}

impl World {
    fn of(intent: &Intent) -> Self {
        Self { remediation: announced::remediation(intent), set: None, objects: owners("p1", "u1") }
    }

    /// What is refused, by rule and sentence.
    fn refused(&self, write: &Write, capabilities: &Value) -> Vec<(Rule, String)> {
        let policies = policies(capabilities);
        let remediations = std::slice::from_ref(&self.remediation);
        let facts = Facts {
            warrants: Warrants::Known(remediations),
            origin: Origin::Known(self.set.as_deref()),
            ..sample::facts(&policies)
        };
        let facts = if write.subresource == "eviction" {
            Facts { related: Related::Known { objects: &self.objects, newest_pod: None }, ..facts }
        } else {
            facts
        };
        let verdict = sample::verdict_with(write, &announced::controller(), &facts);
        let causes = verdict.denial().into_iter().flat_map(|denial| &denial.causes);
        causes.map(|cause| (cause.rule, cause.message.clone())).collect()
    }
}

fn rules(refused: &[(Rule, String)]) -> Vec<Rule> {
    refused.iter().map(|(rule, _)| *rule).collect()
}

/// Every capability by its name, with a write that uses it and what announced that.
fn each() -> Vec<(&'static str, World, Write)> {
    let former = template("shop:1");
    let mut back = former.clone();
    back["metadata"]["annotations"] = json!({"note": "before"});
    let mut rolled = World::of(&to_revision(&back));
    rolled.set = Some(replica_set(&back).to_string());
    let (running, paused) =
        (deployment(&former, &json!({})), deployment(&former, &json!({"paused": true})));
    vec![
        ("rollback", rolled, rollback("shop:1", &back)),
        ("podEviction", World::of(&evicted("web", "p1")), eviction(&json!({}))),
        (
            "pause",
            World::of(&Intent::of(ActionType::Pause)),
            announced::update("", &running, &paused),
        ),
        (
            "pause",
            World::of(&Intent::of(ActionType::Resume)),
            announced::update("", &paused, &running),
        ),
        ("hpaBounds", World::of(&bounds(1, 8)), moved((1, 5), (1, 8))),
    ]
}

#[test]
fn each_is_off_until_it_is_switched_on_and_the_refusal_says_how() {
    for (name, world, write) in each() {
        for off in [json!({}), json!({name: false})] {
            let refused = world.refused(&write, &off);
            assert_eq!(rules(&refused), [Rule::Capabilities], "{name} {refused:?}");
            let how = format!("by spec.rules.capabilities.{name}: true");
            assert!(refused[0].1.contains(&how), "{refused:?}");
        }
        assert_eq!(world.refused(&write, &json!({name: true})), [], "{name}");
        let others = ["rollback", "podEviction", "pause", "hpaBounds"];
        for other in others.into_iter().filter(|other| *other != name) {
            let refused = world.refused(&write, &json!({other: true}));
            assert_eq!(rules(&refused), [Rule::Capabilities], "{name} with {other}");
        }
    }
}

#[test]
fn a_capability_lets_nothing_pass_that_nothing_announced() {
    for (name, mut world, write) in each() {
        world.remediation.status.as_mut().unwrap().attempts.clear();
        let refused = rules(&world.refused(&write, &json!({name: true})));
        assert!(refused.contains(&Rule::Warrant), "{name} {refused:?}");
        assert!(!refused.contains(&Rule::Capabilities), "{name} {refused:?}");
    }
}

#[test]
fn only_the_controller_has_a_capability() {
    // What the rollback here brings back is on everybody's safelist.
    for (name, world, write) in each().into_iter().skip(1) {
        let policies = policies(&json!({name: true}));
        let remediations = std::slice::from_ref(&world.remediation);
        let facts = Facts {
            warrants: Warrants::Known(remediations),
            origin: Origin::Known(world.set.as_deref()),
            related: Related::Known { objects: &world.objects, newest_pod: None },
            ..sample::facts(&policies)
        };
        let verdict = sample::verdict_with(&write, &sample::automation(), &facts);
        assert!(verdict.denial().is_some(), "{name}");
    }
}

#[test]
fn a_policy_without_the_rule_has_its_say_about_paths_all_the_same() {
    let (_, world, write) = each().remove(2);
    let mut spec = shipped().remove(0).spec;
    spec.rules.capabilities = None;
    let mut policies = policies(&json!({"pause": true}));
    policies.push(sample::applied("strict", &spec));
    let remediations = std::slice::from_ref(&world.remediation);
    let facts = Facts { warrants: Warrants::Known(remediations), ..sample::facts(&policies) };
    let verdict = sample::verdict_with(&write, &announced::controller(), &facts);
    let causes: Vec<_> =
        verdict.denial().unwrap().causes.iter().map(|c| (c.policy.as_str(), c.rule)).collect();
    assert_eq!(causes, [("strict", Rule::Paths)]);
}

#[test]
fn a_rollback_is_to_the_template_of_a_replica_set_of_the_target_and_changes_nothing_else() {
    let on = json!({"rollback": true});
    let (_, world, write) = each().remove(0);
    let edited = |edit: fn(&mut Value)| {
        let mut set: Value = serde_json::from_str(world.set.as_ref().unwrap()).unwrap();
        edit(&mut set);
        Some(set.to_string())
    };
    for (set, word) in [
        (None, "is gone"),
        (edited(|s| s["metadata"]["uid"] = json!("s2")), "another one of that name"),
        (
            edited(|s| s["metadata"]["ownerReferences"][0]["uid"] = json!("u2")),
            "none of the target's",
        ),
        (
            edited(|s| s["metadata"]["ownerReferences"][0]["controller"] = json!(false)),
            "none of the target's",
        ),
        (
            edited(|s| s["spec"]["template"]["spec"]["hostNetwork"] = json!(true)),
            "another pod template",
        ),
        (Some("5".to_owned()), "cannot be read"),
    ] {
        let odd = World {
            set,
            ..World::of(&world.remediation.status.as_ref().unwrap().attempts[0].intent)
        };
        let refused = odd.refused(&write, &on);
        assert!(
            refused.iter().any(|(rule, m)| *rule == Rule::Warrant && m.contains(word)),
            "{word} {refused:?}"
        );
    }
    let mut further: Value = serde_json::from_str(write.new.as_ref().unwrap()).unwrap();
    further["spec"]["template"]["spec"]["hostNetwork"] = json!(true);
    let mut beside: Value = serde_json::from_str(write.new.as_ref().unwrap()).unwrap();
    beside["spec"]["minReadySeconds"] = json!(5);
    for new in [further, beside] {
        let write = Write { new: Some(new.to_string()), ..rollback("shop:1", &template("shop:1")) };
        assert!(rules(&world.refused(&write, &on)).contains(&Rule::Warrant), "{new}");
    }
}

#[test]
fn a_rollback_that_brings_back_other_images_is_approved_by_somebody() {
    let on = json!({"rollback": true});
    let mut world = World::of(&to_revision(&template("shop:0")));
    world.set = Some(replica_set(&template("shop:0")).to_string());
    let write = rollback("shop:1", &template("shop:0"));
    let refused = world.refused(&write, &on);
    assert!(
        refused.iter().any(|(_, m)| m.contains("ask for it with requireApproval")),
        "{refused:?}"
    );
    world.remediation.spec.require_approval = true;
    let refused = world.refused(&write, &on);
    assert!(refused.iter().any(|(_, m)| m.contains("none counts")), "{refused:?}");
    let approvals = [announced::approval(
        &world.remediation,
        "carol",
        smartops_common::approval::Decision::Approve,
    )];
    let policies = policies(&on);
    let facts = Facts {
        warrants: Warrants::Known(std::slice::from_ref(&world.remediation)),
        approvals: crate::facts::Approvals::Known(&approvals),
        origin: Origin::Known(world.set.as_deref()),
        ..sample::facts(&policies)
    };
    let verdict = sample::verdict_with(&write, &announced::controller(), &facts);
    assert_eq!(verdict.denial(), None);
}

#[test]
fn an_undo_that_brings_back_other_images_is_approved_or_is_of_what_was() {
    use smartops_common::approval::{Decision, RemediationApproval};

    /// To which template, whether an approval was asked for, what was approved, and a word of the refusal.
    type Row<'a> = (&'a Value, bool, &'a [RemediationApproval], Option<&'a str>);
    let (on, from) = (json!({"rollback": true}), template("shop:1"));
    let policies = policies(&on);
    // A rollback to shop:1 that is written, and its undo, to this.
    let undoing = |to: &Value, is_asked: bool| {
        let mut remediation = announced::remediation(&to_revision(&from));
        remediation.spec.require_approval = is_asked;
        let attempts = &mut remediation.status.as_mut().unwrap().attempts;
        attempts[0].result = Some(AttemptResult::Written);
        attempts[0].target.generation = 6;
        attempts[0].written_generation = Some(7);
        attempts[0].former.template = Some(digest(to));
        let mut undo = announced::attempt(&to_revision(to));
        (undo.number, undo.kind) = (2, AttemptKind::Undo);
        attempts.push(undo);
        remediation
    };
    let (other, mut noted) = (template("shop:0"), from.clone());
    noted["metadata"]["annotations"] = json!({"note": "before"});
    let approve = |of: &Remediation| announced::approval(of, "carol", Decision::Approve);
    let own = approve(&undoing(&other, true));
    let mut applied = undoing(&other, true);
    applied.status.as_mut().unwrap().attempts.pop();
    let of_undone = approve(&applied);
    let table: [Row<'_>; 6] = [
        (&other, false, &[], Some("ask for it with requireApproval")),
        // Nobody could approve what nobody asked to have approved.
        (&other, false, std::slice::from_ref(&own), Some("ask for it with requireApproval")),
        (&other, true, &[], Some("none counts")),
        (&other, true, std::slice::from_ref(&of_undone), None),
        (&other, true, std::slice::from_ref(&own), None),
        (&noted, false, &[], None),
    ];
    for (place, (to, is_asked, approvals, expected)) in table.into_iter().enumerate() {
        let remediation = undoing(to, is_asked);
        let set = replica_set(to).to_string();
        let facts = Facts {
            warrants: Warrants::Known(std::slice::from_ref(&remediation)),
            approvals: crate::facts::Approvals::Known(approvals),
            origin: Origin::Known(Some(&set)),
            ..sample::facts(&policies)
        };
        let write = rollback("shop:1", to);
        let verdict = sample::verdict_with(&write, &announced::controller(), &facts);
        let causes = verdict.denial().into_iter().flat_map(|denial| &denial.causes);
        let told: Vec<&str> = causes.map(|cause| cause.message.as_str()).collect();
        match expected {
            None => assert_eq!(told, [] as [&str; 0], "{place}"),
            Some(word) => assert!(told.iter().any(|m| m.contains(word)), "{place} {told:?}"),
        }
    }
}

#[test]
fn an_eviction_is_of_that_pod_of_the_target_and_says_nothing_else() {
    let on = json!({"podEviction": true});
    let world = World::of(&evicted("web", "p1"));
    let options = |members: Value| eviction(&json!({"deleteOptions": members}));
    let uid = json!({"uid": "p1"});
    assert_eq!(world.refused(&options(json!({"preconditions": uid, "dryRun": ["All"]})), &on), []);
    for (write, word) in [
        (options(json!({})), "deleteOptions.preconditions.uid"),
        (options(json!({"preconditions": {"uid": "p2"}})), "deleteOptions.preconditions.uid"),
        (options(json!({"preconditions": uid, "gracePeriodSeconds": 0})), "gracePeriodSeconds"),
        (
            options(json!({"preconditions": {"uid": "p1", "resourceVersion": "7"}})),
            "preconditions.resourceVersion",
        ),
        (eviction(&json!({"metadata": {"name": "other"}})), "metadata.name"),
        (eviction(&json!({"metadata": {"name": "web", "labels": {"a": "b"}}})), "metadata.labels"),
    ] {
        let refused = world.refused(&write, &on);
        let told = refused.iter().any(|(rule, m)| *rule == Rule::Warrant && m.contains(word));
        assert!(told, "{word} {refused:?}");
    }
    for (pod, deployment, word) in
        [("p2", "u1", "the pod of this name is another"), ("p1", "u2", "this pod is none of its")]
    {
        let world = World { objects: owners(pod, deployment), ..World::of(&evicted("web", "p1")) };
        let refused = world.refused(&eviction(&json!({})), &on);
        assert!(refused.iter().any(|(_, m)| m.contains(word)), "{refused:?}");
    }
    let other = World::of(&evicted("web-2", "p1"));
    let refused = rules(&other.refused(&eviction(&json!({})), &on));
    assert!(refused.contains(&Rule::Warrant), "{refused:?}");
}

#[test]
fn the_bounds_of_the_targets_autoscaler_move_exactly_as_announced_and_within_the_policys() {
    let on = json!({"hpaBounds": true});
    let world = World::of(&bounds(2, 8));
    assert_eq!(world.refused(&moved((1, 5), (2, 8)), &on), []);
    for (write, expected) in [
        (moved((1, 5), (2, 9)), Rule::Warrant),
        (moved((1, 5), (1, 8)), Rule::Warrant),
        (
            {
                let mut write = moved((1, 5), (2, 8));
                write.new = write.new.map(|text| {
                    text.replace(
                        "\"minReplicas\"",
                        "\"metrics\":[{\"type\":\"x\"}],\"minReplicas\"",
                    )
                });
                write
            },
            Rule::Warrant,
        ),
        (
            {
                let mut write = moved((1, 5), (2, 8));
                write.old = write.old.map(|text| text.replace("\"51\"", "\"52\""));
                write
            },
            Rule::Warrant,
        ),
    ] {
        let refused = rules(&world.refused(&write, &on));
        assert!(refused.contains(&expected), "{refused:?} {:?}", write.new);
    }
    let mut elsewhere = moved((1, 5), (2, 8));
    for side in [&mut elsewhere.old, &mut elsewhere.new] {
        *side = side.take().map(|text| text.replace("\"name\":\"web\"}", "\"name\":\"db\"}"));
    }
    let refused = world.refused(&elsewhere, &on);
    assert!(refused.iter().any(|(_, m)| m.contains("does not scale")), "{refused:?}");
    let wide = World::of(&bounds(2, 50));
    let refused = wide.refused(&moved((1, 5), (2, 50)), &on);
    assert_eq!(rules(&refused), [Rule::Replicas, Rule::Replicas], "{refused:?}");
}

#[test]
fn what_cannot_be_read_in_time_is_undecided_and_may_be_tried_again_at_once() {
    let policies = policies(&json!({"rollback": true, "podEviction": true}));
    for (place, unread) in [(0, "the ReplicaSet"), (1, "the owners of the pod")] {
        let (_, world, write) = each().remove(place);
        let remediations = std::slice::from_ref(&world.remediation);
        let facts = Facts {
            warrants: Warrants::Known(remediations),
            origin: Origin::Unavailable,
            ..sample::facts(&policies)
        };
        let facts =
            if place == 1 { Facts { related: Related::Unavailable, ..facts } } else { facts };
        let late = sample::verdict_with(&write, &announced::controller(), &facts);
        let denial = late.denial().unwrap();
        assert_eq!(denial.causes[0].rule, Rule::Undecided, "{unread}");
        assert_eq!(denial.retry_after_seconds, Some(1), "{unread} {denial:?}");
    }
}

#[test]
fn an_autoscaler_gets_back_the_bounds_it_had_past_every_step_and_no_others() {
    let mut undoing = announced::remediation(&bounds(2, 8));
    let attempts = &mut undoing.status.as_mut().unwrap().attempts;
    attempts[0].result = Some(AttemptResult::Written);
    attempts[0].former.bounds = Some(Bounds { min_replicas: 1, max_replicas: 5 });
    let mut undo = announced::attempt(&bounds(1, 5));
    (undo.number, undo.kind) = (2, AttemptKind::Undo);
    attempts.push(undo);
    undoing.spec.require_approval = true;
    let mut applied = undoing.clone();
    applied.status.as_mut().unwrap().attempts.pop();
    let approve = |of: &Remediation| {
        announced::approval(of, "carol", smartops_common::approval::Decision::Approve)
    };
    let policies = policies(&json!({"hpaBounds": true}));
    for (from, approvals, passes) in [
        ((2, 8), vec![approve(&applied)], true),
        // Somebody moved them since.
        ((2, 9), vec![approve(&applied)], false),
        // Nobody approved what is taken back.
        ((2, 8), vec![], false),
    ] {
        let facts = Facts {
            warrants: Warrants::Known(std::slice::from_ref(&undoing)),
            approvals: crate::facts::Approvals::Known(&approvals),
            ..sample::facts(&policies)
        };
        let verdict = sample::verdict_with(&moved(from, (1, 5)), &announced::controller(), &facts);
        assert_eq!(verdict.denial().is_none(), passes, "{from:?} {:?}", verdict.denial());
    }
}
