//! The life of a Remediation: a pure phase machine (`machine`) and how it writes a status (`record`), the shell that
//! gathers its facts and carries its steps out (`shell`), the watches that hand Remediations to it (`queue`),
//! which of them are kept no longer (`pruning`), what
//! somebody else has to say first (`approval`), what goes on around it (`surroundings`), what its action works with
//! (`means`), which statuses were refused (`refusals`), and what is told (`telling`, `audit`, `trace`).

pub mod approval;
pub mod audit;
pub mod autoscaler;
pub mod gitops;
pub mod machine;
pub mod means;
pub mod pruning;
pub mod queue;
pub mod record;
pub mod refusals;
pub mod shell;
pub mod surroundings;
pub mod telling;
pub mod tidings;
pub mod trace;
