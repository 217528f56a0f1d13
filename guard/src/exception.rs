//! Exceptions: which rules of which policy somebody lifted for which object, why, and until when. The kind, the check
//! of what is written, and which refusals of one write an exception lifts. Who writes exceptions into the cluster and
//! how they come here is the shell's.

mod check;
mod kind;
mod reach;

use std::sync::Arc;

use jiff::Timestamp;
use smartops_common::denial::Rule;

pub use self::check::Exception;
pub use self::kind::{
    ExceptionSubjects, ExceptionTarget, GuardrailException, GuardrailExceptionSpec,
    GuardrailExceptionStatus, Liftable, crd,
};
use crate::judge::Needs;
use crate::policy::{CompiledPolicy, Reach};
use crate::rules::Case;

/// By what a refusal was lifted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lift {
    /// By an exception, until its end.
    Exception {
        /// When it ends.
        until: Timestamp,
        /// Its namespace and name.
        name: Arc<str>,
    },
    /// By whoever broke the glass.
    BreakGlass,
}

/// The exceptions that hold for one write under one policy.
#[derive(Debug, Default)]
pub(crate) struct Lifting<'a>(Vec<&'a Exception>);

impl<'a> Lifting<'a> {
    /// Those that lift any of these rules of the policy for this write.
    ///
    /// # Errors
    /// What is lacking to tell whether one is for this write.
    pub(crate) fn of(
        policy: &CompiledPolicy,
        reach: Reach,
        case: &Case<'a>,
        rules: &[Rule],
    ) -> Result<Self, Needs> {
        let mut holding = Vec::new();
        let mut needs = Needs::default();
        let exceptions: &'a [Arc<Exception>] = case.facts.exceptions;
        for exception in exceptions {
            let may_lift = exception.is_from(policy)
                && !exception.has_expired(case.now)
                && exception.is_for_subject(case.subject)
                && rules.iter().any(|rule| exception.lifts(*rule))
                && exception.flaws_under(Some(policy)).is_empty();
            if !may_lift {
                continue;
            }
            match exception.is_for(case, reach) {
                Ok(true) => holding.push(exception.as_ref()),
                Ok(false) => {}
                Err(lacking) => needs.also(Err(lacking)),
            }
        }
        needs.or_ok().map(|()| Self(holding))
    }

    /// By which of them a rule is lifted: the one that lasts longest.
    pub(crate) fn lift(&self, rule: Rule) -> Option<Lift> {
        let lifting = self.0.iter().filter(|exception| exception.lifts(rule));
        let lift = |exception: &&Exception| Lift::Exception {
            until: exception.expires_at(),
            name: Arc::clone(exception.name()),
        };
        lifting.map(lift).max()
    }
}

#[cfg(test)]
mod tests;
