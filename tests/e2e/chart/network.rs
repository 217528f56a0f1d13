//! Whom the network policies let in.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{find, rendered};

/// What may reach a port of a program: nobody is named where everybody may.
fn let_in(objects: &[Value], program: &str, port: &str) -> Result<Value> {
    let policy = find(objects, "NetworkPolicy", &format!("smartops-{program}"));
    let rules = &policy.with_context(|| format!("no policy of {program}"))?["spec"]["ingress"];
    let mut rules = rules.as_array().into_iter().flatten();
    let rule = rules.find(|rule| rule["ports"][0]["port"] == port);
    Ok(rule.with_context(|| format!("no rule of {program}, {port}"))?["from"].clone())
}

#[test]
fn whoever_may_read_metrics_reaches_the_port_at_which_the_controller_has_them() -> Result<()> {
    let named = |name: &str| json!({"podSelector": {"matchLabels": {"app": name}}});
    let set = |value: &str, names: &[&str]| {
        let peers: Vec<Value> = names.iter().map(|name| named(name)).collect();
        format!("networkPolicy.{value}={}", Value::Array(peers))
    };
    let (nobody_else, both): (&[&str], &[&str]) = (&["caller"], &["caller", "prometheus"]);
    for (api, metrics, api_port, health_port) in [
        (&[][..], &[][..], None, None),
        (&[], &["prometheus"], None, Some(&["prometheus"][..])),
        (&["caller"], &["prometheus"], Some(both), Some(&["prometheus"])),
        (&["caller", "prometheus"], &["prometheus"], Some(both), Some(&["prometheus"])),
        // Whoever fences the API in has said who may reach it.
        (&["caller"], &[], Some(nobody_else), None),
    ] {
        let (from, metrics_from) = (set("apiFrom", api), set("metricsFrom", metrics));
        let objects = rendered(&["--set-json", &from, "--set-json", &metrics_from])?;
        for (program, port, expected) in
            [("controller", "api", api_port), ("webhook", "health", health_port)]
        {
            let expected = expected
                .map_or(Value::Null, |names| names.iter().map(|name| named(name)).collect());
            let found = let_in(&objects, program, port)?;
            ensure!(found == expected, "{program}, {api:?}, {metrics:?}: {found}");
        }
        // Whom the API server is asked by is nobody's to choose.
        ensure!(let_in(&objects, "webhook", "https")?.is_null());
    }
    Ok(())
}
