//! The webhook's certificate in the hands of cert-manager itself: issued by what the chart brings, renewed, lost, and
//! issued under another CA, under a stream of writes that fail closed. What is set up is `site`'s.

mod given;
mod site;

use std::time::Duration;

use anyhow::{Result, ensure};
use smartops_tests::stream::Tally;

use self::site::{AUTHORITY, Plan, SERVING, Site};
use super::load::{tried, under_load};

/// Beyond this, writes that fail are no transition any more.
const TRANSITION: Duration = Duration::from_secs(5);

#[test]
fn what_cert_manager_issues_is_served_and_neither_a_renewal_nor_another_ca_fails_a_write()
-> Result<()> {
    let site = Site::start("cert-manager", Plan::default())?;
    let cluster = &site.cluster;
    site.takes_the_certificates_of(&["03-cert-manager", "04-cert-manager-issuer"])?;
    let first = site.part(SERVING, "ca.crt")?;
    site.presents(&site.part(SERVING, "tls.crt")?)?;
    site.trusted_everywhere(&first)?;

    // Under the same CA nobody has anything to write: the injector and the leader leave each other's bundles alone.
    let before = site.generations()?;
    under_load(cluster, || {
        let renewed = site.renew(SERVING)?;
        site.presents(&renewed)?;
        let after_loss = site.lose(SERVING)?;
        site.presents(&after_loss)
    })?;
    ensure!(site.part(SERVING, "ca.crt")? == first, "the CA is another one");
    let after = site.generations()?;
    ensure!(after == before, "registrations were written: {before:?} {after:?}");
    ensure!(site.injections()? > 0, "the injector wrote nothing: this proves nothing of it");

    // The CA is renewed with the key it has, and what is under it follows.
    let key = site.part(AUTHORITY, "tls.key")?;
    under_load(cluster, || {
        let authority = site.renew(AUTHORITY)?;
        let renewed = site.renew(SERVING)?;
        site.presents(&renewed)?;
        site.trusted_everywhere(&authority)
    })?;
    ensure!(site.part(AUTHORITY, "tls.key")? == key, "the key is another one");

    // The CA is lost, and another one takes its place.
    under_load(cluster, || {
        let authority = site.lose(AUTHORITY)?;
        let renewed = site.renew(SERVING)?;
        site.presents(&renewed)?;
        site.trusted_everywhere(&authority)
    })?;
    ensure!(site.part(AUTHORITY, "tls.key")? != key, "the key is the same");
    site.stop()
}

#[test]
fn an_injector_that_takes_the_former_ca_away_fails_writes_for_a_moment_only_where_the_key_is_another()
-> Result<()> {
    let plan = Plan { injector: &["--merging=false"], ..Plan::default() };
    let site = Site::start("cert-manager-replacing", plan)?;
    under_load(&site.cluster, || {
        let authority = site.renew(AUTHORITY)?;
        let renewed = site.renew(SERVING)?;
        site.presents(&renewed)?;
        site.trusted_everywhere(&authority)
    })?;
    let writes = tried(&site.cluster, || {
        let authority = site.lose(AUTHORITY)?;
        let renewed = site.renew(SERVING)?;
        site.presents(&renewed)?;
        site.trusted_everywhere(&authority)
    })?;
    report(&writes);
    let first = writes.failures.first().map_or(Duration::ZERO, |failure| failure.began);
    let last = writes.failures.iter().map(|failure| failure.ended).max().unwrap_or_default();
    ensure!(last.saturating_sub(first) < TRANSITION, "{:?}", writes.failures);
    let is_of_certificates = |reason: &String| reason.contains("failed to verify certificate");
    ensure!(writes.reasons().keys().all(is_of_certificates), "{:?}", writes.reasons());
    // Once all trust what is served, nothing fails any more.
    under_load(&site.cluster, || {
        let renewed = site.renew(SERVING)?;
        site.presents(&renewed)
    })?;
    site.stop()
}

#[expect(clippy::print_stdout, reason = "how much failed, beside the verdict")]
fn report(writes: &Tally) {
    println!("{} of {} writes failed", writes.failures.len(), writes.calls);
    for failure in &writes.failures {
        println!("from {:.0?} to {:.0?}: {}", failure.began, failure.ended, failure.text);
    }
}

#[test]
fn certificates_of_a_minute_are_renewed_by_cert_manager_and_their_ca_too_without_a_failed_write()
-> Result<()> {
    let plan = Plan { lifetimes: Some(("60s", "150s")), ..Plan::default() };
    let site = Site::start("cert-manager-minutes", plan)?;
    let authority = site.part(AUTHORITY, "tls.crt")?;
    under_load(&site.cluster, || {
        let mut serving = site.part(SERVING, "tls.crt")?;
        // Each after two thirds of a minute, and the CA a minute before its end.
        for _ in 0..4 {
            serving = site.issued_after(SERVING, &serving)?;
            site.presents(&serving)?;
        }
        let renewed = site.part(SERVING, "ca.crt")?;
        ensure!(renewed != authority, "what is served is under the former CA still");
        site.trusted_everywhere(&renewed)
    })?;
    site.stop()
}
