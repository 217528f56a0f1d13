//! `smartops-certs inspect`.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rustls::pki_types::CertificateDer;
use smartops_process::client;
use smartops_process::clock::Clock;

use super::ClusterArgs;
use crate::bundle::Names;
use crate::inspect::{self, Reading, vouches};
use crate::pem;
use crate::store::Store;

/// What to look at.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["files", "secret"]))]
pub(super) struct InspectArgs {
    /// Files of certificates, PEM. Keys in them are passed over.
    #[arg(value_name = "PATH")]
    files: Vec<PathBuf>,
    /// File of the CAs, PEM, one of which is to vouch for the first certificate of each file.
    #[arg(long, conflicts_with = "secret", value_name = "PATH")]
    ca: Option<PathBuf>,
    /// A Secret in the cluster instead.
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// Shows them; whether all that was asked about is good.
pub(super) async fn run(args: &InspectArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let now = Clock.now();
    if let Some(name) = &args.secret {
        let client = client::connect(args.cluster.kubeconfig.as_deref()).await?;
        let secrets: Api<Secret> = Api::namespaced(client, &args.cluster.namespace);
        let stored = Store::new(secrets, name, "smartops-certs").load().await?;
        let kept = stored.foreign();
        let kept = kept.map_err(|why| anyhow::anyhow!("the Secret {name:?}: {why}"))?;
        show(&format!("{name}: ca.crt"), kept.authorities.as_bytes(), None, now, out)?;
        let authorities = certificates(kept.authorities.as_bytes())?;
        let title = format!("{name}: tls.crt");
        return show(&title, kept.chain.as_bytes(), Some(&authorities), now, out);
    }
    let read = |path: &PathBuf| {
        fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let authorities = args.ca.as_ref().map(|path| certificates(&read(path)?)).transpose()?;
    let mut is_fine = true;
    for path in &args.files {
        let title = path.display().to_string();
        is_fine &= show(&title, &read(path)?, authorities.as_deref(), now, out)?;
    }
    Ok(is_fine)
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    pem::certificates(pem).map_err(anyhow::Error::msg)
}

/// Shows the certificates of a text; whether they can be read and, where CAs are given, one of these vouches for the first.
fn show(
    title: &str,
    text: &[u8],
    authorities: Option<&[CertificateDer<'_>]>,
    now: Timestamp,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let all = match pem::certificates(text) {
        Ok(all) if !all.is_empty() => all,
        Ok(_) => {
            return writeln!(out, "{title}: no certificate").map(|()| false).map_err(Into::into);
        }
        Err(why) => return writeln!(out, "{title}: {why}").map(|()| false).map_err(Into::into),
    };
    let mut first = None;
    let mut is_fine = true;
    for certificate in &all {
        match inspect::read(certificate) {
            Ok(read) => {
                writeln!(out, "{title}: {}", sentence(&read, now))?;
                first.get_or_insert(read);
            }
            Err(why) => {
                writeln!(out, "{title}: not a certificate: {why}")?;
                is_fine = false;
            }
        }
    }
    if let (Some(authorities), Some(read)) = (authorities, first) {
        let verdict = vouched(authorities, &all, &read, now);
        is_fine &= verdict.is_ok();
        let told = match verdict {
            Ok(()) => "its CA vouches for it under each of its names".to_owned(),
            Err(why) => format!("no CA given does, the last does not vouch for it: {why}"),
        };
        writeln!(out, "{title}: {told}")?;
    }
    Ok(is_fine)
}

fn vouched(
    authorities: &[CertificateDer<'_>],
    chain: &[CertificateDer<'_>],
    read: &Reading,
    now: Timestamp,
) -> Result<(), String> {
    let names = Names::new(&read.names).map_err(|bad| bad.join("; "))?;
    let mut verdict = Err("there is no CA".to_owned());
    for authority in authorities {
        verdict = vouches(authority, chain, &names, now);
        if verdict.is_ok() {
            break;
        }
    }
    verdict
}

fn sentence(read: &Reading, now: Timestamp) -> String {
    let Reading { subject, validity, names, .. } = read;
    let is_for = if names.is_empty() {
        "for no name".to_owned()
    } else {
        let mut names = names.clone();
        names.sort_unstable();
        format!("for {}", names.join(", "))
    };
    let state = match () {
        () if now < validity.from => "not valid yet",
        () if now > validity.until => "EXPIRED",
        () => "valid",
    };
    format!("{subject}, {is_for}, {state}: from {} until {}", validity.from, validity.until)
}
