//! Generates the CRDs, RBAC, registrations and default policies under manifests/.
