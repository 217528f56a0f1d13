//! What the chart grants is what `docs/rbac_matrix.yaml` says, no more and no less.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::{chart, places};

use super::{find, helm, rendered};

/// Who, where, on what, of which names, and how: one verb of one resource.
type Right = (String, String, String, String, Vec<String>, String);

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The rights that rules hold.
fn held(who: &str, place: &str, rules: &Value) -> BTreeSet<Right> {
    let mut held = BTreeSet::new();
    for rule in rules.as_array().into_iter().flatten() {
        for group in texts(&rule["apiGroups"]) {
            for resource in texts(&rule["resources"]) {
                for verb in texts(&rule["verbs"]) {
                    let mut names = texts(&rule["resourceNames"]);
                    names.sort();
                    let (who, place) = (who.to_owned(), place.to_owned());
                    held.insert((who, place, group.clone(), resource.clone(), names, verb));
                }
            }
        }
    }
    held
}

/// The rights that the bindings among the objects give, hooks left out.
fn granted(objects: &[Value]) -> Result<BTreeSet<Right>> {
    let mut granted = BTreeSet::new();
    for binding in objects {
        let kind = binding["kind"].as_str().unwrap_or_default();
        let is_hook = !binding["metadata"]["annotations"]["helm.sh/hook"].is_null();
        if !kind.ends_with("RoleBinding") || is_hook {
            continue;
        }
        let namespace = binding["metadata"]["namespace"].as_str();
        let place = match namespace {
            None => "cluster",
            Some(chart::NAMESPACE) => "system-namespace",
            Some(_) => "target-namespaces",
        };
        let (role_kind, role) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
        let role = objects
            .iter()
            .find(|object| {
                object["kind"] == *role_kind
                    && object["metadata"]["name"] == *role
                    && (role_kind == "ClusterRole"
                        || object["metadata"]["namespace"].as_str() == namespace)
            })
            .with_context(|| format!("{binding} names a role that is not there"))?;
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            ensure!(subject["kind"] == "ServiceAccount", "{binding}");
            let (namespace, name) = (&subject["namespace"], &subject["name"]);
            let who = format!(
                "system:serviceaccount:{}:{}",
                namespace.as_str().unwrap_or_default(),
                name.as_str().unwrap_or_default()
            );
            granted.extend(held(&who, place, &role["rules"]));
        }
    }
    Ok(granted)
}

/// The rights of the matrix in places of this name.
fn of_the_matrix(is_meant: impl Fn(&str) -> bool) -> Result<BTreeSet<Right>> {
    let text = fs::read_to_string(places::root().join("docs/rbac_matrix.yaml"))?;
    let matrix: Value = serde_saphyr::from_str(&text)?;
    let mut rights = BTreeSet::new();
    for (who, grants) in matrix.as_object().context("the matrix is empty")? {
        for grant in grants.as_array().into_iter().flatten() {
            let place = grant["scope"].as_str().context("a grant says no scope")?;
            if is_meant(place) {
                let rule = json!([{
                    "apiGroups": [grant["group"]], "resources": grant["resources"],
                    "resourceNames": grant["names"], "verbs": grant["verbs"],
                }]);
                rights.extend(held(who, place, &rule));
            }
        }
    }
    Ok(rights)
}

#[test]
fn the_chart_grants_what_the_matrix_says_and_nothing_more() -> Result<()> {
    let (granted, written) = (granted(&rendered(&[])?)?, of_the_matrix(|p| p != "where-bound")?);
    ensure!(granted.len() > 50, "{granted:?}");
    let (more, less): (Vec<_>, Vec<_>) =
        (granted.difference(&written).collect(), written.difference(&granted).collect());
    ensure!(more.is_empty() && less.is_empty(), "more: {more:?}, less: {less:?}");
    Ok(())
}

#[test]
fn a_capabilitys_right_is_held_where_it_is_asked_for_and_nowhere_else() -> Result<()> {
    let values =
        "orchestrator-rbac.targetNamespaces={a,b},orchestrator-rbac.capabilities.podEviction={b}";
    let objects = rendered(&["--set", values])?;
    let evicting: Vec<&Value> = objects
        .iter()
        .filter(|o| o["roleRef"]["name"] == "smartops-orchestrator-evict-pods")
        .map(|o| &o["metadata"]["namespace"])
        .collect();
    ensure!(evicting == ["b"], "{evicting:?}");
    let role = find(&objects, "ClusterRole", "smartops-orchestrator-evict-pods");
    let rules = &role.context("the role is not there")?["rules"];
    let who = "system:serviceaccount:smartops-system:smartops-orchestrator";
    ensure!(of_the_matrix(|p| p == "where-bound")?.is_superset(&held(who, "where-bound", rules)));
    Ok(())
}

/// What an account may do with Secrets, as the verb and the names it is held to.
fn with_secrets(account: &str, values: &str) -> Result<Vec<(String, Vec<String>)>> {
    let granted = granted(&rendered(&["--set", values])?)?;
    let of_secrets = granted.into_iter().filter(|(who, _, _, resource, ..)| {
        who.ends_with(&format!(":{account}")) && resource == "secrets"
    });
    Ok(of_secrets.map(|(_, _, _, _, names, verb)| (verb, names)).collect())
}

#[test]
fn who_does_not_keep_a_certificate_himself_may_write_no_secret() -> Result<()> {
    let right = |verb: &str, names: &[&str]| {
        (verb.to_owned(), names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
    };
    let (webhook, controller) = ("smartops-webhook", "smartops-orchestrator");
    let own =
        |name: &str| vec![right("create", &[]), right("get", &[name]), right("update", &[name])];
    for (account, values, expected) in [
        (webhook, "certificates.source=self-managed", own("smartops-webhook-certificate")),
        (
            webhook,
            "certificates.source=secret,certificates.secretName=theirs",
            vec![right("get", &["theirs"])],
        ),
        (
            webhook,
            "certificates.source=cert-manager",
            vec![right("get", &["smartops-webhook-tls"])],
        ),
        (
            controller,
            "controller.tls.source=self-managed",
            own("smartops-orchestrator-certificate"),
        ),
        (controller, "controller.tls.source=secret,controller.tls.secretName=theirs", vec![]),
        (controller, "controller.tls.source=cert-manager", vec![]),
        (controller, "controller.tls.source=off", vec![]),
    ] {
        let found = with_secrets(account, values)?;
        ensure!(found == expected, "{account}, {values}: {found:?}");
    }
    Ok(())
}

#[test]
fn the_rights_installed_by_themselves_are_those_the_whole_chart_brings() -> Result<()> {
    let whole = granted(&rendered(&[])?)?;
    let less = "orchestrator-rbac.enabled=false,controller.defaultNamespace=smartops-dev";
    let mut parts = granted(&rendered(&["--set", less])?)?;
    ensure!(parts.iter().all(|(who, ..)| who.ends_with(":smartops-webhook")), "{parts:?}");
    let inner = chart::folder().join("charts/orchestrator-rbac");
    let rendered = helm()?.template(chart::RELEASE, &inner, &[])?.ok()?;
    parts.extend(granted(&chart::objects(&rendered)?)?);
    ensure!(parts == whole);
    Ok(())
}

#[test]
fn what_runs_before_an_upgrade_an_uninstall_and_in_a_test_may_do_that_and_nothing_more()
-> Result<()> {
    let (objects, names) =
        (rendered(&[])?, ["smartops-automation", "smartops-people", "smartops-own"]);
    let configurations = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"];
    let crds: Vec<String> = [
        "changeledgers",
        "guardrailexceptions",
        "guardrailpolicies",
        "remediationapprovals",
        "remediationpolicies",
        "remediations",
        "smartopsconfigs",
    ]
    .map(|plural| format!("{plural}.smartops.dev"))
    .to_vec();
    let registration = "admissionregistration.k8s.io";
    let rule = |group: &str, resources: &[&str], names: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "resourceNames": names, "verbs": verbs});
    let expected = [
        (
            "smartops-crds",
            vec![json!({
                "apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"],
                "resourceNames": crds, "verbs": ["create", "get", "patch"],
            })],
        ),
        (
            "smartops-removal",
            vec![
                rule(
                    "rbac.authorization.k8s.io",
                    &["clusterrolebindings"],
                    &["smartops-webhook-cluster"],
                    &["delete", "get"],
                ),
                rule(registration, &configurations, &names, &["delete", "get"]),
                // Their names follow the policies'.
                rule(
                    registration,
                    &["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
                    &[],
                    &["delete", "list"],
                ),
            ],
        ),
        (
            "smartops-self-test",
            vec![
                rule(registration, &configurations, &names, &["get"]),
                rule("", &["services/proxy"], &["https:smartops-orchestrator:8001"], &["get"]),
                // Dry runs; RBAC cannot say so.
                rule("apps", &["deployments"], &[], &["create"]),
                rule("smartops.dev", &["remediations"], &[], &["create"]),
            ],
        ),
    ];
    for (name, rules) in expected {
        let roles = objects.iter().filter(|object| {
            object["kind"].as_str().is_some_and(|kind| kind.ends_with("Role"))
                && object["metadata"]["name"] == name
        });
        let mut found = BTreeSet::new();
        for role in roles {
            ensure!(role["metadata"]["annotations"]["helm.sh/hook"].is_string(), "{role}");
            found.extend(held(name, "", &role["rules"]));
        }
        ensure!(found == held(name, "", &json!(rules)), "{name}: {found:?}");
    }
    Ok(())
}
