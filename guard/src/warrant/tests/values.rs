//! What is written against what was announced, for each action.

use super::*;

#[test]
fn a_restart_is_the_one_annotation_with_the_one_value() {
    let announced = [remediation(&restart_intent())];
    let stamped = |value: &str| {
        let annotations = json!({"annotations": {"kubectl.kubernetes.io/restartedAt": value}});
        template(&annotations, &json!({"name": "web", "image": "shop:1"}))
    };
    let mut more = stamped(AT);
    more["spec"]["template"]["metadata"]["annotations"]["a"] = json!("b");
    for (new, expected) in [
        (stamped(AT), None),
        (stamped("2026-01-01T12:00:01Z"), Some("is not what attempt 1 of Remediation web-1 says")),
        (more, Some("beside what attempt 1 of Remediation web-1 says")),
    ] {
        let refusal = refusal(&verdict(&update("", &plain(), &new), &announced));
        assert_eq!(refusal.is_some(), expected.is_some(), "{refusal:?}");
        assert!(refusal.unwrap_or_default().contains(expected.unwrap_or_default()));
    }
    let scaled = refusal(&verdict(&scale(3, 4), &announced)).unwrap();
    assert!(scaled.contains("not on its scale"), "{scaled}");
}

#[test]
fn a_scale_is_the_number_and_to_zero_it_is_an_empty_spec() {
    let policies = shipped_for_the_controller();
    let announced = [remediation(&scale_intent(0))];
    let facts = Facts { warrants: Warrants::Known(&announced), ..sample::facts(&policies) };
    for (write, passes) in [(scale(3, 0), true), (scale(3, 1), false)] {
        let verdict = sample::verdict_with(&write, &controller(), &facts);
        let denied = verdict.denial().is_some_and(|d| d.message.contains("rule warrant"));
        assert_eq!(denied, !passes, "{verdict:?}");
    }
    let mut extra = scale(3, 0);
    extra.new = extra.new.map(|text| text.replace("\"name\"", "\"labels\":{\"a\":\"b\"},\"name\""));
    let verdict = sample::verdict_with(&extra, &controller(), &facts);
    let causes = &verdict.denial().unwrap().causes;
    assert!(causes.iter().any(|c| c.path == "metadata.labels.a"), "{causes:?}");
}

#[test]
fn what_others_keep_their_books_in_is_written_by_no_warrant_and_not_without_one() {
    const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    let announced = [remediation(&scale_intent(4))];
    for (replicas, remediations) in [(4, &announced[..]), (3, &announced[..]), (3, &[])] {
        let mut new = plain();
        new["spec"]["replicas"] = json!(replicas);
        // The twin: as it was, or as announced.
        assert_eq!(refusal(&verdict(&update("", &plain(), &new), remediations)), None);
        for key in [APPLIED, "deployment.kubernetes.io/revision"] {
            new["metadata"]["annotations"] = json!({key: "{}"});
            let verdict = verdict(&update("", &plain(), &new), remediations);
            let causes = &verdict.denial().unwrap().causes;
            let path = format!(r#"metadata.annotations["{key}"]"#);
            let is_named = causes.iter().any(|c| {
                c.rule == smartops_common::denial::Rule::Warrant
                    && (c.path == path || remediations.is_empty())
            });
            assert!(is_named, "{key} {causes:?}");
        }
    }
}

/// What becomes of a patch of the container's resources that comes out as this container and this metadata.
fn patched(format: PatchFormat, body: &Value, new: &Value) -> Option<String> {
    patched_by(&patch_intent(format, body), new)
}

fn patched_by(intent: &Intent, new: &Value) -> Option<String> {
    let announced = [remediation(intent)];
    let container =
        json!({"name": "web", "image": "shop:1", "resources": {"limits": {"cpu": "1"}}});
    let old = template(&json!({}), &container);
    let policies = shipped_for_the_controller();
    let mut automation = crate::policy::shipped().remove(0).spec;
    automation.rules = crate::rules::RulesSpec::default();
    let policies = [policies, [sample::applied("all", &automation)]].concat();
    let facts = Facts { warrants: Warrants::Known(&announced), ..sample::facts(&policies) };
    refusal(&sample::verdict_with(&update("", &old, new), &controller(), &facts))
}

#[test]
fn a_patch_is_what_it_makes_of_the_object_and_a_bigger_or_smaller_one_is_refused() {
    let made = |limits: Value| {
        template(
            &json!({}),
            &json!({"name": "web", "image": "shop:1", "resources": {"limits": limits}}),
        )
    };
    let strategic = json!({"spec": {"template": {"spec": {"containers":
        [{"name": "web", "resources": {"limits": {"cpu": "2000m", "memory": "1Gi"}}}]}}}});
    let pointer = "/spec/template/spec/containers/0/resources/limits";
    let operations = json!([
        {"op": "test", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "replace", "path": format!("{pointer}/cpu"), "value": "2"},
        {"op": "add", "path": format!("{pointer}/memory"), "value": "1024Mi"},
    ]);
    let mut with_label = made(json!({"cpu": "2", "memory": "1Gi"}));
    with_label["spec"]["template"]["metadata"]["labels"] = json!({"a": "b"});
    for (format, body) in [(PatchFormat::Strategic, &strategic), (PatchFormat::Json, &operations)] {
        for (new, expected) in [
            (made(json!({"cpu": "2", "memory": "1Gi"})), None),
            (made(json!({"cpu": "2"})), Some("memory is not what")),
            (made(json!({"cpu": "3", "memory": "1Gi"})), Some("cpu is not what")),
            (made(json!({"cpu": "2", "memory": "1Gi", "a/b": "1"})), Some("beside what")),
            (with_label.clone(), Some("spec.template.metadata.labels.a would change")),
        ] {
            let refusal = patched(format, body, &new);
            assert_eq!(refusal.is_some(), expected.is_some(), "{format:?} {refusal:?}");
            assert!(refusal.unwrap_or_default().contains(expected.unwrap_or_default()), "{new}");
        }
    }
}

#[test]
fn a_patch_that_cannot_be_carried_out_is_refused_with_the_reason() {
    let new = template(&json!({"labels": {"a": "b"}}), &json!({"name": "web"}));
    for (format, body, word) in [
        (PatchFormat::Strategic, json!({"spec": {"$patch": "replace"}}), "directive $patch"),
        (PatchFormat::Strategic, json!([]), "no merge patch"),
        (PatchFormat::Json, json!([{"op": "remove", "path": "/spec/paused"}]), "does not fit"),
        (PatchFormat::Json, json!({"op": "remove"}), "no JSON Patch"),
    ] {
        let refusal = patched(format, &body, &new).unwrap();
        assert!(refusal.contains(word), "{refusal}");
    }
}

/// The body of a patch, as somebody may write it who makes no object of it first.
fn bodied(format: PatchFormat, body: String, new: &Value) -> Option<String> {
    let patch = Some(PatchParameters { format, body });
    patched_by(&Intent { patch, ..patch_intent(format, &json!([])) }, new)
}

#[test]
fn a_patch_makes_no_more_of_the_object_than_it_holds() {
    let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let add =
        |path: &str, value: &str| format!(r#"{{"op":"add","path":"{path}","value":{value}}}"#);
    let moving = |op: &str, from: &str, path: &str| {
        format!(r#"{{"op":"{op}","from":"{from}","path":"{path}"}}"#)
    };
    let list = |operations: &[String]| format!("[{}]", operations.join(","));
    let annotation = "/spec/template/metadata/annotations";
    // Each copy is twice as large, or twice as deep, as the one before.
    let start = add(annotation, r#"{"a":"x"}"#);
    let doubled = |from: &str| {
        let copies = (0..22).map(|_| moving("copy", annotation, &format!("{annotation}{from}")));
        list(&[vec![start.clone()], copies.collect()].concat())
    };
    let deepening = (1..40).map(|n| add(&"/a".repeat(n * 100), &nested(100)));
    for (format, body, word) in [
        (PatchFormat::Json, doubled("/b"), "the operation copy"),
        (PatchFormat::Json, doubled("/a"), "the operation copy"),
        (
            PatchFormat::Json,
            list(&[moving("move", "/spec/replicas", "/spec/paused")]),
            "the operation move",
        ),
        (PatchFormat::Json, list(&vec![start.clone(); 257]), "has 257 operations"),
        (PatchFormat::Json, list(&deepening.collect::<Vec<_>>()), "path of more than 64 keys"),
        (PatchFormat::Json, list(&[add("/a", &nested(16_384))]), "recursion limit"),
        (PatchFormat::Strategic, nested(16_384), "recursion limit"),
    ] {
        let refusal = bodied(format, body, &plain()).unwrap();
        assert!(refusal.contains(word), "{word}: {refusal}");
    }
    // The twins: as much as is borne.
    let labelled = template(
        &json!({"annotations": {"a": "x"}}),
        &json!({"name": "web", "image": "shop:1", "resources": {"limits": {"cpu": "1"}}}),
    );
    assert_eq!(bodied(PatchFormat::Json, list(&vec![start.clone(); 256]), &labelled), None);
    let deep = [add("/a", &nested(120)), add(&"/a".repeat(64), &nested(120))];
    for (format, body) in [(PatchFormat::Json, list(&deep)), (PatchFormat::Strategic, nested(120))]
    {
        let refusal = bodied(format, body, &labelled).unwrap();
        assert!(refusal.contains("write exactly what was announced"), "{refusal}");
    }
}

#[test]
fn what_the_api_server_fills_in_beside_a_patch_is_nobody_elses() {
    let ports = |port: Value| {
        template(
            &json!({}),
            &json!({"name": "web", "image": "shop:1", "resources": {"limits": {"cpu": "1"}}, "ports": [port]}),
        )
    };
    let body = json!({"spec": {"template": {"spec": {"containers":
        [{"name": "web", "ports": [{"containerPort": 80}]}]}}}});
    let filled = ports(json!({"containerPort": 80, "protocol": "TCP"}));
    assert_eq!(patched(PatchFormat::Strategic, &body, &filled), None);
    let mutated = ports(json!({"containerPort": 80, "protocol": "TCP", "hostPort": 80}));
    let refusal = patched(PatchFormat::Strategic, &body, &mutated).unwrap();
    assert!(refusal.contains("ports[80/TCP].hostPort"), "{refusal}");
}

#[test]
fn no_value_of_the_object_or_of_the_patch_stands_in_a_refusal() {
    let body = json!({"spec": {"template": {"metadata": {"annotations": {"key": "s3cret-a"}}}}});
    let new = template(
        &json!({"annotations": {"key": "s3cret-b", "other": "s3cret-c"}}),
        &json!({"name": "web"}),
    );
    let refusal = patched(PatchFormat::Strategic, &body, &new).unwrap();
    assert!(!refusal.contains("s3cret"), "{refusal}");
}
