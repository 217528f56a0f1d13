//! The SmartOps admission webhook.
