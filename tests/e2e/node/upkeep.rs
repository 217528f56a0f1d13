//! What an operator does to a running SmartOps, and what it does to itself, each under a steady stream of writes that all
//! pass through the webhook and fail when it does not answer. None may.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use smartops_tests::wait::{Seen, eventually};

use super::report;
use super::site::{self, SYSTEM, Site};

const DEPLOYMENT: &str = "deployment/smartops-webhook";
const CONTROLLER: &str = "deployment/smartops-controller";
const LIMIT: Duration = Duration::from_mins(3);

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn a_rolling_restart_fails_no_write() -> Result<()> {
    site::with(|site| {
        site.ready()?;
        let admin = site.admin();
        let tally = site.under_writes(|_| {
            let before = names(&site.programs()?);
            for deployment in [DEPLOYMENT, CONTROLLER] {
                admin.run(&["rollout", "restart", "-n", SYSTEM, deployment])?.ok()?;
            }
            for deployment in [DEPLOYMENT, CONTROLLER] {
                let status = ["rollout", "status", "-n", SYSTEM, deployment, "--timeout=90s"];
                admin.run(&status)?.ok()?;
            }
            site.wait_whole()?;
            let after = names(&site.programs()?);
            assert!(after.iter().all(|name| !before.contains(name)), "{before:?} {after:?}");
            Ok(())
        })?;
        report::stream("rolling restart of both programs", &tally)?;
        assert_eq!(tally.failures, []);
        Ok(())
    })
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn scaling_to_one_replica_and_back_fails_no_write() -> Result<()> {
    site::with(|site| {
        site.ready()?;
        let admin = site.admin();
        let scale = |replicas: usize| -> Result<()> {
            let wanted = format!("--replicas={replicas}");
            admin.run(&["scale", "-n", SYSTEM, DEPLOYMENT, &wanted])?.ok()?;
            eventually(LIMIT, &format!("{replicas} webhooks are left"), || {
                let pods = site.webhooks()?;
                let ready = pods.iter().filter(|pod| site::is_ready(pod)).count();
                let seen = format!("{ready} of {} are ready", pods.len());
                Ok(Seen::when(ready == replicas && pods.len() == replicas, seen))
            })
        };
        let tally = site.under_writes(|_| {
            scale(1)?;
            scale(2)?;
            site.wait_whole()
        })?;
        report::stream("scale 2 to 1 to 2", &tally)?;
        assert_eq!(tally.failures, []);
        Ok(())
    })
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn policies_that_change_all_the_time_fail_no_write_and_hold_at_once() -> Result<()> {
    site::with(|site| {
        site.ready()?;
        let admin = site.admin();
        let tally = site.under_writes(|stream| {
            let limit = |max: u32| -> Result<()> {
                let patch =
                    format!("{{\"spec\":{{\"rules\":{{\"replicas\":{{\"max\":{max}}}}}}}}}");
                let arguments =
                    ["patch", "guardrailpolicy", "smartops-baseline", "--type=merge", "-p", &patch];
                admin.run(&arguments)?.ok().map(|_| ())
            };
            let mut max = 10;
            while stream.calls() < site::WRITES {
                max += 1;
                limit(max)?;
                eventually(LIMIT, "the new limit holds", || {
                    let (bad, good) = (site.try_replicas(max + 1)?, site.try_replicas(max)?);
                    let holds = bad.contains("denied the request") && good.is_empty();
                    Ok(Seen::when(holds, format!("{bad:?} {good:?}")))
                })?;
            }
            limit(10)?;
            site.wait_judged()
        })?;
        report::stream("policy reload, again and again", &tally)?;
        assert_eq!(tally.failures, []);
        Ok(())
    })
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn certificates_of_a_minute_are_renewed_with_their_ca_and_fail_no_write() -> Result<()> {
    site::with(|site| {
        site.ready()?;
        let short = ["certificates.lifetime=60s", "certificates.caLifetime=120s"];
        let mut seen = Rotations::default();
        let tally = site.under_writes(|_| {
            site.upgrade(&Site::chart(), &["--set", short[0], "--set", short[1]])?;
            eventually(LIMIT, "two leaves and one CA are renewed, and the old CA is gone", || {
                seen.look(&secret(site)?)?;
                Ok(Seen::when(
                    seen.leaves.len() > 3 && seen.authorities.len() > 2,
                    format!("{seen:?}"),
                ))
            })?;
            let first = seen.authorities.first().cloned().unwrap_or_default();
            eventually(LIMIT, "the first CA is trusted no more", || {
                seen.look(&secret(site)?)?;
                Ok(Seen::when(!seen.bundle.contains(&first), "it still is"))
            })
        })?;
        report::stream("leaf and CA renewed", &tally)?;
        report::line(&format!(
            "  seen: {} leaves, {} CAs, bundles of up to {}",
            seen.leaves.len(),
            seen.authorities.len(),
            seen.widest
        ))?;
        assert_eq!(tally.failures, []);
        assert!(seen.widest > 1, "the CAs never stood side by side: {seen:?}");
        let usual = ["certificates.lifetime=90d", "certificates.caLifetime=3650d"];
        site.upgrade(&Site::chart(), &["--set", usual[0], "--set", usual[1]])?;
        site.wait_whole()
    })
}

const END: &str = "-----END CERTIFICATE-----";

/// What was in the certificate's Secret, one after the other, as base64.
#[derive(Debug, Default)]
struct Rotations {
    leaves: Vec<String>,
    authorities: Vec<String>,
    bundle: String,
    widest: usize,
}

impl Rotations {
    fn look(&mut self, secret: &Value) -> Result<()> {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let data = |key: &str| -> Result<String> {
            let text = secret["data"][key].as_str().unwrap_or_default();
            let bytes = STANDARD.decode(text).context("a Secret without base64")?;
            String::from_utf8(bytes).context("a certificate that is no text")
        };
        let (leaf, bundle) = (data("tls.crt")?, data("ca.crt")?);
        let current = bundle.split_inclusive(END).next().unwrap_or_default().to_owned();
        self.widest = self.widest.max(bundle.matches(END).count());
        if self.leaves.last() != Some(&leaf) {
            self.leaves.push(leaf);
        }
        if self.authorities.last() != Some(&current) {
            self.authorities.push(current);
        }
        self.bundle = bundle;
        Ok(())
    }
}

fn secret(site: &Site) -> Result<Value> {
    site.admin().get(&["secret", "-n", SYSTEM, "smartops-webhook-certificate"])
}

fn names(pods: &[Value]) -> Vec<String> {
    pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned)).collect()
}
