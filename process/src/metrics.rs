//! The metrics registry: names are written out in full by whoever registers them, nothing is prefixed or suffixed.

use std::sync::Arc;

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector,
};

pub use prometheus::Error;

/// The media type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A registry with what every process tells about itself. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    resident: Arc<IntGauge>,
}

impl Metrics {
    /// A registry that tells the component's version and its resident memory.
    pub fn new(component: &str) -> Result<Self, Error> {
        let registry = Registry::new();
        let build = Opts::new("smartops_build_info", "Always 1; the labels say what is running.")
            .const_label("version", env!("CARGO_PKG_VERSION"))
            .const_label("component", component);
        let build = IntGauge::with_opts(build)?;
        build.set(1);
        registry.register(Box::new(build))?;
        let resident = IntGauge::new(
            "process_resident_memory_bytes",
            "Memory of this process that is in RAM, in bytes.",
        )?;
        registry.register(Box::new(resident.clone()))?;
        Ok(Self { registry, resident: Arc::new(resident) })
    }

    /// Registers a collector made elsewhere.
    pub fn register(&self, collector: impl Collector + 'static) -> Result<(), Error> {
        self.registry.register(Box::new(collector))
    }

    /// A counter without labels.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, Error> {
        self.keep(IntCounter::new(name, help)?)
    }

    /// A counter for each set of labels.
    pub fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, Error> {
        self.keep(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// A whole-numbered gauge without labels.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, Error> {
        self.keep(IntGauge::new(name, help)?)
    }

    /// A whole-numbered gauge for each set of labels.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, Error> {
        self.keep(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge of fractions for each set of labels.
    pub fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
        self.keep(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A histogram for each set of labels. `buckets` are upper bounds, rising.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, Error> {
        let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.keep(HistogramVec::new(options, labels)?)
    }

    /// Everything registered, as Prometheus reads it.
    pub fn encode(&self) -> Result<String, Error> {
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    fn keep<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, Error> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

/// Resident memory as Linux tells it; absent elsewhere.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_out_exactly_as_given() {
        let metrics = Metrics::new("webhook").unwrap();
        let counters = metrics.counters("smartops_x_total", "X.", &["a"]).unwrap();
        counters.with_label_values(&["b"]).inc();
        let text = metrics.encode().unwrap();
        assert!(text.contains("smartops_x_total{a=\"b\"} 1\n"), "{text}");
        assert!(text.contains("smartops_build_info{component=\"webhook\",version="), "{text}");
    }

    #[test]
    fn a_name_cannot_be_registered_twice() {
        let metrics = Metrics::new("webhook").unwrap();
        metrics.counter("twice", "X.").unwrap();
        assert!(metrics.counter("twice", "X.").is_err());
    }
}
