//! The SmartOps remediation controller.
