//! The chart's values: each is set by one of the sets, each has an effect, and what none of them is is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};
use smartops_tests::chart;

use super::{file, sets, template};
use crate::support::folder;

/// The names of every value, and those of the sections they stand in.
struct Known {
    values: BTreeSet<String>,
    sections: BTreeSet<String>,
}

impl Known {
    fn read() -> Result<Self> {
        let text = fs::read_to_string(chart::folder().join("values.schema.json"))?;
        let schema: Value = serde_json::from_str(&text)?;
        let mut known = Self { values: BTreeSet::new(), sections: BTreeSet::new() };
        let properties = schema["properties"].as_object().context("the schema is empty")?;
        for (name, below) in properties {
            // The only section that two charts share.
            let below = if name == "global" { &schema["$defs"]["global"] } else { below };
            known.add(name, below);
        }
        known.values.remove("orchestrator-rbac.global");
        Ok(known)
    }

    fn add(&mut self, name: &str, schema: &Value) {
        let Some(properties) = schema["properties"].as_object() else {
            self.values.insert(name.to_owned());
            return;
        };
        self.sections.insert(name.to_owned());
        for (key, schema) in properties {
            self.add(&format!("{name}.{key}"), schema);
        }
    }

    /// Those of the values that are set here.
    fn set_by(&self, values: &Value) -> Vec<String> {
        self.values
            .iter()
            .filter(|name| values.pointer(&pointer(name)).is_some())
            .cloned()
            .collect()
    }
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('.', "/"))
}

fn read() -> Result<BTreeMap<String, Value>> {
    let parse = |(name, path)| {
        let text = fs::read_to_string(path)?;
        let values = serde_saphyr::from_str(&text).with_context(|| format!("in {name}"))?;
        Ok((name, values))
    };
    sets()?.into_iter().map(parse).collect()
}

/// The values without one of them.
fn without(values: &Value, name: &str) -> Value {
    let (section, key) = name.rsplit_once('.').unwrap_or(("", name));
    let mut values = values.clone();
    let at = if section.is_empty() { String::new() } else { pointer(section) };
    if let Some(section) = values.pointer_mut(&at).and_then(Value::as_object_mut) {
        section.remove(key);
    }
    values
}

#[test]
fn every_value_is_set_by_one_of_the_sets() -> Result<()> {
    let known = Known::read()?;
    ensure!(known.values.len() > 90, "{:?}", known.values);
    let mut untouched = known.values.clone();
    for values in read()?.values() {
        for name in known.set_by(values) {
            untouched.remove(&name);
        }
    }
    // Helm renders hooks and upgrades alike for whoever only renders: what `lookup` finds is for `cluster` to see.
    ensure!(untouched.is_empty(), "set by no file in tests/fixtures/values: {untouched:?}");
    Ok(())
}

#[test]
fn every_value_has_an_effect() -> Result<()> {
    let known = Known::read()?;
    let home = folder("values");
    fs::create_dir_all(&home)?;
    let path = home.join("values.yaml");
    let render = |values: &Value| {
        // JSON is YAML.
        fs::write(&path, values.to_string())?;
        let outcome = template(&["-f", file(&path)?])?;
        // A refusal is an effect too.
        Ok::<_, anyhow::Error>(if outcome.succeeded { outcome.output } else { outcome.errors })
    };
    let mut idle = known.values.clone();
    for values in read()?.values() {
        let whole = render(values)?;
        for name in known.set_by(values) {
            if render(&without(values, &name))? != whole {
                idle.remove(&name);
            }
        }
    }
    ensure!(idle.is_empty(), "nothing is rendered otherwise for: {idle:?}");
    Ok(())
}

#[test]
fn a_typo_is_refused_wherever_it_stands() -> Result<()> {
    let known = Known::read()?;
    let within = [
        "webhook.resources.limit.cpu=1",
        "webhook.tolerations[0].kye=a",
        "webhook.affinity.podAffinities.a=1",
        "webhook.topologySpreadConstraints[0].topologyKeys=a",
        "controller.extraEnv[0].valuesFrom=a",
        "networkPolicy.apiFrom[0].podSelectors.a=1",
        "networkPolicy.egress.extra[0].port=1",
        "global.imagePullSecrets[0].nam=a",
        "config.spec.approval.group={a}",
        "config.spec.people.outage=Fail",
        "policies.overrides.smartops-baselin.mode=Warn",
        "policies.overrides.smartops-baseline.rules.replica.max=3",
    ];
    // What stands in `global` may be another chart's.
    let closed = known.sections.iter().filter(|section| *section != "global");
    let at_a_section = closed.map(|section| format!("{section}.tpyo=1"));
    for typo in
        within.iter().map(|typo| (*typo).to_owned()).chain(at_a_section).chain(["tpyo=1".into()])
    {
        let outcome = template(&["--set", &typo])?;
        let is_told = outcome.errors.contains("additional properties");
        ensure!(!outcome.succeeded && is_told, "{typo}: {}", outcome.text());
    }
    // Their nearest twins.
    for value in [
        "webhook.resources.limits.cpu=1",
        "webhook.tolerations[0].key=a",
        "config.spec.approval.groups={a}",
        "global.storageClass=fast",
        "policies.overrides.smartops-baseline.rules.replicas.max=3",
    ] {
        template(&["--set", value])?.ok().context(value)?;
    }
    Ok(())
}

#[test]
fn a_value_of_another_kind_is_refused() -> Result<()> {
    for (value, told) in [
        ("webhook.replicas=many", "got string, want integer"),
        ("webhook.replicas=0", "minimum"),
        ("stopping.drainSeconds=0", "minimum"),
        ("people.outage=Open", "value must be one of"),
        ("certificates.lifetime=90", "want string"),
        ("certificates.lifetime=3months", "does not match pattern"),
        ("webhook.image.digest=abc", "does not match pattern"),
        ("webhook.podLabels.a=1", "want string"),
        ("orchestrator-rbac.targetNamespaces={Big}", "does not match pattern"),
        ("tracing.endpoint=https://collector", "does not match pattern"),
        ("global.labels.a=1", "want string"),
        ("global.imagePullSecrets=a", "want array"),
        // Nothing at all, where values of ours are.
        ("image=null", "missing property 'image'"),
        ("global=null", "missing property 'global'"),
        ("webhook.image=null", "missing property 'image'"),
    ] {
        let outcome = template(&["--set", value])?;
        ensure!(!outcome.succeeded && outcome.errors.contains(told), "{value}: {}", outcome.text());
    }
    Ok(())
}

#[test]
fn an_override_says_one_thing_otherwise_and_leaves_the_rest_of_a_policy() -> Result<()> {
    let policy = |more: &[&str]| {
        let objects = super::rendered(more)?;
        let found = super::find(&objects, "GuardrailPolicy", "smartops-baseline").cloned();
        found.context("the policy is not there")
    };
    let (shipped, other) = (
        policy(&[])?,
        policy(&["--set", "policies.overrides.smartops-baseline.rules.replicas.max=7"])?,
    );
    ensure!(other["spec"]["rules"]["replicas"]["max"] == 7);
    let mut again = other.clone();
    again["spec"]["rules"]["replicas"]["max"] = shipped["spec"]["rules"]["replicas"]["max"].clone();
    ensure!(again == shipped, "{other}");
    let empty = Value::Object(Map::new());
    ensure!(shipped["spec"] != empty);
    Ok(())
}
