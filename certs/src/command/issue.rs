//! `smartops-certs issue`.

mod authority;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use smartops_common::names;
use smartops_process::clock::Clock;

use crate::args::LifetimeArgs;
use crate::bundle::{Bundle, Names};
use crate::{inspect, issue};

/// What to issue, and where to put it.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("place").required(true).args(["folder", "secret"]))]
pub(super) struct IssueArgs {
    /// The names it is for, DNS or IP.
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME,…")]
    names: Vec<String>,
    #[command(flatten)]
    lifetimes: LifetimeArgs,
    /// The CA to issue it under, PEM; without it one is made.
    #[arg(long, requires = "ca_key", value_name = "PATH")]
    ca_certificate: Option<PathBuf>,
    /// The key of that CA, PEM.
    #[arg(long, requires = "ca_certificate", value_name = "PATH")]
    ca_key: Option<PathBuf>,
    /// Folder that ca.crt, tls.crt and tls.key are written to, and ca.key where the CA is made. Nothing there is
    /// overwritten.
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
    /// Name of a Secret, which is shown for `kubectl apply -f -` and holds tls.crt, tls.key and ca.crt. The key of a CA made
    /// for it is not kept.
    #[arg(long, value_name = "NAME")]
    secret: Option<String>,
    /// Namespace of the Secret.
    #[arg(long, default_value = names::SYSTEM_NAMESPACE)]
    namespace: String,
}

/// Issues it.
pub(super) fn run(args: &IssueArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    let lifetimes = args.lifetimes.check(&mut problems);
    let names = match Names::new(&args.names) {
        Ok(names) if problems.is_empty() => names,
        Ok(_) => bail!("{}", problems.join("\n")),
        Err(bad) => {
            problems.extend(bad.into_iter().map(|bad| format!("--names: {bad}")));
            bail!("{}", problems.join("\n"));
        }
    };
    let now = Clock.now();
    let read = |path: &PathBuf| {
        fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
    };
    let (bundle, is_ca_new) = match (&args.ca_certificate, &args.ca_key) {
        (Some(certificate), Some(key)) => {
            let (given, key) = (read(certificate)?, read(key)?);
            let authority = authority::taken(&given, &key, now)
                .map_err(|why| anyhow!("--ca-certificate {}: {why}", certificate.display()))?;
            (issue::certificate(&authority, &key, &names, lifetimes, now)?, false)
        }
        _ => (issue::all(&names, lifetimes, now)?, true),
    };
    inspect::verify(&bundle, &names, now).map_err(|why| {
        anyhow!("nothing is written: what was issued would not be trusted: {why}")
    })?;
    if let Some(folder) = &args.folder {
        return put(folder, &bundle, is_ca_new, out);
    }
    let name = args.secret.clone().unwrap_or_default();
    serde_json::to_writer_pretty(&mut *out, &secret(&args.namespace, &name, bundle))?;
    Ok(writeln!(out)?)
}

/// Writes the parts into a folder; keys for nobody but the owner's eyes.
fn put(
    folder: &Path,
    bundle: &Bundle,
    is_ca_new: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let ca_key = is_ca_new.then_some(("ca.key", bundle.authority_key.as_str(), 0o600));
    let parts = [
        ("ca.crt", bundle.authority.as_str(), 0o644),
        ("tls.crt", bundle.certificate.as_str(), 0o644),
        ("tls.key", bundle.key.as_str(), 0o600),
    ];
    let parts: Vec<_> = parts.into_iter().chain(ca_key).collect();
    for (name, ..) in &parts {
        let path = folder.join(name);
        if path.exists() {
            bail!("{} is there already: name an empty folder", path.display());
        }
    }
    for (name, text, mode) in parts {
        let path = folder.join(name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        file.write_all(text.as_bytes())?;
        writeln!(out, "{}", path.display())?;
    }
    Ok(())
}

fn secret(namespace: &str, name: &str, bundle: Bundle) -> Secret {
    let parts =
        [("ca.crt", bundle.authority), ("tls.crt", bundle.certificate), ("tls.key", bundle.key)];
    let data = parts.map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())));
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some(names::CERTIFICATE_SECRET_TYPE.to_owned()),
        data: Some(data.into()),
        ..Secret::default()
    }
}
