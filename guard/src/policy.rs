//! Guardrail policies: the kind, what ships, the check that makes one fit to judge by, the index by namespace.
//! What a rule says lives in `rules`.

mod compile;
mod defaults;
mod index;
mod kind;
mod selector;

pub use self::compile::{CompileError, CompiledPolicy, Flaw, blind, compile};
pub use self::defaults::shipped;
pub use self::index::{Applied, Index};
pub use self::kind::{
    ConditionSpec, GuardrailPolicy, GuardrailPolicySpec, GuardrailPolicyStatus, KindMatch, Match,
    Mode, NamespaceMatch, OperationName, SubjectMatch, SubjectSet, crd,
};
