//! The chart's way into a cluster and onwards: install, test, upgrade, rollback.

use anyhow::Result;

use super::report;
use super::site::{self, Site};

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn one_helm_command_installs_what_then_tests_itself() -> Result<()> {
    site::with(|site| {
        if site.is_installed()? {
            site.uninstall(&[])?;
        }
        report::took("helm install --wait", site.install(&Site::chart(), &[])?)?;
        site.wait_judged()?;
        let (time, said) = site.test()?;
        report::took("helm test", time)?;
        assert!(said.contains("Succeeded"), "{said}");
        site.wait_whole()
    })
}

#[test]
#[ignore = "needs real nodes: cargo xtask test --node"]
fn an_upgrade_from_the_previous_chart_and_the_rollback_fail_no_write() -> Result<()> {
    site::with(|site| {
        if site.is_installed()? {
            site.uninstall(&[])?;
        }
        site.install(&Site::previous_chart(), &[])?;
        site.ready()?;
        let mut times = Vec::new();
        let upgrade = site.under_writes(|_| {
            times.push(site.upgrade(&Site::chart(), &["--set", "log.level=debug"])?);
            site.wait_whole()
        })?;
        let rollback = site.under_writes(|_| {
            times.push(site.roll_back()?);
            site.wait_whole()
        })?;
        report::took("helm upgrade --wait from the previous chart", times[0])?;
        report::took("helm rollback --wait", times[1])?;
        report::stream("writes during the upgrade", &upgrade)?;
        report::stream("writes during the rollback", &rollback)?;
        assert_eq!((upgrade.failures, rollback.failures), (vec![], vec![]));
        site.wait_judged()
    })
}
