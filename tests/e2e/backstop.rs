//! What the API server judges by itself: the same writes refused in the same words as by the webhook, the same allowed,
//! whether one answers or not; written, repaired, ended with its policies; and the way out when everything is wrong.

mod table;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::http::Client;
use smartops_tests::install;
use smartops_tests::kubectl::Outcome;
use smartops_tests::metrics;
use smartops_tests::programs::Program;
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use self::table::{Try, deployment};
use crate::support::{Namespace, own};

/// A change of what stands, and its way into the API server.
const SECONDS: Duration = Duration::from_secs(20);
const POLICY: &str = "validatingadmissionpolicy";
const BINDING: &str = "validatingadmissionpolicybinding";
const OWN_OBJECTS: &str = "smartops-own-objects";
const BEGINNING: &str = "SmartOps denies";

fn set_outage(cluster: &Cluster, outage: &str) -> Result<()> {
    let patch = json!({"spec": {"people": {"outage": outage}}}).to_string();
    let arguments = ["patch", "smartopsconfig", "default", "--type=merge", "-p", &patch];
    cluster.kubectl("operator").run(&arguments)?.ok().map(drop)
}

/// A policy for one namespace, with these rules.
fn policy(namespace: &str, rules: &Value) -> Value {
    let mut kinds = vec![
        json!({"group": "apps", "resource": "deployments"}),
        json!({"group": "apps", "resource": "replicasets"}),
        json!({"group": "batch", "resource": "jobs"}),
        json!({"group": "batch", "resource": "cronjobs"}),
    ];
    if rules["replicas"].is_object() {
        kinds.push(json!({
            "group": "example.com", "resource": "carts", "version": "v1", "replicasPath": "spec.pool.size",
        }));
    }
    if rules["images"].is_object() {
        kinds.push(json!({"group": "", "resource": "pods"}));
    }
    json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy",
        "metadata": {"name": namespace},
        "spec": {
            "match": {
                "kinds": kinds, "operations": ["CREATE", "UPDATE"],
                "namespaces": {
                    "guarded": true,
                    "selector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                },
            },
            "rules": rules,
        },
    })
}

fn apply(cluster: &Cluster, actor: &str, object: &Value) -> Result<()> {
    cluster.kubectl(actor).apply_all(std::slice::from_ref(object)).map(drop)
}

/// What SmartOps says in a refusal, whoever says it for it.
fn sentence(outcome: &Outcome) -> Result<String> {
    let text = outcome.text();
    let (_, said) = text.split_once(BEGINNING).with_context(|| format!("no refusal: {text}"))?;
    ensure!(!said.contains(BEGINNING), "said twice: {text}");
    Ok(format!("{BEGINNING}{said}"))
}

/// Waits until what the API server judges by itself refuses what is far beyond every limit, or does no more.
fn backstopped(namespace: &Namespace<'_>, holds: bool) -> Result<()> {
    let patch = json!([
        {"op": "replace", "path": "/spec/replicas", "value": 50},
        {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil.io/x:1"},
    ])
    .to_string();
    let arguments = ["patch", "deployment/web", "--type=json", "-p", &patch, "--dry-run=server"];
    eventually(SECONDS, "the API server judges by itself, or no more", || {
        let text = namespace.run("developer", &arguments)?.text();
        Ok(Seen::when(text.contains("ValidatingAdmissionPolicy") == holds, text))
    })
}

#[test]
fn the_api_server_refuses_what_the_webhook_refuses_in_the_same_words_and_allows_the_rest()
-> Result<()> {
    let cluster = own("backstop")?;
    let namespace = Namespace::create(&cluster, "backstop")?;
    apply(&cluster, "admin", &table::custom_kind())?;
    let wait = ["wait", "--for=condition=Established", "crd/carts.example.com", "--timeout=20s"];
    cluster.kubectl("admin").run(&wait)?.ok()?;
    for object in table::stage(&namespace.name) {
        apply(&cluster, "developer", &object)?;
    }
    // Of several policies that refuse, the API server names the first it comes to, and the webhook all.
    cluster.kubectl("operator").run(&["delete", "guardrailpolicy", "smartops-baseline"])?.ok()?;
    let replicas = json!({"min": 2, "max": 10, "maxStep": 3});
    let images = json!({
        "registries": ["registry.smartops.dev", "docker.io/library"], "requireDigest": false,
        "forbidTags": ["latest"], "change": "Deny",
    });
    let tries = table::all(&namespace.name);
    for rules in [
        json!({"replicas": replicas}),
        json!({"images": images}),
        json!({"replicas": replicas, "images": images}),
    ] {
        set_outage(&cluster, "Fail")?;
        backstopped(&namespace, false)?;
        apply(&cluster, "operator", &policy(&namespace.name, &rules))?;
        let wait = [
            "wait",
            "--for=condition=Accepted",
            &format!("gp/{}", namespace.name),
            "--timeout=10s",
        ];
        cluster.kubectl("admin").run(&wait)?.ok()?;
        let by_webhook = judged(&namespace, &tries, "denied the request")?;

        set_outage(&cluster, "Backstop")?;
        backstopped(&namespace, true)?;
        typed(&cluster, &format!("smartops-{}", namespace.name))?;
        let by_both = judged(&namespace, &tries, "denied request")?;
        Program::Webhook.kill(&cluster)?;
        let by_api_server = judged(&namespace, &tries, "denied request")?;
        Program::Webhook.start(&cluster, &[])?;
        for (name, said) in &by_webhook {
            for (who, others) in [("beside the webhook", &by_both), ("alone", &by_api_server)] {
                let other = others.iter().find(|(other, _)| other == name).map(|(_, said)| said);
                ensure!(other == Some(said), "{rules} {name}, {who}: {said:?} and {other:?}");
            }
        }
        let refused = by_webhook.iter().filter(|(_, said)| said.is_some()).count();
        ensure!(refused > 3 && refused < by_webhook.len(), "{rules}: {refused} were refused");
    }
    cluster.stop()
}

/// What is said about each write; nothing where it passes.
fn judged(
    namespace: &Namespace<'_>,
    tries: &[Try],
    words: &str,
) -> Result<Vec<(String, Option<String>)>> {
    let mut judged = Vec::new();
    for attempt in tries {
        let outcome = attempt.run(namespace)?;
        let said = if outcome.succeeded {
            None
        } else {
            ensure!(outcome.text().contains(words), "{}: {}", attempt.name, outcome.text());
            Some(sentence(&outcome)?)
        };
        judged.push((attempt.name.clone(), said));
    }
    Ok(judged)
}

/// That the API server finds nothing to say about what was written.
fn typed(cluster: &Cluster, name: &str) -> Result<()> {
    eventually(SECONDS, &format!("{name} was checked"), || {
        let status = cluster.kubectl("admin").get(&[POLICY, name])?["status"].clone();
        let checked = status["typeChecking"].is_object();
        ensure!(status["typeChecking"]["expressionWarnings"].is_null(), "{name}: {status}");
        Ok(Seen::when(checked, status.to_string()))
    })
}

#[test]
fn what_is_written_is_repaired_ends_with_its_policy_and_its_mode_and_own_objects_stay() -> Result<()>
{
    let cluster = own("backstop-drift")?;
    let admin = cluster.kubectl("admin");
    let namespace = Namespace::create(&cluster, "backstop")?;
    sample::roll_out(&cluster.kubectl("developer"), &namespace.name, "web", 2)?;
    let spec = |kind: &str, name: &str| -> Result<Value> {
        let outcome = admin.run(&["get", kind, name, "-o", "json", "--ignore-not-found"])?;
        let text = outcome.ok()?;
        let object: Value =
            if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text)? };
        Ok(object["spec"].clone())
    };
    let becomes = |kind: &str, name: &str, should: &Value| {
        eventually(SECONDS, &format!("{kind} {name} is as it should be"), || {
            let stands = spec(kind, name)?;
            Ok(Seen::when(stands == *should, stands.to_string()))
        })
    };
    let own = spec(POLICY, OWN_OBJECTS)?;
    ensure!(own.is_object(), "SmartOps' own objects are not guarded");
    typed(&cluster, OWN_OBJECTS)?;
    set_outage(&cluster, "Backstop")?;
    apply(&cluster, "operator", &policy(&namespace.name, &json!({"replicas": {"max": 4}})))?;
    let name = format!("smartops-{}", namespace.name);
    eventually(SECONDS, "the policy is written", || {
        let (policy, binding) = (spec(POLICY, &name)?, spec(BINDING, &name)?);
        Ok(Seen::when(policy.is_object() && binding.is_object(), policy.to_string()))
    })?;
    let (written, bound) = (spec(POLICY, &name)?, spec(BINDING, &name)?);

    let open = json!({"spec": {"validationActions": ["Audit"]}}).to_string();
    admin.run(&["patch", BINDING, &name, "--type=merge", "-p", &open])?.ok()?;
    becomes(BINDING, &name, &bound)?;
    let never = json!([{"op": "add", "path": "/spec/matchConditions/-", "value": {"name": "never", "expression": "false"}}]);
    for (name, should) in [(name.as_str(), &written), (OWN_OBJECTS, &own)] {
        admin.run(&["patch", POLICY, name, "--type=json", "-p", &never.to_string()])?.ok()?;
        becomes(POLICY, name, should)?;
        admin.run(&["delete", POLICY, name])?.ok()?;
        becomes(POLICY, name, should)?;
        admin.run(&["label", POLICY, name, "app.kubernetes.io/part-of-"])?.ok()?;
        eventually(SECONDS, "the label is back", || {
            let label =
                admin.get(&[POLICY, name])?["metadata"]["labels"]["app.kubernetes.io/part-of"]
                    .clone();
            Ok(Seen::when(label == "smartops", label.to_string()))
        })?;
    }
    let text = Client::new(&Program::Webhook.health_url(&cluster)?).get("/metrics")?.text;
    let labels = [("object", "ValidatingAdmissionPolicy"), ("why", "drift")];
    let counted = metrics::sum(&text, "smartops_webhook_backstop_writes_total", &labels);
    ensure!(counted.is_some_and(|n| n >= 4.0), "{text}");

    let condition = |policy: &str| -> Result<Value> {
        let object = admin.get(&["guardrailpolicy", policy])?;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.into_iter().find(|c| c["type"] == "Backstop").unwrap_or_default())
    };
    eventually(SECONDS, "the policy says what holds of it", || {
        let said = condition(&namespace.name)?;
        let text = said.to_string();
        Ok(Seen::when(said["reason"] == "Partly" && text.contains("break-glass on /scale"), text))
    })?;
    // With its policy it goes even where nobody runs who would remove it.
    Program::Webhook.kill(&cluster)?;
    admin.run(&["delete", "guardrailpolicy", &namespace.name])?.ok()?;
    for kind in [POLICY, BINDING] {
        becomes(kind, &name, &Value::Null)?;
    }
    Program::Webhook.start(&cluster, &[])?;
    let baseline = "smartops-smartops-baseline";
    ensure!(spec(POLICY, baseline)?.is_object());
    for mode in ["Ignore", "Backstop", "Fail"] {
        set_outage(&cluster, mode)?;
        eventually(SECONDS, "what is written follows the mode", || {
            let stands =
                spec(POLICY, baseline)?.is_object() && spec(BINDING, baseline)?.is_object();
            let said = condition("smartops-baseline")?.is_object();
            Ok(Seen::when(
                (mode == "Backstop") == stands && stands == said,
                format!("{mode}: {stands} {said}"),
            ))
        })?;
        ensure!(spec(POLICY, OWN_OBJECTS)?.is_object(), "{mode}");
    }
    cluster.stop()
}

#[test]
fn exceptions_and_a_broken_glass_hold_without_a_webhook_and_an_exception_ends_in_time() -> Result<()>
{
    let cluster = own("backstop-lifted")?;
    let admin = cluster.kubectl("admin");
    let namespace = Namespace::create(&cluster, "lifted")?;
    for name in ["web", "other"] {
        apply(&cluster, "developer", &deployment(&namespace.name, name, 3))?;
    }
    set_outage(&cluster, "Backstop")?;
    backstopped(&namespace, true)?;
    let until = table::in_seconds(25)?;
    let exception = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailException",
        "metadata": {"namespace": namespace.name, "name": "sale"},
        "spec": {
            "policy": "smartops-baseline", "rules": ["replicas"], "reason": "the sale", "ticket": "T-1",
            "target": {"group": "apps", "kind": "Deployment", "name": "web"}, "expiresAt": until,
        },
    });
    apply(&cluster, "operator", &exception)?;
    let scale = |name: &str| {
        let target = format!("deployment/{name}");
        namespace.run("developer", &["scale", &target, "--replicas=12", "--dry-run=server"])
    };
    eventually(SECONDS, "the exception lifts", || {
        let outcome = scale("web")?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })?;
    Program::Webhook.kill(&cluster)?;
    ensure!(scale("web")?.succeeded, "the exception holds without a webhook");
    let other = scale("other")?;
    ensure!(other.text().contains("the maximum is 10"), "{}", other.text());

    // A reason on the object, by a member of the group and by nobody else.
    let annotated = |reason: &str| {
        let mut object = deployment(&namespace.name, "other", 12);
        object["metadata"]["annotations"] = json!({"smartops.dev/break-glass": reason});
        object.to_string()
    };
    let write = |groups: &[&str], reason: &str| {
        let mut arguments = vec![
            "replace",
            "--dry-run=server",
            "-f",
            "-",
            "--as=alice",
            "--as-group=system:masters",
        ];
        let groups: Vec<String> =
            groups.iter().map(|group| format!("--as-group={group}")).collect();
        arguments.extend(groups.iter().map(String::as_str));
        admin.run_with(&arguments, Some(&annotated(reason)))
    };
    for (groups, reason, passes) in [
        (&["oncall"][..], "the shop is down", true),
        (&["oncall"], "  short   ", false),
        (&[], "the shop is down", false),
    ] {
        let outcome = write(groups, reason)?;
        ensure!(outcome.succeeded == passes, "{groups:?} {reason}: {}", outcome.text());
    }
    let short = write(&["oncall"], "short")?;
    ensure!(short.text().contains("gives a reason of 5 characters"), "{}", short.text());

    Program::Webhook.start(&cluster, &[])?;
    eventually(Duration::from_mins(1), "the exception has ended for the API server too", || {
        let text = scale("web")?.text();
        Ok(Seen::when(text.contains("ValidatingAdmissionPolicy"), text))
    })?;
    Program::Webhook.kill(&cluster)?;
    ensure!(!scale("web")?.succeeded, "an exception that ended lifts nothing");
    cluster.stop()
}

#[test]
fn one_command_switches_smartops_off_and_the_manifests_bring_it_back() -> Result<()> {
    let cluster = own("way-out")?;
    let admin = cluster.kubectl("admin");
    let namespace = Namespace::create(&cluster, "out")?;
    apply(&cluster, "developer", &deployment(&namespace.name, "web", 3))?;
    set_outage(&cluster, "Backstop")?;
    backstopped(&namespace, true)?;
    // Nor may a policy bar the way out.
    let kind = json!({"group": "rbac.authorization.k8s.io", "resource": "clusterrolebindings"});
    let bar = json!({
        "apiVersion": "smartops.dev/v1alpha1", "kind": "GuardrailPolicy", "metadata": {"name": "bar"},
        "spec": {
            "match": {"kinds": [kind], "operations": ["DELETE"]},
            "rules": {"deletion": {"allow": "Never"}},
        },
    });
    apply(&cluster, "operator", &bar)?;
    let create = ["create", "clusterrolebinding", "kept", "--clusterrole=view", "--user=nobody"];
    admin.run(&create)?.ok()?;
    eventually(SECONDS, "a policy keeps bindings", || {
        let delete = ["delete", "clusterrolebinding", "kept", "--dry-run=server"];
        let text = admin.run(&delete)?.text();
        Ok(Seen::when(text.contains("rule deletion"), text))
    })?;
    // The bindings of rights first: a webhook that still may would put the rest back.
    let kinds = "clusterrolebindings,validatingwebhookconfigurations,mutatingwebhookconfigurations,\
                 validatingadmissionpolicybindings,validatingadmissionpolicies";
    admin.run(&["delete", kinds, "-l", "app.kubernetes.io/part-of=smartops"])?.ok()?;
    let scale = |replicas: u32| {
        let replicas = format!("--replicas={replicas}");
        namespace.run("developer", &["scale", "deployment/web", &replicas])
    };
    eventually(SECONDS, "a write over the limit passes", || {
        let outcome = scale(20)?;
        Ok(Seen::when(outcome.succeeded, outcome.text()))
    })?;
    // A live webhook that tries to put everything back is told that it may not, and goes on trying in vain.
    let log = || {
        let path = smartops_tests::process::log(cluster.dir(), "webhook");
        std::fs::read_to_string(path).context("the webhook has no log")
    };
    eventually(SECONDS, "the webhook may not put it back", || {
        let refused = log()?.matches("is forbidden").count();
        Ok(Seen::when(refused > 2, format!("{refused} refusals")))
    })?;
    for replicas in [21, 22, 23] {
        scale(replicas)?.ok()?;
    }
    let left = admin
        .run(&["get", kinds, "-l", "app.kubernetes.io/part-of=smartops", "-o", "name"])?
        .ok()?;
    ensure!(left.trim().is_empty(), "{left}");

    for part in ["base", "registrations"] {
        admin.apply(&install::render(&cluster, part)?)?;
    }
    for program in [Program::Webhook, Program::Controller] {
        program.kill(&cluster)?;
        program.start(&cluster, &[])?;
    }
    backstopped(&namespace, true)?;
    let refused = scale(40)?;
    ensure!(refused.text().contains(BEGINNING), "{}", refused.text());
    ensure!(scale(10)?.succeeded, "towards the range");
    cluster.stop()
}
