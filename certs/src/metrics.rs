//! What is counted about certificates, in both programs alike.

use prometheus::{IntCounterVec, IntGaugeVec};
use smartops_process::metrics::{Error, Metrics};

use crate::keeper;

/// Handles to the metrics about certificates. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CertificateMetrics {
    /// When the CA, and the certificate presented now, end.
    pub expiry: IntGaugeVec,
    /// Certificates issued, by which and why.
    pub rotations: IntCounterVec,
    /// Looks that brought no good certificate, by what failed.
    pub errors: IntCounterVec,
}

impl CertificateMetrics {
    /// Registers them all.
    pub fn new(metrics: &Metrics) -> Result<Self, Error> {
        let kept = Self {
            expiry: metrics.gauges(
                "smartops_certificate_expiry_timestamp_seconds",
                "When the certificate ends, in seconds since 1970.",
                &["certificate"],
            )?,
            rotations: metrics.counters(
                "smartops_certificate_rotations_total",
                "Certificates this replica issued and stored.",
                &["certificate", "reason"],
            )?,
            errors: metrics.counters(
                "smartops_certificate_errors_total",
                "Looks at the certificate that failed.",
                &["kind"],
            )?,
        };
        // There from the start: what never failed is told from what is not counted.
        for kind in keeper::Error::KINDS {
            kept.errors.with_label_values(&[kind]);
        }
        Ok(kept)
    }
}
