//! Who may write what is SmartOps' own, by name: the two programs.

use smartops_common::names;

/// Whether this is the controller's ServiceAccount.
pub(super) fn is_controller(user: &str) -> bool {
    is(user, names::CONTROLLER_SERVICE_ACCOUNT)
}

/// Whether this is the webhook's ServiceAccount.
pub(super) fn is_webhook(user: &str) -> bool {
    is(user, names::WEBHOOK_SERVICE_ACCOUNT)
}

fn is(user: &str, account: &str) -> bool {
    user == names::service_account_user(names::SYSTEM_NAMESPACE, account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_programs_are_known_and_their_namesakes_are_not() {
        for (user, controller, webhook) in [
            ("system:serviceaccount:smartops-system:smartops-orchestrator", true, false),
            ("system:serviceaccount:smartops-system:smartops-webhook", false, true),
            ("system:serviceaccount:smartops-dev:smartops-orchestrator", false, false),
            ("smartops-webhook", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_controller(user), is_webhook(user)), (controller, webhook), "{user}");
        }
    }
}
