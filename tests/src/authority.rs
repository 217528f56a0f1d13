//! The CA by which the controller's API is trusted: the controller makes it itself, so it is looked up when it is first
//! needed, and kept in the cluster's folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::cluster::Cluster;
use crate::kubectl::Kubectl;
use crate::pki;

const SECRET: &str = "smartops-orchestrator-certificate";
const NAMESPACE: &str = "smartops-system";

/// Where the CA is found.
#[derive(Debug, Clone)]
pub struct Authority {
    kubectl: Option<Kubectl>,
    file: PathBuf,
}

impl Authority {
    /// The one of this cluster's controllers.
    pub fn of(cluster: &Cluster) -> Self {
        Self { kubectl: Some(cluster.kubectl("admin")), file: kept_in(cluster.dir()) }
    }

    /// The one in this file.
    pub fn file(path: &Path) -> Self {
        Self { kubectl: None, file: path.to_path_buf() }
    }

    /// The one of this cluster's controllers as it stands now, whatever was known before; none while there is none.
    pub fn afresh(cluster: &Cluster) -> Result<Option<String>> {
        look_up(&cluster.kubectl("admin"))
    }

    /// Its PEM.
    pub fn pem(&self) -> Result<String> {
        if let Ok(known) = std::fs::read_to_string(&self.file) {
            return Ok(known);
        }
        let kubectl = self.kubectl.as_ref();
        let kubectl = kubectl.with_context(|| format!("there is no {}", self.file.display()))?;
        let pem = look_up(kubectl)?.context("the controller has no CA yet")?;
        pki::write(&self.file, &pem)?;
        Ok(pem)
    }
}

/// Where a cluster's folder keeps it, once it was looked up.
pub fn kept_in(dir: &Path) -> PathBuf {
    dir.join("controller-ca.crt")
}

fn look_up(kubectl: &Kubectl) -> Result<Option<String>> {
    let template = "go-template={{index .data \"ca.crt\" | base64decode}}";
    let arguments = ["-n", NAMESPACE, "get", "secret", SECRET, "-o", template];
    let outcome = kubectl.run(&arguments)?;
    let is_one = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).is_ok();
    Ok(Some(outcome.output).filter(|pem| outcome.succeeded && is_one(pem)))
}
