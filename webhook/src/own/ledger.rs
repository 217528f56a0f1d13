//! A written ChangeLedger: only the webhook writes down what it observed. Whoever edits a ledger edits what cooldowns,
//! steps and budgets rest on.

use smartops_common::names::is_webhook;
use smartops_guard::registration::{PROBE, REACHED};

use super::answer::{Checked, flaw};
use crate::admission::envelope::Request;

/// Checks who writes what stands in a ledger.
pub(super) fn check(request: &Request<'_>) -> Checked {
    if is_webhook(&request.user_info.username) {
        // Its own trial whether the API server reaches it, which any replica answers.
        let is_trial = request.name == PROBE && request.is_dry_run();
        return Vec::from_iter(is_trial.then(|| flaw("metadata.name", REACHED))).into();
    }
    let reason = "is what the webhook observed, and written by it alone; leave it as it is, or ask for an exception where \
                  a cooldown or a budget that rests on it is in the way (docs/exceptions.md)";
    vec![flaw("spec", reason)].into()
}
