//! Guardrail policies: the kind, what ships, the check that makes one fit to judge by, the index by namespace.
//! What a rule says lives in `rules`.

mod allowance;
mod compile;
mod coverage;
mod covered;
mod defaults;
mod fit;
mod index;
mod kind;
mod named;
mod relabel;
mod selector;
mod unjudged;

pub use self::allowance::ExceptionsSpec;
pub use self::compile::{CompileError, CompiledPolicy, Flaw, blind, compile};
pub(crate) use self::coverage::Reach;
pub use self::coverage::ends_a_pod;
pub use self::covered::Covered;
pub use self::defaults::shipped;
pub(crate) use self::fit::Fit;
pub use self::index::{Applied, Index};
pub use self::kind::{
    ConditionSpec, DecisionName, GuardrailPolicy, GuardrailPolicySpec, GuardrailPolicyStatus,
    KindMatch, Match, Mode, NamespaceMatch, OperationName, PolicyDecision, SubjectMatch,
    SubjectSet, crd,
};
pub(crate) use self::named::has_history;
