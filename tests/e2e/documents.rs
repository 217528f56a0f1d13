//! Documents whose commands are run: what stands in a block fenced as `console`. A line that begins with `$ ` is a
//! command, the lines after it are what it prints, both streams. `…` stands for anything within a line, a line of it for
//! any lines, and so much white space for as much as there is. A command that only assigns a variable holds for those
//! that follow. Whether the outputs are as written is all that is judged here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use smartops_tests::cluster::Cluster;
use smartops_tests::{chart, places};

/// Anything, within a line or as one.
const ANYTHING: &str = "…";

/// A command of a document and what it prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// As it is typed.
    pub(crate) command: String,
    /// As it is printed.
    pub(crate) expected: Vec<String>,
}

/// A document of the repository, by its path.
pub(crate) fn read(path: &str) -> Result<String> {
    let path = places::root().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// The Deployments of an installation, by name.
pub(crate) fn deployments() -> Result<BTreeSet<String>> {
    let path = chart::install_path();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let objects = chart::objects(&text)?;
    let ours = objects.iter().filter(|object| object["kind"] == "Deployment");
    Ok(ours.filter_map(|object| Some(object["metadata"]["name"].as_str()?.to_owned())).collect())
}

/// The commands of a document.
pub(crate) fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut is_console, mut is_fenced) = (false, false);
    for line in text.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            is_fenced = !is_fenced;
            is_console = is_fenced && language == "console";
        } else if is_console {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step { command: command.to_owned(), expected: Vec::new() });
            } else if let Some(step) = steps.last_mut() {
                step.expected.push(line.to_owned());
            }
        }
    }
    steps
}

/// A person's shell in the repository's folder, with a cluster's admin's kubeconfig.
pub(crate) struct Shell<'a> {
    cluster: &'a Cluster,
    assigned: Vec<String>,
}

impl<'a> Shell<'a> {
    /// In which nothing was typed yet.
    pub(crate) const fn new(cluster: &'a Cluster) -> Self {
        Self { cluster, assigned: Vec::new() }
    }

    /// Runs a command and hands out what it prints.
    pub(crate) fn run(&self, command: &str) -> Result<String> {
        let programs = places::program("smartops-webhook")?;
        let programs = programs.parent().context("a program lies in no folder")?.to_path_buf();
        let inherited = places::variable("PATH").unwrap_or_default();
        let folders = [self.cluster.state.bin.clone(), programs].into_iter();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&inherited)))?;
        let script = [self.assigned.as_slice(), &[format!("{{ {command}; }} 2>&1")]].concat();
        let output = Command::new("sh")
            .args(["-c", &script.join("\n")])
            .current_dir(places::root())
            .env("PATH", path)
            .env("KUBECONFIG", self.cluster.state.kubeconfig("admin"))
            .env("KUBECACHEDIR", self.cluster.dir().join("kubectl-cache"))
            .output()
            .context("there is no shell")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs what a document says, and compares.
    pub(crate) fn follow(&mut self, steps: &[Step]) -> Result<()> {
        for Step { command, expected } in steps {
            if expected.is_empty() && is_assignment(command) {
                self.assigned.push(command.clone());
                continue;
            }
            let printed = self.run(command)?;
            let found: Vec<&str> = printed.lines().collect();
            ensure!(
                is_as_expected(expected, &found),
                "$ {command}\nprinted\n{printed}\nand the document says\n{}",
                expected.join("\n"),
            );
        }
        Ok(())
    }
}

/// `NAME=value`, one word.
fn is_assignment(command: &str) -> bool {
    let Some((name, value)) = command.split_once('=') else { return false };
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
        && !value.contains(' ')
}

fn is_as_expected(expected: &[String], found: &[&str]) -> bool {
    let Some((first, rest)) = expected.split_first() else { return found.is_empty() };
    if first.trim() == ANYTHING {
        return (0..=found.len())
            .any(|from| found.get(from..).is_some_and(|left| is_as_expected(rest, left)));
    }
    let Some((line, left)) = found.split_first() else { return false };
    is_line(first, line) && is_as_expected(rest, left)
}

fn is_line(expected: &str, found: &str) -> bool {
    let one_space = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (expected, found) = (one_space(expected), one_space(found));
    let Some((start, parts)) = expected.split_once(ANYTHING) else { return expected == found };
    let Some(mut rest) = found.strip_prefix(start) else { return false };
    let parts: Vec<&str> = parts.split(ANYTHING).collect();
    let Some((end, middle)) = parts.split_last() else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(end)
}

/// Every document below a folder.
fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(below(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The names of SmartOps that a text gives to `kubectl` as `deployment/NAME`.
fn named(text: &str) -> Vec<&str> {
    let all = text
        .split("deployment/")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next());
    all.filter(|name| name.starts_with("smartops-")).collect()
}

#[test]
fn every_deployment_a_document_names_is_one_of_an_installation() -> Result<()> {
    let installed = deployments()?;
    ensure!(installed.len() == 2, "{installed:?}");
    let mut documents = below(&places::root().join("docs"))?;
    documents.extend(["README.md", "SECURITY.md"].map(|name| places::root().join(name)));
    let mut count = 0;
    for document in documents {
        let text = std::fs::read_to_string(&document)?;
        for name in named(&text) {
            ensure!(installed.contains(name), "{}: deployment/{name}", document.display());
            count += 1;
        }
    }
    ensure!(count >= 5, "only {count} were found");
    Ok(())
}

/// The values that a text selects by a label's key.
fn selected<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let key = format!("{key}=");
    let all = text.match_indices(&key).filter_map(|(at, _)| {
        let rest = text.get(at + key.len()..)?;
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next()
    });
    all.collect()
}

#[test]
fn every_component_a_document_selects_pods_by_is_one_of_an_installation() -> Result<()> {
    const KEY: &str = "app.kubernetes.io/component";
    let installed = chart::objects(&read("manifests/install.yaml")?)?;
    let pods = installed.iter().filter(|object| object["kind"] == "Deployment");
    let components: BTreeSet<&str> =
        pods.filter_map(|o| o["spec"]["template"]["metadata"]["labels"][KEY].as_str()).collect();
    ensure!(components.len() == 2, "{components:?}");
    let mut count = 0;
    for document in below(&places::root().join("docs"))? {
        for name in selected(&std::fs::read_to_string(&document)?, KEY) {
            ensure!(components.contains(name), "{}: {KEY}={name}", document.display());
            count += 1;
        }
    }
    ensure!(count >= 3, "only {count} were found");
    Ok(())
}

#[test]
fn whoever_is_told_to_install_is_told_to_say_where_the_images_are() -> Result<()> {
    for document in ["README.md", "docs/install.md", "charts/smartops/README.md"] {
        let text = read(document)?;
        let commands: Vec<&str> =
            text.lines().filter(|line| line.starts_with("helm install smartops ")).collect();
        ensure!(!commands.is_empty(), "{document} installs nothing");
        for command in commands {
            ensure!(command.contains(" --set image.registry="), "{document}: {command}");
        }
    }
    Ok(())
}

#[test]
fn deployments_that_are_not_smartops_are_left_alone() -> Result<()> {
    let text =
        "a deployment/smartops-a, `deployment/smartops-b` deployment/NAME deployment/smartops-c";
    let found = named(text);
    ensure!(found == ["smartops-a", "smartops-b", "smartops-c"], "{found:?}");
    Ok(())
}

#[test]
fn a_documents_commands_and_outputs_are_told_apart_and_anything_else_is_left_alone() -> Result<()> {
    let text = "text\n```console\n$ a b\nc\n\n$ D=e\n```\n$ no\n```sh\n$ neither\n```\n";
    let steps = steps(text);
    let commands: Vec<&str> = steps.iter().map(|step| step.command.as_str()).collect();
    ensure!(commands == ["a b", "D=e"] && steps[0].expected == ["c", ""], "{steps:?}");
    ensure!(is_assignment("D=e") && !is_assignment("d=e") && !is_assignment("D=e f"));
    Ok(())
}

#[test]
fn outputs_are_compared_line_by_line_with_room_for_what_differs_everywhere() -> Result<()> {
    for (expected, found, is_it) in [
        (&["a  b"][..], &["a b"][..], true),
        (&["a b"], &["a c"], false),
        (&["a"], &["a", "b"], false),
        (&["a", "…"], &["a", "b", "c"], true),
        (&["…", "c"], &["a", "b", "c"], true),
        (&["…", "d"], &["a", "b", "c"], false),
        (&["a … c"], &["a b c"], true),
        (&["a … c"], &["a b d"], false),
        (&["… b … d"], &["a b c d"], true),
        (&["a …"], &["b a"], false),
        (&[], &[], true),
        (&[], &["a"], false),
    ] {
        let lines: Vec<String> = expected.iter().map(|line| (*line).to_owned()).collect();
        ensure!(is_as_expected(&lines, found) == is_it, "{expected:?} {found:?}");
    }
    Ok(())
}
