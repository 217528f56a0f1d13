//! The HTTP API: it routes, authenticates, reads and answers. Which action a signal means, which target a name
//! means, what is done and how it ends are decided elsewhere.

pub mod actions;
pub mod alerts;
pub mod answer;
pub mod auth;
mod deciding;
pub mod gate;
pub mod keys;
pub mod limits;
pub mod openapi;
pub mod problem;
pub mod remediations;
pub mod signals;
pub mod signature;
pub mod switch;
pub mod tls;
pub mod verification;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Uri;
use axum::response::IntoResponse;
use kube::runtime::reflector::Store;
use serde_json::Value;
use smartops_common::remediation::{Remediation, Target};
use smartops_process::clock::Clock;

use self::auth::{Authenticator, Caller, Deed, Known};
use self::gate::{Gate, Line, Routes};
use self::limits::Limits;
use self::problem::Problem;
use self::remediations::watch::Watches;
use crate::cluster::Cluster;
use crate::intake::{self, Found};
use crate::metrics::ControllerMetrics;
use crate::policy::Policies;

/// What handlers work with.
#[derive(Debug)]
pub struct Api {
    /// The API server.
    pub cluster: Cluster,
    /// The Remediations as last watched, to wait for their ends.
    pub remediations: Store<Remediation>,
    /// Who is calling.
    pub authenticator: Authenticator,
    /// What signals lead to.
    pub policies: Policies,
    /// Who listens to what becomes of them.
    pub watches: Watches,
    /// How often one caller may ask.
    pub limits: Limits,
    /// The namespace meant where none is named.
    pub default_namespace: String,
    /// The prefix tried on names.
    pub prefix: String,
    /// The wall clock.
    pub clock: Clock,
    /// Counters.
    pub metrics: ControllerMetrics,
}

/// The routes; every other path and method is answered as problem+json too.
pub fn router(api: Arc<Api>) -> Router {
    routes().into_router(api)
}

/// Every route, as it is served and as the document tells it.
fn routes() -> Routes {
    Routes::default()
        .post("/v1/k8s/scale", Gate::CALL, actions::scale)
        .post("/v1/k8s/restart", Gate::CALL, actions::restart)
        .post("/v1/k8s/patch", Gate::CALL, actions::patch)
        .post("/v1/actions/execute", Gate::CALL, actions::execute)
        .post("/v1/signals/anomaly", Gate::of(Line::Signals), signals::anomaly)
        .post("/v1/signals/rca", Gate::of(Line::Signals), signals::rca)
        .post(alerts::PATH, Gate::ALERTS, alerts::alertmanager)
        .post("/v1/verify/deployment", Gate::CALL, verification::deployment)
        .get(remediations::LIST, Gate::bodiless(Line::Looks), remediations::list)
        .get(remediations::WATCH, Gate::bodiless(Line::Looks), remediations::watch)
        .get("/v1/remediations/{namespace}/{name}", Gate::bodiless(Line::Looks), remediations::show)
        .get("/v1/closed-loop", Gate::bodiless(Line::Switch), switch::show)
        .patch("/v1/closed-loop", Gate::of(Line::Switch), switch::turn)
        .patch("/close-loop/disable", Gate::bodiless(Line::Switch), switch::disable)
        .open("/openapi.json", openapi::document)
        .open("/docs", openapi::page)
}

/// Answers for paths and methods that do not exist, for the whole server.
pub fn with_fallbacks(router: Router) -> Router {
    router
        .fallback(async |request: Request| Problem::no_route(request.uri().path()).into_response())
        .method_not_allowed_fallback(async |request: Request| {
            Problem::no_method(request.method().as_str(), request.uri().path()).into_response()
        })
}

/// A request as handlers get it.
#[derive(Debug)]
pub struct Incoming {
    /// Who is calling.
    pub caller: Caller,
    /// The digest of the caller's `Idempotency-Key`, where one was sent.
    pub idempotency: Option<String>,
    /// Path and query.
    pub uri: Uri,
    /// The body, one JSON object; null where there is none and none is needed.
    pub body: Value,
}

impl Api {
    /// The Remediations as last watched; before they were listed nobody knows which there are.
    fn remediations(&self) -> Result<Vec<Arc<Remediation>>, Problem> {
        if !self.watches.is_listed() {
            return Err(Problem::not_informed("the Remediations"));
        }
        Ok(self.remediations.state())
    }

    /// Makes sure that what signals and alerts are decided by was seen: the routes are served before that.
    fn is_informed(&self) -> Result<(), Problem> {
        self.policies.are_listed()?;
        self.remediations().map(drop)
    }

    /// Finds the Deployment a caller's name means and makes sure the caller may touch it. A caller who may not is
    /// told so before being told which Deployments there are.
    pub async fn target(
        &self,
        caller: &Caller,
        deed: Deed,
        namespace: &str,
        name: &str,
    ) -> Result<Target, Problem> {
        Ok(self.found(caller, deed, namespace, name).await?.target)
    }

    /// The same, with what policies ask of it.
    pub async fn found(
        &self,
        caller: &Caller,
        deed: Deed,
        namespace: &str,
        name: &str,
    ) -> Result<Found, Problem> {
        let found = intake::lookup(&self.cluster, namespace, name, &self.prefix).await;
        let meant = found.as_ref().map_or(name, |found| found.target.name.as_str());
        self.check(caller, deed, namespace, meant).await?;
        found.map_err(Problem::from)
    }

    /// Makes sure the caller may do this to a Deployment.
    pub async fn check(
        &self,
        caller: &Caller,
        deed: Deed,
        namespace: &str,
        name: &str,
    ) -> Result<(), Problem> {
        if self.authenticator.may(caller, &self.cluster, deed, namespace, name).await? {
            return Ok(());
        }
        Err(match caller.known {
            Known::Key(_) => Problem::out_of_scope(&caller.name, deed.action, Some(namespace)),
            Known::Token(_) => {
                Problem::not_allowed(&caller.name, deed.verb, deed.subresource, namespace, name)
            }
        })
    }
}

#[cfg(test)]
mod tests;
