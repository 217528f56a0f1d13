//! The life of a Remediation: a pure phase machine (`machine`) and how it writes a status (`record`), the shell that
//! gathers its facts and carries its steps out (`shell`), the watch that hands Remediations to it (`queue`), and what
//! is told about them (`telling`).

pub mod machine;
pub mod queue;
pub mod record;
pub mod shell;
pub mod telling;
