//! The namespace in which everything is recorded, and how each actor acts in it.

use anyhow::Result;
use serde_json::Value;
use smartops_tests::cluster::Cluster;
use smartops_tests::sample;

/// The one namespace.
pub(crate) const NAMESPACE: &str = "shop";

/// The namespace on its cluster.
pub(crate) struct Stage<'a> {
    /// The cluster.
    pub(crate) cluster: &'a Cluster,
}

impl<'a> Stage<'a> {
    /// On a running cluster.
    pub(crate) const fn new(cluster: &'a Cluster) -> Self {
        Self { cluster }
    }

    /// kubectl as an actor, which must succeed.
    pub(crate) fn run(&self, actor: &str, arguments: &[&str]) -> Result<()> {
        self.send(actor, arguments, None)
    }

    /// kubectl as an actor, whatever comes of it: no kubelet is behind these nodes to run a command.
    pub(crate) fn attempt(&self, actor: &str, arguments: &[&str]) -> Result<()> {
        self.cluster.kubectl(actor).run(&in_namespace(arguments))?;
        Ok(())
    }

    /// kubectl as an actor with an object on its standard input.
    pub(crate) fn give(&self, actor: &str, arguments: &[&str], object: &Value) -> Result<()> {
        self.send(actor, &[arguments, &["-f", "-"]].concat(), Some(&object.to_string()))
    }

    fn send(&self, actor: &str, arguments: &[&str], input: Option<&str>) -> Result<()> {
        self.cluster.kubectl(actor).run_with(&in_namespace(arguments), input)?.ok()?;
        Ok(())
    }

    /// The names of the objects a selector picks.
    pub(crate) fn names(&self, kind: &str, selector: &str) -> Result<Vec<String>> {
        let list = self.cluster.kubectl("admin").get(&in_namespace(&[kind, "-l", selector]))?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        Ok(items
            .iter()
            .filter_map(|item| Some(item["metadata"]["name"].as_str()?.to_owned()))
            .collect())
    }

    /// Waits until a Deployment has rolled out, so that no controller writes it while it is recorded.
    pub(crate) fn settle(&self, deployment: &str) -> Result<()> {
        sample::wait_rolled_out(&self.cluster.kubectl("admin"), NAMESPACE, deployment)
    }
}

fn in_namespace<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["--namespace", NAMESPACE], arguments].concat()
}
