//! SmartOps on real nodes: pods that run, a webhook behind a Service, a chart put in by helm. Every test that
//! needs a node is ignored unless `cargo xtask test --node` made a network namespace for it; they share one machine, one
//! after the other.

mod failing;
mod images;
mod machine;
mod release;
mod removal;
mod report;
mod site;
mod upkeep;
