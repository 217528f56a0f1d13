//! A written ChangeLedger: only the webhook writes down what it observed. Whoever edits a ledger edits what cooldowns,
//! steps and budgets rest on.

use super::answer::{Checked, flaw};
use smartops_common::names::is_webhook;

/// Checks who writes what stands in a ledger.
pub(super) fn check(user: &str) -> Checked {
    if is_webhook(user) {
        return Checked::default();
    }
    let reason = "is what the webhook observed, and written by it alone; leave it as it is, or ask for an exception where \
                  a cooldown or a budget that rests on it is in the way (docs/exceptions.md)";
    vec![flaw("spec", reason)].into()
}
