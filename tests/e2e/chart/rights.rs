//! What the chart grants is what `docs/rbac_matrix.yaml` says, no more and no less, to every account it has. That the API
//! server reads it so is `can_i`'s.

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

/// The user that an account of this namespace is.
fn user(namespace: &Value, name: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("system:serviceaccount:{}:{}", text(namespace), text(name))
}

/// The rights that the bindings among the objects give, in the cluster or in a namespace.
fn granted(objects: &[Value]) -> Result<BTreeSet<Right>> {
    let mut granted = BTreeSet::new();
    for binding in objects {
        if !binding["kind"].as_str().is_some_and(|kind| kind.ends_with("RoleBinding")) {
            continue;
        }
        let namespace = binding["metadata"]["namespace"].as_str();
        let place = namespace.unwrap_or("cluster");
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
            let who = user(&subject["namespace"], &subject["name"]);
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

/// The same with places named as the matrix names them, where there are these two target namespaces.
fn in_sorts_of_places(granted: BTreeSet<Right>, first: &str, second: &str) -> BTreeSet<Right> {
    let everywhere = granted.clone();
    let placed = granted.into_iter().filter_map(|(who, place, group, resource, names, verb)| {
        let there = |place: &str| {
            let (who, group, resource) = (who.clone(), group.clone(), resource.clone());
            (who, place.to_owned(), group, resource, names.clone(), verb.clone())
        };
        let sort = match place.as_str() {
            chart::NAMESPACE => "system-namespace",
            place if place == second && everywhere.contains(&there(first)) => return None,
            place if place == first && everywhere.contains(&there(second)) => "target-namespaces",
            place if place == first => "default-target-namespace",
            place => place,
        };
        Some(there(sort))
    });
    placed.collect()
}

#[test]
fn the_chart_grants_each_account_what_the_matrix_says_and_nothing_more() -> Result<()> {
    let objects = rendered(&["--set", "orchestrator-rbac.targetNamespaces={shop,warehouse}"])?;
    let granted = in_sorts_of_places(granted(&objects)?, "shop", "warehouse");
    let written = of_the_matrix(|p| p != "where-bound")?;
    ensure!(granted.len() > 80, "{granted:?}");
    let (more, less): (Vec<_>, Vec<_>) =
        (granted.difference(&written).collect(), written.difference(&granted).collect());
    ensure!(more.is_empty() && less.is_empty(), "more: {more:?}, less: {less:?}");
    Ok(())
}

#[test]
fn no_account_of_the_chart_and_none_that_its_pods_run_as_is_missing_from_the_matrix() -> Result<()>
{
    let objects = rendered(&[])?;
    let namespace = json!(chart::NAMESPACE);
    let (mut made, mut used) = (BTreeSet::new(), BTreeSet::new());
    for object in &objects {
        let pod = match object["kind"].as_str() {
            Some("ServiceAccount") => {
                made.insert(user(&object["metadata"]["namespace"], &object["metadata"]["name"]));
                continue;
            }
            Some("Pod") => &object["spec"],
            _ => &object["spec"]["template"]["spec"],
        };
        if pod["containers"].is_array() {
            used.insert(user(&namespace, &pod["serviceAccountName"]));
        }
    }
    let written: BTreeSet<String> =
        of_the_matrix(|_| true)?.into_iter().map(|(who, ..)| who).collect();
    ensure!(made == written && used == written, "{made:?}, {used:?}, {written:?}");
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
    ensure!(!parts.iter().any(|(who, ..)| who.ends_with(":smartops-orchestrator")), "{parts:?}");
    let inner = chart::folder().join("charts/orchestrator-rbac");
    let rendered = helm()?.template(chart::RELEASE, &inner, &[])?.ok()?;
    parts.extend(granted(&chart::objects(&rendered)?)?);
    ensure!(parts == whole);
    Ok(())
}

#[test]
fn what_a_hook_may_lives_as_long_as_the_hook_and_a_programs_rights_are_none() -> Result<()> {
    let programs = ["smartops-orchestrator", "smartops-webhook"];
    let mut hooks = BTreeSet::new();
    for object in rendered(&[])? {
        let kind = object["kind"].as_str().unwrap_or_default();
        let name = match kind {
            "ServiceAccount" => &object["metadata"]["name"],
            "RoleBinding" | "ClusterRoleBinding" => &object["subjects"][0]["name"],
            _ => continue,
        };
        let name = name.as_str().context("an account has no name")?.to_owned();
        let annotations = &object["metadata"]["annotations"];
        let deletion = annotations["helm.sh/hook-delete-policy"].as_str();
        let expected =
            (!programs.contains(&name.as_str())).then_some("before-hook-creation,hook-succeeded");
        ensure!(deletion == expected, "{object}");
        ensure!(annotations["helm.sh/hook"].is_string() == expected.is_some(), "{object}");
        if expected.is_some() {
            hooks.insert((kind.to_owned(), name));
        }
    }
    // Each has an account and a binding in the cluster, and one has more than that.
    ensure!(hooks.len() == 7, "{hooks:?}");
    Ok(())
}

#[test]
fn the_self_test_asks_the_controller_as_its_api_is_served_and_may_ask_nobody_else() -> Result<()> {
    for (source, proxy) in [
        ("self-managed", "https:smartops-orchestrator:8001"),
        ("off", "http:smartops-orchestrator:8001"),
    ] {
        let objects = rendered(&["--set", &format!("controller.tls.source={source}")])?;
        let proxies: Vec<Right> = granted(&objects)?
            .into_iter()
            .filter(|(_, _, _, resource, ..)| resource == "services/proxy")
            .collect();
        ensure!(proxies.len() == 1 && proxies[0].4 == [proxy], "{source}: {proxies:?}");
        let pod = find(&objects, "Pod", "smartops-self-test").context("no self-test")?;
        let arguments = texts(&pod["spec"]["containers"][0]["args"]);
        ensure!(arguments.contains(&format!("--controller={proxy}")), "{source}: {arguments:?}");
    }
    Ok(())
}
