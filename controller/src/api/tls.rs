//! The certificate the API is served by: issued and renewed in a Secret by the replica that leads, or read from files that
//! somebody else keeps. What the flags mean is `args`'; how certificates are made is the crate `certs`'.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::{Api, Client};
use rustls::ServerConfig;
use smartops_certs::keeper::{Keeper, Source};
use smartops_certs::metrics::CertificateMetrics;
use smartops_certs::resolver::Resolver;
use smartops_certs::store::Store;
use smartops_common::names;
use smartops_process::BoxError;
use smartops_process::health::Readiness;
use smartops_process::shutdown::Shutdown;
use smartops_process::supervise::Supervisor;
use tokio::sync::watch;

use crate::args::tls::Tls;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Sets TLS up as the flags have it, and keeps the certificate good. None where there is none.
pub fn serve(
    tls: Tls,
    (client, namespace): (&Client, &str),
    (readiness, shutdown): (&Readiness, &Shutdown),
    (leading, metrics): (watch::Receiver<bool>, CertificateMetrics),
    tasks: &mut Supervisor,
) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    let resolver = Resolver::new();
    match tls {
        Tls::Off => {
            tracing::warn!("the API is served without TLS: tokens and keys travel in the clear");
            return Ok(None);
        }
        Tls::SelfManaged(certificate_names, lifetimes) => {
            let secrets = Api::namespaced(client.clone(), namespace);
            let keeper = Keeper {
                store: Store::new(
                    secrets,
                    names::CONTROLLER_CERTIFICATE_SECRET,
                    names::CONTROLLER_FIELD_MANAGER,
                ),
                source: Source::SelfManaged(lifetimes),
                names: certificate_names,
                resolver: Arc::clone(&resolver),
                ready: readiness.handle("certificate"),
                authority: watch::Sender::new(None),
                leading,
                // Whoever calls the API looks its CA up.
                callers: None,
                metrics,
            };
            tasks.spawn("certificate", keeper.run(shutdown.clone()));
        }
        Tls::Files { certificate, key } => {
            let files = Files { certificate, key };
            let read = files.read().and_then(|read| present(&resolver, read));
            let read = read.with_context(|| files.named())?;
            tasks.spawn("certificate", files.follow(read, Arc::clone(&resolver), shutdown.clone()));
        }
    }
    Ok(Some(Arc::new(resolver.server_config()?)))
}

/// Certificate and key, as somebody else keeps them.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

type Pem = (Vec<u8>, Vec<u8>);

/// Presents it, if it can be served by.
fn present(resolver: &Resolver, (certificate, key): Pem) -> anyhow::Result<Pem> {
    resolver.present_chain(&certificate, &key)?;
    Ok((certificate, key))
}

impl Files {
    fn named(&self) -> String {
        format!(
            "the certificate {} and its key {} cannot be served by",
            self.certificate.display(),
            self.key.display()
        )
    }

    fn read(&self) -> anyhow::Result<Pem> {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
        };
        Ok((read(&self.certificate)?, read(&self.key)?))
    }

    /// Presents what the files hold whenever that changes. Half of a change, or what cannot be served by, leaves the
    /// certificate as it was.
    async fn follow(
        self,
        mut presented: Pem,
        resolver: Arc<Resolver>,
        shutdown: Shutdown,
    ) -> Result<(), BoxError> {
        let mut told = None;
        loop {
            tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let read = match self.read() {
                Ok(read) if read == presented => continue,
                Ok(read) => present(&resolver, read),
                Err(error) => Err(error),
            };
            match read {
                Ok(read) => {
                    tracing::info!(certificate = %self.certificate.display(), "certificate read anew");
                    (presented, told) = (read, None);
                }
                Err(error) => {
                    let words = format!("{error:#}");
                    if told.as_ref() != Some(&words) {
                        tracing::warn!(error = words, "{}; the former one is kept", self.named());
                        told = Some(words);
                    }
                }
            }
        }
    }
}
