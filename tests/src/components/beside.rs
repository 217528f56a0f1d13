//! Files of a module that lie beside its executables: KWOK's stages, cert-manager's CRDs.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::{CRDS, Part, STAGES};

/// Which of KWOK's own stages are used.
const KWOK_STAGES: [&str; 7] = [
    "node/fast/node-initialize",
    "node/heartbeat-with-lease/node-heartbeat-with-lease",
    "pod/fast/pod-ready",
    "pod/fast/pod-complete",
    "pod/fast/pod-delete",
    "pod/chaos/pod-container-running-failed",
    "pod/chaos/pod-init-container-running-failed",
];
/// Which of cert-manager's own CRDs are used.
const CERT_MANAGER_CRDS: [&str; 4] = [
    "cert-manager.io_certificaterequests",
    "cert-manager.io_certificates",
    "cert-manager.io_clusterissuers",
    "cert-manager.io_issuers",
];

/// What lies beside a part's executables.
pub(super) struct Beside {
    /// The folder, beside the executables.
    pub(super) folder: &'static str,
    /// The module the files are from.
    pub(super) module: &'static str,
    /// Where they are in the module.
    from: &'static str,
    /// Their paths there, without `.yaml`.
    files: &'static [&'static str],
}

/// What belongs beside the executables of `part`. KWOK refuses to start without its stages.
pub(super) fn of(part: &Part) -> Option<Beside> {
    match part.name {
        "kwok" => Some(Beside {
            folder: STAGES,
            module: "sigs.k8s.io/kwok",
            from: "kustomize/stage",
            files: &KWOK_STAGES,
        }),
        "cert-manager" => Some(Beside {
            folder: CRDS,
            module: "github.com/cert-manager/cert-manager",
            from: "deploy/crds",
            files: &CERT_MANAGER_CRDS,
        }),
        _ => None,
    }
}

/// What of this decides what comes out of a build of `part`.
pub(super) fn decisive(part: &Part) -> Vec<&'static str> {
    // The stages count for every part: what was built before there was anything else is not built anew for it.
    let mut decisive = KWOK_STAGES.to_vec();
    if part.name == "cert-manager" {
        decisive.extend(CERT_MANAGER_CRDS);
    }
    decisive
}

impl Beside {
    /// Copies the files from their module's folder to beside the executables in `target`.
    pub(super) fn copy(&self, module: &Path, target: &Path) -> Result<()> {
        let target = target.join(self.folder);
        fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
        for file in self.files {
            let from = module.join(self.from).join(format!("{file}.yaml"));
            let name = from.file_name().with_context(|| format!("{file} has no name"))?;
            let text =
                fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
            fs::write(target.join(name), text).with_context(|| format!("cannot write {file}"))?;
        }
        Ok(())
    }
}
