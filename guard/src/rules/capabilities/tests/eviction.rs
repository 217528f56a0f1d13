//! Evicting a pod.

use super::*;

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
