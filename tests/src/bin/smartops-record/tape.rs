//! The recorder at work: an action, the review it causes, the file it becomes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::wait::{Seen, eventually};

use crate::scrub::scrub;
use crate::server::Server;
use crate::stage::Stage;

/// How long a controller may take: the HPA's looks every 15 s.
const LIMIT: Duration = Duration::from_secs(90);

/// Which review an action is recorded by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    operation: &'a str,
    /// `deployments.apps/scale`, `pods/exec`.
    resource: &'a str,
    /// How the object's name begins.
    name: &'a str,
    /// How the user's name ends.
    user: &'a str,
    dry_run: bool,
    whole: bool,
}

impl<'a> Wanted<'a> {
    /// By operation, resource and the beginning of the name.
    pub(crate) const fn new(operation: &'a str, resource: &'a str, name: &'a str) -> Self {
        Self { operation, resource, name, user: "", dry_run: false, whole: false }
    }

    /// Only by a user whose name ends like this.
    pub(crate) const fn by(mut self, user: &'a str) -> Self {
        self.user = user;
        self
    }

    /// Only a dry run.
    pub(crate) const fn dry(mut self) -> Self {
        self.dry_run = true;
        self
    }

    /// Keeps the managedFields in the file.
    pub(crate) const fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    fn fits(&self, review: &Value) -> bool {
        let request = &review["request"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut resource = text(&request["resource"]["resource"]);
        for (mark, key) in [('.', &request["resource"]["group"]), ('/', &request["subResource"])] {
            let part = text(key);
            if !part.is_empty() {
                resource = format!("{resource}{mark}{part}");
            }
        }
        // A generated name stands in the object only, and a deletecollection's in the old one.
        let (object, old) = (&request["object"]["metadata"], &request["oldObject"]["metadata"]);
        let names = [&request["name"], &object["name"], &object["generateName"], &old["name"]];
        resource == self.resource
            && request["operation"] == self.operation
            && names.iter().any(|name| text(name).starts_with(self.name))
            && text(&request["userInfo"]["username"]).ends_with(self.user)
            && (request["dryRun"] == json!(true)) == self.dry_run
    }
}

/// One command of a developer's: the recording's name, operation and resource, the object's name, the command.
pub(crate) type Command<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [&'a str]);

/// The tape that is recorded.
pub(crate) struct Tape<'a> {
    server: &'a Server,
    folder: PathBuf,
    number: usize,
    tell: &'a dyn Fn(&str),
}

impl<'a> Tape<'a> {
    /// An empty tape: recordings of earlier runs go.
    pub(crate) fn new(server: &'a Server, folder: PathBuf, tell: &'a dyn Fn(&str)) -> Result<Self> {
        fs::create_dir_all(&folder).context("cannot make the folder of the recordings")?;
        for entry in fs::read_dir(&folder).context("cannot list the recordings")? {
            let path = entry.context("cannot list the recordings")?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                fs::remove_file(&path)
                    .with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(Self { server, folder, number: 0, tell })
    }

    /// Registers the recorder for every write in a namespace to the kinds a workload is made of.
    pub(crate) fn register(&self, cluster: &Cluster, namespace: &str) -> Result<()> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let rule = |groups: &[&str], resources: &[&str]| {
            json!({"apiGroups": groups, "apiVersions": ["*"], "resources": resources, "scope": "*",
                "operations": ["CREATE", "UPDATE", "DELETE", "CONNECT"]})
        };
        let pods = [
            "pods",
            "pods/binding",
            "pods/eviction",
            "pods/ephemeralcontainers",
            "pods/exec",
            "pods/attach",
            "pods/portforward",
            "pods/resize",
        ];
        cluster.kubectl("admin").apply_all(&[json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "recorder"},
            "webhooks": [{
                "name": "recorder.example.com",
                "admissionReviewVersions": ["v1"],
                "sideEffects": "NoneOnDryRun",
                // What is not recorded must be seen to fail.
                "failurePolicy": "Fail",
                "timeoutSeconds": 10,
                "clientConfig": {"url": self.server.url, "caBundle": STANDARD.encode(&self.server.authority)},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [
                    rule(&["apps", "batch", "autoscaling", "example.com"], &["*/*"]),
                    rule(&[""], &pods),
                    rule(&[""], &["replicationcontrollers", "replicationcontrollers/scale", "namespaces"]),
                ],
            }],
        })])?;
        // The API server learns a registration a moment after it is stored.
        let admin = cluster.kubectl("admin");
        let probe =
            ["-n", namespace, "create", "deployment", "probe", "--image=probe", "--dry-run=server"];
        eventually(LIMIT, "the API server asks the recorder", || {
            admin.run(&probe)?.ok()?;
            Ok(Seen::when(self.server.count() > 0, "nothing was asked"))
        })
    }

    /// Acts, and records the first review since then that is wanted.
    pub(crate) fn record(
        &mut self,
        name: &str,
        wanted: Wanted<'_>,
        act: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let start = self.server.count();
        act().with_context(|| name.to_owned())?;
        self.store(name, wanted, start)
    }

    /// Records a developer's commands, one after the other.
    pub(crate) fn record_all(&mut self, stage: &Stage<'_>, commands: &[Command<'_>]) -> Result<()> {
        for (name, operation, resource, object, command) in commands {
            let wanted = Wanted::new(operation, resource, object).by("developer");
            self.record(name, wanted, || stage.run("developer", command))?;
        }
        Ok(())
    }

    /// Records the first review of all that is wanted, for what a controller does by itself.
    pub(crate) fn find(&mut self, name: &str, wanted: Wanted<'_>) -> Result<()> {
        self.store(name, wanted, 0)
    }

    fn store(&mut self, name: &str, wanted: Wanted<'_>, start: usize) -> Result<()> {
        let review = eventually(LIMIT, &format!("{name}: {wanted:?}"), || {
            let found = self.server.find(start, |review| wanted.fits(review));
            Ok(found.map_or_else(|| Seen::NotYet("no such review".to_owned()), Seen::Done))
        })?;
        self.number += 1;
        let file = format!("{:02}-{name}.json", self.number);
        (self.tell)(&file);
        let text = serde_json::to_string_pretty(&scrub(&review, wanted.whole))
            .context("a review does not serialise")?;
        let path = self.folder.join(file);
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
    }
}
