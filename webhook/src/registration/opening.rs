//! When people's registrations let pass what nobody answers: where the configuration asks for a backstop, not before one
//! stands. Pure.

use smartops_common::config::Outage;

/// What the registrations are to say of an outage. `is_open`: they let people's writes pass already; `is_backed`: what
/// the API server judges by itself stands. What was opened once stays so until the configuration asks for something
/// else: a rule that cannot be written later on locks nobody out.
pub(super) fn outage(asked: Outage, is_open: bool, is_backed: bool) -> Outage {
    match asked {
        Outage::Backstop if !is_open && !is_backed => Outage::Fail,
        asked => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_opened_before_the_backstop_stands_and_what_is_open_stays_so() {
        let rows = [
            (Outage::Backstop, false, false, Outage::Fail),
            (Outage::Backstop, false, true, Outage::Backstop),
            (Outage::Backstop, true, false, Outage::Backstop),
            (Outage::Backstop, true, true, Outage::Backstop),
            (Outage::Fail, true, true, Outage::Fail),
            (Outage::Ignore, false, false, Outage::Ignore),
        ];
        for (asked, is_open, is_backed, expected) in rows {
            let said = outage(asked, is_open, is_backed);
            assert_eq!(said, expected, "{asked:?} {is_open} {is_backed}");
        }
    }
}
