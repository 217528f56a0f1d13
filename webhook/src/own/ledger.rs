//! A written ChangeLedger: only the webhook writes down what it observed. Whoever edits a ledger edits what cooldowns,
//! steps and budgets rest on.

use smartops_common::names::is_webhook;
use smartops_guard::registration::{PROBE, REACHED};

use super::answer::{Checked, flaw};
use crate::admission::envelope::Request;

/// Whether this is the webhook's own trial whether the API server reaches it, which any replica answers.
pub(super) fn is_trial(request: &Request<'_>) -> bool {
    is_webhook(&request.user_info.username) && request.name == PROBE && request.is_dry_run()
}

/// Checks who writes what stands in a ledger.
pub(super) fn check(request: &Request<'_>) -> Checked {
    if is_webhook(&request.user_info.username) {
        return Vec::from_iter(is_trial(request).then(|| flaw("metadata.name", REACHED))).into();
    }
    let reason = "is what the webhook observed, and written by it alone; leave it as it is, or ask for an exception where \
                  a cooldown or a budget that rests on it is in the way (docs/exceptions.md)";
    vec![flaw("spec", reason)].into()
}
