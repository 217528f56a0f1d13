//! The certificate of the controller's API: of its own making, made anew when it is lost, or somebody else's files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use smartops_tests::authority::Authority;
use smartops_tests::cluster::Cluster;
use smartops_tests::http::Client;
use smartops_tests::pki;
use smartops_tests::programs::{Program, controller, endpoints};
use smartops_tests::wait::{Seen, eventually};

use crate::support::{own, shared};

/// The Secret and the files are looked at every few seconds.
const SOON: Duration = Duration::from_secs(40);

fn health(client: &Client) -> Result<u16> {
    Ok(client.get("/healthz")?.status)
}

#[test]
fn the_api_speaks_tls_alone_by_a_certificate_its_own_ca_vouches_for() -> Result<()> {
    let cluster = shared()?;
    assert_eq!(health(&controller(cluster)?)?, 200);
    let url = endpoints(cluster)?.controller_url();
    // The twin: whoever does not trust that CA, or speaks no TLS, gets nothing.
    let stranger = vouched(cluster, "stranger")?;
    assert!(
        health(&Client::new(&url).trusting(Authority::file(&stranger.join("ca.crt")))).is_err()
    );
    assert!(health(&Client::new(&url.replace("https", "http"))).is_err());
    Ok(())
}

#[test]
fn a_lost_certificate_is_made_anew_and_files_of_somebody_else_are_followed() -> Result<()> {
    let cluster = own("tls")?;
    let url = endpoints(&cluster)?.controller_url();
    let first = Authority::of(&cluster).pem()?;
    let secret = ["-n", "smartops-system", "delete", "secret", "smartops-orchestrator-certificate"];
    cluster.kubectl("admin").run(&secret)?.ok()?;
    let anew = eventually(SOON, "a certificate of another CA", || {
        // Looked up past what is kept in the folder.
        let found = Authority::afresh(&cluster)?;
        Ok(match found.filter(|pem| *pem != first) {
            Some(pem) => Seen::Done(pem),
            None => Seen::NotYet("the Secret is not back".to_owned()),
        })
    })?;
    let known = cluster.dir().join("anew.crt");
    pki::write(&known, &anew)?;
    eventually(SOON, "the API is served by it", || {
        Ok(match health(&Client::new(&url).trusting(Authority::file(&known))) {
            Ok(status) => Seen::when(status == 200, format!("HTTP {status}")),
            Err(error) => Seen::NotYet(format!("{error:#}")),
        })
    })?;

    let folder = vouched(&cluster, "files")?;
    let (certificate, key) = (folder.join("api.crt"), folder.join("api.key"));
    let flags = [
        "--tls=files".to_owned(),
        format!("--tls-certificate-file={}", certificate.display()),
        format!("--tls-key-file={}", key.display()),
    ];
    Program::Controller.terminate(&cluster, Duration::from_secs(30))?;
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Program::Controller.launch(&cluster, &flags)?;
    let served_by = |folder: &Path| {
        let client = Client::new(&url).trusting(Authority::file(&folder.join("ca.crt")));
        eventually(SOON, &format!("served as {} vouches for", folder.display()), || {
            Ok(match health(&client) {
                Ok(status) => Seen::when(status == 200, format!("HTTP {status}")),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
    };
    served_by(&folder)?;
    let other = vouched(&cluster, "other")?;
    for name in ["api.crt", "api.key"] {
        std::fs::copy(other.join(name), folder.join(name))?;
    }
    served_by(&other)?;
    cluster.stop()
}

/// A folder with a CA of its own and a certificate of it for this machine.
fn vouched(cluster: &Cluster, name: &str) -> Result<PathBuf> {
    let folder = cluster.dir().join(format!("pki-{name}"));
    let authority = pki::Authority::create(&folder)?;
    authority.issue("api", "api", &[], &["127.0.0.1"])?;
    Ok(folder)
}
