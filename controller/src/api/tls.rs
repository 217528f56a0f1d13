//! The certificate the API is served by: issued and renewed in a Secret by the replica that leads, or read from files that
//! somebody else keeps. What the flags mean is `args`'; how certificates are made is the crate `certs`'.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::{Api, Client};
use rustls::ServerConfig;
use smartops_certs::inspect;
use smartops_certs::keeper::{Keeper, Source};
use smartops_certs::metrics::CertificateMetrics;
use smartops_certs::pem;
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
            let files = Files { certificate, key, resolver: Arc::clone(&resolver), metrics };
            let presented = files.look(None).with_context(|| files.named())?;
            tasks.spawn("certificate", files.follow(presented, shutdown.clone()));
        }
    }
    Ok(Some(Arc::new(resolver.server_config()?)))
}

/// Certificate and key, as somebody else keeps them.
#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    resolver: Arc<Resolver>,
    metrics: CertificateMetrics,
}

type Pem = (Vec<u8>, Vec<u8>);

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

    /// Presents what the files hold where that is another than `presented`, and tells when it ends. None where nothing
    /// changed; what failed is counted.
    fn look(&self, presented: Option<&Pem>) -> anyhow::Result<Option<Pem>> {
        let failed = |kind| self.metrics.errors.with_label_values(&[kind]).inc();
        let read = self.read().inspect_err(|_| failed("store"))?;
        if Some(&read) == presented {
            return Ok(None);
        }
        self.present(&read).inspect_err(|_| failed("verify"))?;
        Ok(Some(read))
    }

    fn present(&self, (certificate, key): &Pem) -> anyhow::Result<()> {
        let leaf = pem::first(certificate).and_then(|leaf| inspect::read(&leaf));
        let until = leaf.map_err(anyhow::Error::msg)?.validity.until;
        self.resolver.present_chain(certificate, key)?;
        self.metrics.expiry.with_label_values(&["serving"]).set(until.as_second());
        Ok(())
    }

    /// Presents what the files hold whenever that changes. Half of a change, or what cannot be served by, leaves the
    /// certificate as it was.
    async fn follow(self, mut presented: Option<Pem>, shutdown: Shutdown) -> Result<(), BoxError> {
        let mut told = None;
        loop {
            tokio::select! {
                () = shutdown.stopping() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            match self.look(presented.as_ref()) {
                Ok(None) => told = None,
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use smartops_certs::bundle::{Bundle, Names};
    use smartops_certs::issue::{self, Lifetimes};
    use smartops_process::metrics::Metrics;

    use super::*;

    fn issued(now: Timestamp) -> Bundle {
        issue::all(&Names::new(["a"]).unwrap(), Lifetimes::default(), now).unwrap()
    }

    impl Files {
        fn hold(&self, certificate: &str, key: &str) {
            std::fs::write(&self.certificate, certificate).unwrap();
            std::fs::write(&self.key, key).unwrap();
        }

        /// When what is presented ends, and how many looks failed by what could not be read, and by what not be served by.
        fn told(&self) -> (i64, u64, u64) {
            let failed = |kind| self.metrics.errors.with_label_values(&[kind]).get();
            let until = self.metrics.expiry.with_label_values(&["serving"]).get();
            (until, failed("store"), failed("verify"))
        }
    }

    #[test]
    fn files_tell_when_what_is_presented_ends_and_count_what_cannot_be_read_or_served_by() {
        let folder = std::env::temp_dir().join(format!("smartops-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = Files {
            certificate: folder.join("tls.crt"),
            key: folder.join("tls.key"),
            resolver: Resolver::new(),
            metrics: CertificateMetrics::new(&Metrics::new("controller").unwrap()).unwrap(),
        };
        assert!(files.look(None).is_err());
        assert_eq!(files.told(), (0, 1, 0));

        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let first = issued(now);
        let end = (now + Lifetimes::default().certificate).as_second();
        files.hold(&first.certificate, &first.key);
        let presented = files.look(None).unwrap();
        assert!(presented.is_some());
        assert_eq!(files.told(), (end, 1, 0));
        assert!(files.look(presented.as_ref()).unwrap().is_none(), "nothing changed");

        // Half of a change, and no certificate at all: what is presented is still the first.
        let next = issued(now + jiff::SignedDuration::from_hours(1));
        for (certificate, failed) in [(next.certificate.as_str(), 1), ("rubbish", 2)] {
            files.hold(certificate, &first.key);
            assert!(files.look(presented.as_ref()).is_err());
            assert_eq!(files.told(), (end, 1, failed));
        }
        files.hold(&next.certificate, &next.key);
        assert!(files.look(presented.as_ref()).unwrap().is_some());
        assert_eq!(files.told(), (end + 3600, 1, 2));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
