//! The life of a Remediation: a pure phase machine (`machine`), the facts it asks for and the shell that gathers
//! them and carries its steps out (`shell`), and what is told about it (`telling`).

pub mod machine;
pub mod record;
pub mod shell;
pub mod telling;
