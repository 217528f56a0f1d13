//! What each ServiceAccount may do, as the API server lists it, is what docs/rbac_matrix.yaml says and what everybody may
//! who has any token at all: no more, no less, in every sort of namespace. That the chart brings no other account is
//! `chart::rights`'.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::components::Helm;
use smartops_tests::helm::Runner;
use smartops_tests::{chart, identities, places, sample};

use crate::support::{bare, shared};

const SYSTEM: &str = "smartops-system";

/// A resource or a URL, the name of an object or nothing, and a verb.
type Held = BTreeSet<(String, String, String)>;

/// A line of the matrix.
#[derive(Debug, Clone, Deserialize)]
struct Grant {
    scope: Scope,
    group: String,
    resources: Vec<String>,
    #[serde(default)]
    names: Vec<String>,
    verbs: Vec<String>,
}

/// Where a line of the matrix holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Scope {
    TargetNamespaces,
    /// In the one of them that is meant where none is named.
    DefaultTargetNamespace,
    SystemNamespace,
    Cluster,
    /// Nowhere until somebody binds its role.
    WhereBound,
}

impl Grant {
    /// What it gives, as the API server words it.
    fn held(&self) -> impl Iterator<Item = (String, String, String)> {
        let any = [String::new()];
        let names = if self.names.is_empty() { &any[..] } else { &self.names };
        let mut held = Vec::new();
        for resource in &self.resources {
            for name in names {
                for verb in &self.verbs {
                    held.push((worded(&self.group, resource), name.clone(), verb.clone()));
                }
            }
        }
        held.into_iter()
    }
}

/// `deployments.apps/scale` for the subresource `deployments/scale` of the group `apps`.
fn worded(group: &str, resource: &str) -> String {
    if group.is_empty() {
        return resource.to_owned();
    }
    match resource.split_once('/') {
        Some((resource, below)) => format!("{resource}.{group}/{below}"),
        None => format!("{resource}.{group}"),
    }
}

/// The matrix, by user.
fn matrix() -> Result<BTreeMap<String, Vec<Grant>>> {
    let path = places::root().join("docs/rbac_matrix.yaml");
    let text = std::fs::read_to_string(&path).context("there is no matrix")?;
    serde_saphyr::from_str(&text).context("the matrix cannot be read")
}

/// What a user may do in a namespace, as the API server lists it.
fn listed(cluster: &Cluster, user: &str, namespace: &str) -> Result<Held> {
    let who = format!("--as={user}");
    let list = ["auth", "can-i", "--list", &who, "-n", namespace];
    let outcome = cluster.kubectl("admin").run(&list)?;
    ensure!(outcome.errors.is_empty(), "the list is not whole: {}", outcome.errors);
    read(&outcome.ok()?)
}

/// Reads kubectl's table: resources, URLs, names, verbs; each but the first in brackets.
fn read(table: &str) -> Result<Held> {
    let mut lines = table.lines();
    let titles = lines.next().context("an empty list")?;
    let column = |title: &str| titles.find(title).with_context(|| format!("no column {title}"));
    let (urls, names, verbs) =
        (column("Non-Resource URLs")?, column("Resource Names")?, column("Verbs")?);
    let mut held = Held::new();
    for line in lines {
        let cell = |from: usize, to: usize| line.get(from..to.min(line.len())).map(str::trim);
        let words = |cell: Option<&str>| -> Result<Vec<String>> {
            let inner = cell.and_then(|cell| cell.strip_prefix('[')?.strip_suffix(']'));
            let inner = inner.with_context(|| format!("not as expected: {line}"))?;
            Ok(inner.split_whitespace().map(str::to_owned).collect())
        };
        let resource = cell(0, urls).unwrap_or_default();
        let mut subjects = words(cell(urls, names))?;
        if !resource.is_empty() {
            subjects.push(resource.to_owned());
        }
        let mut objects = words(cell(names, verbs))?;
        if objects.is_empty() {
            objects.push(String::new());
        }
        for subject in &subjects {
            for object in &objects {
                for verb in words(cell(verbs, line.len()))? {
                    held.insert((subject.clone(), object.clone(), verb));
                }
            }
        }
    }
    Ok(held)
}

/// That a user may do there what holds in these places and in the whole cluster, and what somebody without any right may.
fn holds(
    (cluster, nobody): (&Cluster, &str),
    (user, grants): (&str, &[Grant]),
    namespace: &str,
    places: &[Scope],
) -> Result<()> {
    let is_held = |grant: &&Grant| grant.scope == Scope::Cluster || places.contains(&grant.scope);
    let mut expected: Held = grants.iter().filter(is_held).flat_map(Grant::held).collect();
    ensure!(!expected.is_empty(), "{user} holds nothing in {namespace}");
    expected.extend(listed(cluster, nobody, namespace)?);
    let found = listed(cluster, user, namespace)?;
    let more: Vec<_> = found.difference(&expected).collect();
    let less: Vec<_> = expected.difference(&found).collect();
    if !more.is_empty() || !less.is_empty() {
        bail!("{user} in {namespace}: not in the matrix: {more:?}; not held: {less:?}");
    }
    Ok(())
}

/// The same of these users, in a namespace of each sort.
fn all_hold(cluster: &Cluster, matrix: &BTreeMap<String, Vec<Grant>>) -> Result<()> {
    identities::account(cluster, "smartops-nobody", &[])?;
    let nobody = format!("system:serviceaccount:{SYSTEM}:smartops-nobody");
    for (user, grants) in matrix {
        for (namespace, places) in [
            (sample::NAMESPACE, &[Scope::TargetNamespaces, Scope::DefaultTargetNamespace][..]),
            (SYSTEM, &[Scope::SystemNamespace]),
            ("kube-system", &[]),
            ("default", &[]),
        ] {
            holds((cluster, &nobody), (user, grants), namespace, places)?;
        }
    }
    Ok(())
}

/// The kinds by which the chart says who may do what.
const RIGHTS: [&str; 5] =
    ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/// Every account of the chart's and its rights, those of hooks among them.
fn rights_of_the_chart(cluster: &Cluster) -> Result<Vec<Value>> {
    let runner = Runner::new(&Helm::ensure(&|_| {})?, &cluster.dir().join("helm"));
    let hooks = ["--set", "hooks.render=always"];
    let rendered = runner.template(chart::RELEASE, &chart::folder(), &hooks)?.ok()?;
    let mut objects = chart::objects(&rendered)?;
    objects.retain(|object| RIGHTS.iter().any(|kind| object["kind"] == *kind));
    Ok(objects)
}

#[test]
fn each_account_of_the_chart_may_do_what_the_matrix_says_and_what_every_token_may_and_nothing_else()
-> Result<()> {
    let cluster = bare("can-i")?;
    let admin = cluster.kubectl("admin");
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    admin.apply_all(&[SYSTEM, sample::NAMESPACE].map(namespace))?;
    admin.apply_all(&rights_of_the_chart(&cluster)?)?;
    let matrix = matrix()?;
    ensure!(matrix.len() == 5, "{:?}", matrix.keys());
    all_hold(&cluster, &matrix)?;
    // What is bound nowhere is held nowhere.
    let bound = matrix.values().flatten().filter(|grant| grant.scope == Scope::WhereBound);
    ensure!(bound.count() == 2, "{matrix:?}");
    cluster.stop()
}

#[test]
fn each_program_that_the_manifests_bring_may_do_what_the_matrix_says_and_nothing_else() -> Result<()>
{
    let cluster = shared()?;
    let mut matrix = matrix()?;
    // The hooks are helm's alone to run.
    matrix.retain(|user, _| {
        [":smartops-orchestrator", ":smartops-webhook"].iter().any(|name| user.ends_with(name))
    });
    ensure!(matrix.len() == 2, "{:?}", matrix.keys());
    all_hold(cluster, &matrix)
}

#[test]
fn the_matrix_is_read_off_the_table_as_kubectl_prints_it() -> Result<()> {
    let table = "\
Resources                    Non-Resource URLs   Resource Names           Verbs
deployments.apps             []                  []                       [get list]
secrets                      []                  [one two]                [get]
                             [/healthz]          []                       [get]
";
    let held = read(table)?;
    let is_held = |resource: &str, name: &str, verb: &str| {
        held.contains(&(resource.to_owned(), name.to_owned(), verb.to_owned()))
    };
    ensure!(is_held("deployments.apps", "", "list") && is_held("secrets", "two", "get"));
    ensure!(is_held("/healthz", "", "get") && held.len() == 5, "{held:?}");
    ensure!(worded("apps", "deployments/scale") == "deployments.apps/scale");
    Ok(())
}
