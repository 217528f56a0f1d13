//! Increases of requests and limits, as tables.

use super::*;

/// The increases from one container's resources to another's.
fn raised(old: &str, new: &str) -> Vec<ResourceIncrease> {
    let of =
        |resources: &str| format!(r#"{{"containers":[{{"name":"web","resources":{resources}}}]}}"#);
    let (old, new) = (of(old), of(new));
    increases(&Object::read(&old).unwrap(), &Object::read(&new).unwrap(), &["spec"]).unwrap()
}

fn told(old: &str, new: &str) -> Vec<String> {
    raised(old, new)
        .iter()
        .map(|i| {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".into());
            let growth = match i.growth {
                Growth::Times(ratio) => format!("× {ratio}"),
                Growth::FromNothing => "from nothing".into(),
                Growth::Unbounded => "unbounded".into(),
            };
            let path = i.path.to_string();
            let tail = path.strip_prefix("spec.containers[web].resources.").unwrap();
            format!("{tail} {} → {} {growth}", side(&i.old), side(&i.new))
        })
        .collect()
}

#[test]
fn what_is_raised_is_told_and_what_is_lowered_or_written_otherwise_is_not() {
    let none: [&str; 0] = [];
    for (old, new, expected) in [
        (
            r#"{"limits":{"cpu":"1"}}"#,
            r#"{"limits":{"cpu":"1500m"}}"#,
            "limits.cpu 1 → 1500m × 1.5",
        ),
        (
            r#"{"requests":{"memory":"1Gi"}}"#,
            r#"{"requests":{"memory":"4096Mi"}}"#,
            "requests.memory 1Gi → 4096Mi × 4",
        ),
        (r#"{"limits":{"cpu":1}}"#, r#"{"limits":{"cpu":3}}"#, "limits.cpu 1 → 3 × 3"),
        (r#"{"limits":{"cpu":"1"}}"#, "{}", "limits.cpu 1 → - unbounded"),
        (r#"{"limits":{"cpu":"1"}}"#, r#"{"limits":{"cpu":"0"}}"#, "limits.cpu 1 → 0 unbounded"),
        ("{}", r#"{"requests":{"cpu":"1"}}"#, "requests.cpu - → 1 from nothing"),
        (
            r#"{"requests":{"cpu":"0"}}"#,
            r#"{"requests":{"cpu":"1"}}"#,
            "requests.cpu 0 → 1 from nothing",
        ),
        // Without a request the limit is asked for.
        (
            r#"{"requests":{"cpu":"1"},"limits":{"cpu":"4"}}"#,
            r#"{"limits":{"cpu":"4"}}"#,
            "requests.cpu 1 → 4 × 4",
        ),
    ] {
        assert_eq!(told(old, new), [expected], "{old} {new}");
        assert!(told(new, new).is_empty(), "{new}");
    }
    for (old, new) in [
        (r#"{"limits":{"cpu":"2"}}"#, r#"{"limits":{"cpu":"1"}}"#),
        (r#"{"limits":{"cpu":"1000m"}}"#, r#"{"limits":{"cpu":"1"}}"#),
        ("{}", r#"{"limits":{"cpu":"1"}}"#),
        (r#"{"limits":{"cpu":"0"}}"#, r#"{"limits":{"cpu":"1"}}"#),
        (r#"{"requests":{"cpu":"1"}}"#, "{}"),
        (r#"{"limits":{"nvidia.com/gpu":"1"}}"#, r#"{"limits":{"nvidia.com/gpu":"0"}}"#),
    ] {
        assert_eq!(told(old, new), none, "{old} {new}");
    }
}

#[test]
fn every_list_counts_by_name_and_so_does_the_pod() {
    let of = |list: &str, items: &str| format!(r#"{{"{list}":[{items}]}}"#);
    let item = |name: &str, cpu: u8| {
        format!(r#"{{"name":"{name}","resources":{{"limits":{{"cpu":"{cpu}"}}}}}}"#)
    };
    let paths = |old: &str, new: &str| -> Vec<String> {
        let (old, new) = (Object::read(old).unwrap(), Object::read(new).unwrap());
        let found = increases(&old, &new, &["spec"]).unwrap();
        found.iter().map(|i| i.path.to_string()).collect()
    };
    for list in CONTAINERS {
        let old = of(list, &[item("a", 1), item("b", 2)].join(","));
        let new = of(list, &[item("b", 2), item("a", 2), item("new", 9)].join(","));
        assert_eq!(paths(&old, &new), [format!("spec.{list}[a].resources.limits.cpu")]);
    }
    let pod = |cpu: u8| format!(r#"{{"resources":{{"requests":{{"cpu":"{cpu}"}}}}}}"#);
    assert_eq!(paths(&pod(1), &pod(2)), ["spec.resources.requests.cpu"]);
}

#[test]
fn a_ratio_is_compared_as_it_is_written_however_large_the_quantities() {
    for (old, new, limit, expected) in [
        ("100m", "190m", 1.9, false),
        ("100m", "191m", 1.9, true),
        ("1", "1100m", 1.1, false),
        ("3", "4", 1.333, true),
        ("3", "4", 1.334, false),
        ("1Ei", "1000Ei", 1000.0, false),
        ("1n", "9Ei", 1000.0, true),
        ("1", "2", f64::NAN, true),
    ] {
        let of = |memory: &str| format!(r#"{{"limits":{{"memory":"{memory}"}}}}"#);
        let raised = raised(&of(old), &of(new));
        assert_eq!(raised[0].exceeds(limit), expected, "{old} {new} {limit}");
    }
    assert!(raised(r#"{"limits":{"cpu":"1"}}"#, "{}")[0].exceeds(1000.0));
    assert!(!raised("{}", r#"{"requests":{"cpu":"1"}}"#)[0].exceeds(1.5));
}

#[test]
fn the_most_that_is_allowed_is_told_in_the_unit_it_was_written_in_and_never_exceeds() {
    for (old, ratio, expected) in [
        ("256Mi", 2.0, "512Mi"),
        ("1Gi", 1.5, "1610612736"),
        ("1", 1.5, "1500m"),
        ("2", 1.5, "3"),
        ("100m", 1.25, "125m"),
        ("1000", 1.001, "1001"),
        ("3Ki", 1.3333, "4095"),
    ] {
        let resources = |amount: &str| format!(r#"{{"limits":{{"memory":"{amount}"}}}}"#);
        let most = raised(&resources(old), &resources("9Ei"))[0].most(ratio).unwrap();
        assert_eq!(most, expected, "{old} {ratio}");
        let allowed = raised(&resources(old), &resources(&most));
        assert!(allowed.iter().all(|i| !i.exceeds(ratio)), "{old} {ratio} {most}");
    }
}

#[test]
fn what_is_no_quantity_is_an_error() {
    let of = |cpu: &str| {
        format!(r#"{{"containers":[{{"name":"a","resources":{{"limits":{{"cpu":{cpu}}}}}}}]}}"#)
    };
    let old = of("\"1\"");
    let old = Object::read(&old).unwrap();
    for text in ["\"much\"", "{}", "\"-1\"", "true"] {
        let new = of(text);
        assert!(increases(&old, &Object::read(&new).unwrap(), &[]).is_err(), "{text}");
    }
}
