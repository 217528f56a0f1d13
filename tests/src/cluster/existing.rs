//! A cluster that is there already: `SMARTOPS_KUBECONFIG` names an admin's kubeconfig.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::components::Components;
use crate::kubectl::Kubectl;
use crate::pki;
use crate::state::State;

/// Writes the admin's kubeconfig into `dir` and asks the cluster whether it answers.
pub(super) fn adopt(dir: &Path, kubeconfig: &Path) -> Result<State> {
    let kubectl = find_kubectl()?;
    let given = Kubectl::new(&kubectl, kubeconfig, dir);
    let view = given.run(&["config", "view", "--minify", "--flatten", "-o", "json"])?.ok();
    let view = view.with_context(|| format!("SMARTOPS_KUBECONFIG={}", kubeconfig.display()))?;
    let view: Value = serde_json::from_str(&view).context("kubectl did not answer in JSON")?;
    let cluster = view.pointer("/clusters/0/cluster").context("the kubeconfig names no cluster")?;
    given.run(&["get", "--raw", "/readyz"])?.ok().with_context(|| {
        format!("the cluster of {} does not answer as ready", kubeconfig.display())
    })?;
    let bin = kubectl.parent().context("kubectl lies in no folder")?.to_path_buf();
    let state = State {
        dir: dir.to_path_buf(),
        bin,
        own_control_plane: false,
        cluster: cluster_entry(cluster),
        smartops: None,
    };
    let admin = state.kubeconfig("admin");
    std::fs::create_dir_all(admin.parent().context("no folder for kubeconfigs")?)
        .context("cannot make the folder for kubeconfigs")?;
    pki::write(&admin, &view.to_string())?;
    Ok(state)
}

/// Removes the registrations from somebody else's cluster: they fail closed, and their server is about to end.
pub(super) fn unregister(state: &State) -> Result<()> {
    let admin = Kubectl::new(&state.bin.join("kubectl"), &state.kubeconfig("admin"), &state.dir);
    for kind in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        let arguments =
            ["delete", kind, "smartops-automation", "smartops-people", "--ignore-not-found"];
        admin.run(&arguments)?.ok().with_context(|| {
            format!(
                "the {kind} smartops-automation and smartops-people stay and refuse: delete them"
            )
        })?;
    }
    Ok(())
}

/// Server and trust only: whatever else the admin's entry says is the admin's.
fn cluster_entry(cluster: &Value) -> Value {
    let mut entry = json!({});
    for key in ["server", "certificate-authority-data", "tls-server-name"] {
        if let Some(value) = cluster.get(key) {
            entry[key] = value.clone();
        }
    }
    entry
}

fn find_kubectl() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join("kubectl"))
        .find(|candidate| candidate.is_file());
    if let Some(found) = found {
        return Ok(found);
    }
    let built = Components::ensure(&|_| {}).and_then(|c| Ok(c.tool("kubectl")?.to_path_buf()));
    match built {
        Ok(path) => Ok(path),
        Err(_) => bail!("there is no kubectl in PATH, and none can be built here: install one"),
    }
}
