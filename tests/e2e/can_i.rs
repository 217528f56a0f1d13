//! What each ServiceAccount may do, as the API server lists it, is what docs/rbac_matrix.yaml says and what everybody may
//! who has any token at all: no more, no less, in every sort of namespace.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use smartops_tests::cluster::Cluster;
use smartops_tests::{identities, places, sample};

use crate::support::shared;

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

#[test]
fn each_account_may_do_what_the_matrix_says_and_what_every_token_may_and_nothing_else() -> Result<()>
{
    let cluster = shared()?;
    identities::account(cluster, "smartops-nobody", &[])?;
    let nobody = format!("system:serviceaccount:{SYSTEM}:smartops-nobody");
    let matrix = matrix()?;
    ensure!(matrix.len() == 2, "{:?}", matrix.keys());
    for (user, grants) in &matrix {
        for (namespace, scope) in [
            (sample::NAMESPACE, Some(Scope::TargetNamespaces)),
            (SYSTEM, Some(Scope::SystemNamespace)),
            ("kube-system", None),
            ("default", None),
        ] {
            let holds =
                |grant: &&Grant| grant.scope == Scope::Cluster || Some(grant.scope) == scope;
            let mut expected: Held = grants.iter().filter(holds).flat_map(Grant::held).collect();
            ensure!(!expected.is_empty());
            expected.extend(listed(cluster, &nobody, namespace)?);
            let found = listed(cluster, user, namespace)?;
            let more: Vec<_> = found.difference(&expected).collect();
            let less: Vec<_> = expected.difference(&found).collect();
            if !more.is_empty() || !less.is_empty() {
                bail!("{user} in {namespace}: not in the matrix: {more:?}; not held: {less:?}");
            }
        }
    }
    // What is bound nowhere is held nowhere.
    let bound = matrix.values().flatten().filter(|grant| grant.scope == Scope::WhereBound);
    let bound: Vec<Grant> = bound.cloned().collect();
    ensure!(bound.len() == 2, "{bound:?}");
    Ok(())
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
