//! What a self-test looks at, and the sentence each finding makes. Pure; who asks is `self_test`'s.

use smartops_common::names;
use smartops_process::client::Error;

use super::answers::Judged;

/// Number of replicas that the shipped policies deny.
pub(super) const TOO_MANY: u32 = 99;
/// Number of replicas that they admit.
pub(super) const FEW: u32 = 2;
/// What to look at when the webhook is not heard.
const WHERE: &str =
    "look at the pods of the Deployment smartops-webhook in smartops-system, and at their log";

/// What one check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) what: &'static str,
    /// What is well, or what is wrong and where to look next.
    pub(super) told: Result<String, String>,
}

/// A registration, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registration {
    /// Its kind and name.
    pub(super) key: String,
    /// Whether the webhook always writes entries into it.
    pub(super) is_never_empty: bool,
    /// Of each entry, whether it says whom to trust; `None` where it does not stand.
    pub(super) entries: Option<Vec<bool>>,
}

/// Whether the webhook's leader has written every registration.
pub(super) fn registrations(found: &[Registration]) -> Finding {
    let what = "registrations";
    let mut wrong = Vec::new();
    for Registration { key, is_never_empty, entries } in found {
        match entries.as_deref() {
            None => wrong.push(format!("{key} is missing")),
            Some([]) if *is_never_empty => wrong.push(format!("{key} is empty")),
            Some(entries) if entries.contains(&false) => {
                wrong.push(format!("{key} does not say which CA to trust"));
            }
            Some(_) => {}
        }
    }
    if !wrong.is_empty() {
        let wrong = wrong.join(", ");
        return Finding {
            what,
            told: Err(format!("{wrong}: the webhook's leader writes them once it serves; {WHERE}")),
        };
    }
    let entries: usize = found.iter().flat_map(|r| &r.entries).map(Vec::len).sum();
    let told = format!("{} stand, with {entries} entries that say whom to trust", found.len());
    Finding { what, told: Ok(told) }
}

/// Whether the webhook answers about SmartOps' own kinds: it was asked for a Remediation that nobody may make by hand.
pub(super) fn own_kinds(judged: &Judged) -> Finding {
    let told = match judged {
        Judged::Denied(words) => Ok(format!("the webhook answers: {words}")),
        Judged::Admitted => Err(format!(
            "a Remediation in the controller's name was admitted: the API server did not ask the webhook; {WHERE}"
        )),
        Judged::Other(words) => {
            Err(format!("a Remediation was refused, and not by the webhook: {words}; {WHERE}"))
        }
        other => Err(in_the_way(other)),
    };
    Finding { what: "own kinds", told }
}

/// Whether the shipped policies hold: a Deployment with [`TOO_MANY`] replicas.
pub(super) fn too_many(judged: &Judged, namespace: &str) -> Finding {
    let told = match judged {
        Judged::Denied(words) => Ok(format!("{TOO_MANY} replicas are denied: {words}")),
        Judged::Admitted => Err(format!(
            "a Deployment with {TOO_MANY} replicas was admitted in {namespace}: see whether a GuardrailPolicy in mode \
             Enforce bounds replicas there (kubectl get guardrailpolicies) and whether the SmartOpsConfig leaves that \
             namespace out; where the shipped policies are not wanted, give --without-policies"
        )),
        other => Err(in_the_way(other)),
    };
    Finding { what: "denial", told }
}

/// Whether what the policies allow passes: its twin with [`FEW`].
pub(super) fn few(judged: &Judged, namespace: &str) -> Finding {
    let told = match judged {
        Judged::Admitted => Ok(format!("{FEW} replicas are admitted in {namespace}")),
        Judged::Denied(words) => Err(format!(
            "a Deployment with {FEW} replicas is denied in {namespace}, and the shipped policies would not: {words}"
        )),
        other => Err(in_the_way(other)),
    };
    Finding { what: "admission", told }
}

/// Whether the controller is ready: what came of asking it.
pub(super) fn controller(answer: Result<String, Error>, by: &str) -> Finding {
    let told = match answer {
        Ok(_) => Ok(format!("ready, asked by {by}")),
        Err(error) => Err(format!(
            "it does not say that it is ready, asked by {by}: {error}; look at the pods of the Deployment {} in {}, and at \
             their log",
            names::CONTROLLER_DEPLOYMENT,
            names::SYSTEM_NAMESPACE
        )),
    };
    Finding { what: "controller", told }
}

/// What kept a write from being judged.
fn in_the_way(judged: &Judged) -> String {
    match judged {
        Judged::Unanswered(words) => {
            format!("the API server got no answer from the webhook: {words}; {WHERE}")
        }
        Judged::NoRight(words) => {
            format!("this test lacks a right, which says nothing of SmartOps: {words}")
        }
        Judged::Other(words) | Judged::Denied(words) => {
            format!("something else than SmartOps was in the way: {words}")
        }
        Judged::Admitted => "it was admitted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::answers::tests::answered;
    use super::*;

    fn registration(key: &str, is_never_empty: bool, entries: Option<&[bool]>) -> Registration {
        Registration { key: key.to_owned(), is_never_empty, entries: entries.map(<[bool]>::to_vec) }
    }

    #[test]
    fn every_registration_has_to_stand_filled_and_trusting() {
        let full = || registration("full", true, Some(&[true, true]));
        for (other, word) in [
            (registration("a", false, Some(&[])), None),
            (registration("a", true, Some(&[true])), None),
            (registration("a", true, None), Some("a is missing")),
            (registration("a", true, Some(&[])), Some("a is empty")),
            (
                registration("a", false, Some(&[true, false])),
                Some("a does not say which CA to trust"),
            ),
        ] {
            let finding = registrations(&[full(), other]);
            match word {
                None => assert!(finding.told.is_ok(), "{finding:?}"),
                Some(word) => assert!(finding.told.unwrap_err().starts_with(word), "{word}"),
            }
        }
    }

    #[test]
    fn each_answer_means_something_else_to_each_question() {
        let words = |w: &str| w.to_owned();
        let denied = Judged::Denied(words("SmartOps denies CREATE"));
        let silent = Judged::Unanswered(words("failed calling webhook"));
        let no_right = Judged::NoRight(words("forbidden"));
        let quota = Judged::Other(words("exceeded quota"));
        for (judged, own, many, small) in [
            (&denied, true, true, false),
            (&Judged::Admitted, false, false, true),
            (&silent, false, false, false),
            (&no_right, false, false, false),
            (&quota, false, false, false),
        ] {
            assert_eq!(own_kinds(judged).told.is_ok(), own, "{judged:?}");
            assert_eq!(too_many(judged, "shop").told.is_ok(), many, "{judged:?}");
            assert_eq!(few(judged, "shop").told.is_ok(), small, "{judged:?}");
        }
        for (judged, word) in [
            (&silent, "got no answer from the webhook"),
            (&no_right, "says nothing of SmartOps"),
            (&quota, "something else than SmartOps"),
        ] {
            assert!(few(judged, "shop").told.unwrap_err().contains(word), "{word}");
        }
    }

    #[test]
    fn a_controller_that_does_not_answer_is_told_with_where_to_look() {
        assert!(controller(Ok("ready".to_owned()), "a").told.is_ok());
        let dead = controller(Err(answered(503, "ServiceUnavailable", "no endpoints")), "a");
        let told = dead.told.unwrap_err();
        assert!(
            told.contains("no endpoints") && told.contains("Deployment smartops-controller"),
            "{told}"
        );
    }
}
