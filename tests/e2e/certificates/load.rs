//! What a certificate is held against while something happens to it: writes that fail closed, and beside them callers
//! that have no connection yet, as an API server that has just started.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::pki_types::ServerName;
use serde_json::Value;
use smartops_tests::cluster::Cluster;
use smartops_tests::programs::endpoints;
use smartops_tests::stream::{Stream, Tally, Target};
use smartops_tests::{pki, sample};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::drain::{certificate_authority, connector};

/// The file of the certificate by which the stream writes as the developer.
const WRITER: &str = "stream";
/// How many write at once, each to an object of its own.
const WRITERS: usize = 3;
/// How often somebody new calls.
const PACE: Duration = Duration::from_millis(250);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

#[expect(clippy::print_stdout, reason = "how much was tried, beside the verdict")]
fn report(tally: &Tally, newcomers: u64) {
    println!(
        "{} writes in {:.0?}, the slowest took {:.0?}; {newcomers} newcomers; none failed",
        tally.calls, tally.lasted, tally.slowest
    );
}

/// Does something while writes stream in and new callers come by, and fails when a single one of them did. Returns how
/// many writes there were.
pub(super) fn under_load(cluster: &Cluster, happens: impl FnOnce() -> Result<()>) -> Result<u64> {
    let (writes, (newcomers, turned_away)) = streamed(cluster, happens)?;
    let failed = writes.failures.len();
    ensure!(failed == 0, "{failed} of {}: {:?}", writes.calls, writes.reasons());
    let failed = turned_away.len();
    ensure!(failed == 0, "{failed} of {newcomers} newcomers: {turned_away:?}");
    ensure!(writes.calls > 0 && newcomers > 0, "nothing was tried");
    report(&writes, newcomers);
    Ok(writes.calls)
}

/// What came of the writes while something happened, whatever it is.
pub(super) fn tried(cluster: &Cluster, happens: impl FnOnce() -> Result<()>) -> Result<Tally> {
    let (writes, _) = streamed(cluster, happens)?;
    ensure!(writes.calls > 0, "nothing was tried");
    Ok(writes)
}

/// The writes, and how many newcomers there were with what failed of them.
type Streamed = (Tally, (u64, Vec<String>));

fn streamed(cluster: &Cluster, happens: impl FnOnce() -> Result<()>) -> Result<Streamed> {
    let authority = pki::Authority::open(&cluster.dir().join("pki"))?;
    authority.issue(WRITER, "developer", &[], &[])?;
    let names: Vec<String> = (1..=WRITERS).map(|number| format!("load-{number}")).collect();
    let objects: Vec<Value> =
        names.iter().map(|name| sample::deployment(sample::NAMESPACE, name, 1)).collect();
    cluster.kubectl("admin").apply_all(&objects)?;
    let target = Target::deployments(cluster, WRITER, sample::NAMESPACE, &names)?;
    let stream = Stream::start(&target)?;
    let (stop, stopped) = channel();
    let (happened, newcomers) = std::thread::scope(|scope| {
        let newcomers = scope.spawn(move || newcomers(cluster, &stopped));
        let happened = happens();
        drop(stop);
        (happened, newcomers.join())
    });
    let writes = stream.stop()?;
    happened?;
    Ok((writes, newcomers.map_err(|_| anyhow!("the newcomers panicked"))?))
}

/// Calls the webhook by what the registrations trust at that moment, until the other end of `stopped` is gone. How often,
/// and what failed.
fn newcomers(cluster: &Cluster, stopped: &Receiver<()>) -> (u64, Vec<String>) {
    let (mut calls, mut failures) = (0, Vec::new());
    while stopped.recv_timeout(PACE) == Err(RecvTimeoutError::Timeout) {
        let called =
            certificate_authority(cluster).and_then(|trusted| served_under(cluster, &trusted));
        calls += 1;
        failures.extend(called.err().map(|error| format!("{error:#}")));
    }
    (calls, failures)
}

/// Shakes hands with the webhook as somebody who trusts these CAs, PEM, and no others.
pub(super) fn served_under(cluster: &Cluster, authorities: &[u8]) -> Result<()> {
    presented(cluster, authorities).map(drop)
}

/// The same; returns the certificate the webhook presents, DER.
pub(super) fn presented(cluster: &Cluster, authorities: &[u8]) -> Result<Vec<u8>> {
    let port = endpoints(cluster)?.webhook_port;
    let connector = connector(authorities)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shake = async {
            let stream = TcpStream::connect(("127.0.0.1", port)).await?;
            let stream = connector.connect(ServerName::try_from("127.0.0.1")?, stream).await?;
            let presented = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            Ok(presented.context("it presents nothing")?.to_vec())
        };
        timeout(HANDSHAKE, shake).await.context("no handshake in time")?
    })
}
