//! Generates what is installed into a cluster: CRDs, RBAC, the default configuration, shipped policies and webhook
//! registrations, and the RBAC matrix operators audit by.
//!
//! Everything here is a function from values to Kubernetes objects; the files under `manifests/` and
//! `docs/rbac_matrix.yaml` are its output, and a test fails when they are stale. Does not live here: what a policy
//! means (`guard`), who fills in the CA bundle (`webhook`).

pub mod chart;
pub mod grants;
pub mod output;
pub mod rbac;
pub mod registration;
pub mod render;
pub mod roles;
