//! Prometheus and Alertmanager beside a cluster, on loopback, as somebody who runs SmartOps has them: real programs, whose
//! settings are written here and checked by their own tools; and a service for them to look at. Does not live here: which
//! rule judges what they see (the tests and the demo), and where SmartOps listens ([`programs`](crate::programs)).
//!
//! Prometheus and Alertmanager are processes of the cluster they are started for: their logs lie beside the programs' and
//! they end before them, with [`stop`](Server::stop) or with the cluster, however that comes about.

mod alertmanager;
mod prometheus;
mod server;
mod service;

pub use self::alertmanager::{Alertmanager, Deliveries, Proof, Receiver};
pub use self::prometheus::{Job, Prometheus, Scraping};
pub use self::server::Server;
pub use self::service::{Load, Service};
