//! smartops-certs: what can be asked of it by hand. Keys are never shown, and nothing in a cluster is written.

mod check;
mod inspect;
mod issue;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use smartops_common::names;

/// Issues, shows and checks the certificates SmartOps serves by.
#[derive(Debug, Parser)]
#[command(name = "smartops-certs", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Issue a certificate, under a new CA or one of your own, into a folder or as a Secret for kubectl apply.
    Issue(issue::IssueArgs),
    /// Show what certificates say, from files or from a Secret: names, validity, and whether their CA vouches for them. Exit
    /// code 1 where it does not.
    Inspect(inspect::InspectArgs),
    /// Check that every registration of SmartOps in a cluster trusts what is served to it. Exit code 1 where one does not.
    Check(check::CheckArgs),
}

/// Which cluster is asked, and where SmartOps is in it.
#[derive(Debug, Args)]
struct ClusterArgs {
    /// Kubeconfig of the cluster; without it, that of the pod this runs in.
    #[arg(long, env = "KUBECONFIG", value_name = "PATH")]
    kubeconfig: Option<PathBuf>,
    /// SmartOps' namespace.
    #[arg(long, env = "SMARTOPS_NAMESPACE", default_value = names::SYSTEM_NAMESPACE)]
    namespace: String,
}

/// Does what was asked for; whether all is well.
pub async fn run(cli: &Cli, out: &mut impl Write) -> anyhow::Result<bool> {
    match &cli.command {
        Command::Issue(args) => issue::run(args, out).map(|()| true),
        Command::Inspect(args) => inspect::run(args, out).await,
        Command::Check(args) => check::run(args, out).await,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::CommandFactory as _;
    use k8s_openapi::api::core::v1::Secret;

    use super::*;

    async fn said(arguments: &[&str]) -> anyhow::Result<(bool, String)> {
        let mut out = Vec::new();
        let cli = Cli::try_parse_from([&["smartops-certs"], arguments].concat())?;
        let is_fine = run(&cli, &mut out).await?;
        Ok((is_fine, String::from_utf8(out)?))
    }

    #[tokio::test]
    async fn what_is_issued_into_a_folder_is_shown_and_found_good_and_its_keys_are_not() {
        Cli::command().debug_assert();
        let folder = std::env::temp_dir().join(format!("smartops-certs-{}", std::process::id()));
        let path = |name: &str| folder.join(name).display().to_string();
        let issue = ["issue", "--names=hook.example,127.0.0.1", "--folder", &path("one")];
        assert!(said(&issue).await.unwrap().0);
        let again = said(&issue).await.unwrap_err();
        assert!(format!("{again:#}").contains("is there already"), "{again:#}");

        let (certificate, ca) = (path("one/tls.crt"), path("one/ca.crt"));
        let (is_fine, text) = said(&["inspect", &certificate, "--ca", &ca]).await.unwrap();
        assert!(is_fine && text.contains("127.0.0.1, hook.example"), "{text}");
        assert!(text.contains("vouches for it"), "{text}");
        let (_, text) = said(&["inspect", &path("one/tls.key"), &ca]).await.unwrap();
        assert!(text.contains("no certificate") && !text.contains("PRIVATE"), "{text}");

        // Another one under the same CA, and one under a CA of its own.
        let (ca_certificate, ca_key) = (path("one/ca.crt"), path("one/ca.key"));
        let under = ["--ca-certificate", &ca_certificate, "--ca-key", &ca_key];
        let two = path("two");
        let issue = [&["issue", "--names=a", "--folder", &two], &under[..]].concat();
        assert!(said(&issue).await.unwrap().0);
        assert!(said(&["inspect", &path("two/tls.crt"), "--ca", &ca]).await.unwrap().0);
        assert!(!fs::exists(path("two/ca.key")).unwrap(), "the key of a CA stays where it is");
        said(&["issue", "--names=a", "--folder", &path("three")]).await.unwrap();
        let (is_fine, text) =
            said(&["inspect", &path("three/tls.crt"), "--ca", &ca]).await.unwrap();
        assert!(!is_fine && text.contains("does not vouch"), "{text}");

        // A file that holds the CA's key too is taken, and the key stays where it is.
        let combined = path("combined.pem");
        let read = |path: &str| fs::read_to_string(path).unwrap();
        fs::write(&combined, format!("{}{}", read(&ca_key), read(&ca_certificate))).unwrap();
        let under = ["--ca-certificate", &combined, "--ca-key", &combined];
        let four = path("four");
        said(&[&["issue", "--names=a", "--folder", &four], &under[..]].concat()).await.unwrap();
        assert!(!read(&path("four/ca.crt")).contains("PRIVATE"));
        assert!(said(&["inspect", &path("four/tls.crt"), "--ca", &ca]).await.unwrap().0);
        let issue = [&["issue", "--names=a", "--secret=mine"], &under[..]].concat();
        let secret: Secret = serde_json::from_str(&said(&issue).await.unwrap().1).unwrap();
        let shown = String::from_utf8(secret.data.unwrap()["ca.crt"].0.clone()).unwrap();
        assert_eq!(shown.trim(), read(&ca).trim());

        // The key of another CA, and what is no CA: nothing is written.
        for (certificate, key, word) in [
            ("one/ca.crt", "three/ca.key", "does not belong"),
            ("one/tls.crt", "one/tls.key", "no CA"),
        ] {
            let (certificate, key, five) = (path(certificate), path(key), path("five"));
            let under = ["--ca-certificate", &certificate, "--ca-key", &key];
            let issue = [&["issue", "--names=a", "--folder", &five], &under[..]].concat();
            let error = format!("{:#}", said(&issue).await.unwrap_err());
            assert!(error.contains(word) && error.contains(&certificate), "{error}");
            assert!(!fs::exists(&five).unwrap(), "{error}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[tokio::test]
    async fn what_is_issued_as_a_secret_is_one_to_apply_without_the_key_of_its_authority() {
        let (_, text) = said(&["issue", "--names=a", "--secret=mine"]).await.unwrap();
        let secret: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(secret["type"], "kubernetes.io/tls");
        assert_eq!(secret["metadata"]["name"], "mine");
        assert_eq!(secret["metadata"]["namespace"], "smartops-system");
        let keys: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
        assert_eq!(keys, ["ca.crt", "tls.crt", "tls.key"]);
    }

    #[tokio::test]
    async fn what_cannot_be_issued_is_told_with_what_can() {
        for (arguments, word) in [
            (vec!["issue", "--names=a b", "--secret=x"], "neither a DNS name nor an IP address"),
            (vec!["issue", "--names=a", "--secret=x", "--certificate-lifetime=1s"], "at least 60s"),
            (vec!["issue", "--names=a"], "--folder"),
            (vec!["issue", "--secret=x"], "--names"),
            (vec!["issue", "--names=a", "--secret=x", "--ca-key=/x"], "--ca-certificate"),
            (vec!["inspect"], "--secret"),
            (vec!["inspect", "/does/not/exist"], "/does/not/exist"),
        ] {
            let error = said(&arguments).await.unwrap_err();
            assert!(format!("{error:#}").contains(word), "{arguments:?}: {error:#}");
        }
    }
}
