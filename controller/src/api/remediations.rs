//! `/v1/remediations`: what was asked for, by whom, and what became of it, to be listed, looked at and watched. They are
//! shown as they stand in etcd; nothing is changed here. Which ones are meant is `filter`'s, the stream of changes is
//! `watch`'s.

pub mod filter;
pub mod watch;

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use smartops_common::names;
use smartops_common::remediation::Remediation;

use self::filter::{Filter, Page};
use super::auth::{Caller, Known};
use super::problem::Problem;
use super::{Api, Incoming};

/// The list's path.
pub const LIST: &str = "/v1/remediations";
/// The watch's path.
pub const WATCH: &str = "/v1/remediations/watch";
/// What keys call the right to look.
pub const READ: &str = "read";

/// `GET /v1/remediations`
pub async fn list(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let filter = Filter::read(&incoming.uri)?;
    may_look(&api, &incoming.caller, "list", filter.namespace.as_deref(), "").await?;
    let all = api.remediations()?;
    let Page { items, next } = filter.page(&all)?;
    let items: Vec<Value> = items.into_iter().map(shown).collect();
    Ok(Json(json!({"items": items, "continue": next})).into_response())
}

/// `GET /v1/remediations/{namespace}/{name}`, as it stands this moment.
pub async fn show(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let mut segments = incoming.uri.path().rsplit('/');
    let (Some(name), Some(namespace)) = (segments.next(), segments.next()) else {
        return Err(Problem::no_route(incoming.uri.path()));
    };
    may_look(&api, &incoming.caller, "get", Some(namespace), name).await?;
    // What is no name of an object would lead the API server elsewhere.
    if !is_name(namespace) || !is_name(name) {
        return Err(Problem::no_remediation(namespace, name));
    }
    match api.cluster.remediation(namespace, name).await? {
        Some(remediation) => Ok(Json(shown(&remediation)).into_response()),
        None => Err(Problem::no_remediation(namespace, name)),
    }
}

/// `GET /v1/remediations/watch`: what there is, then every change, as Server-Sent Events.
pub async fn watch(api: Arc<Api>, incoming: Incoming) -> Result<Response, Problem> {
    let filter = Filter::read(&incoming.uri)?;
    may_look(&api, &incoming.caller, "watch", filter.namespace.as_deref(), "").await?;
    watch::stream(&api.watches, &api.remediations, filter)
}

/// Where a Remediation is shown.
pub fn location(remediation: &Remediation) -> String {
    format!(
        "/v1/remediations/{}/{}",
        remediation.metadata.namespace.as_deref().unwrap_or_default(),
        remediation.metadata.name.as_deref().unwrap_or_default(),
    )
}

/// A Remediation as it is shown: what was asked and what became of it, as in etcd.
fn shown(remediation: &Remediation) -> Value {
    let metadata = &remediation.metadata;
    json!({
        "namespace": metadata.namespace,
        "name": metadata.name,
        "uid": metadata.uid,
        "createdAt": metadata.creation_timestamp,
        "phase": remediation.phase(),
        "spec": remediation.spec,
        "status": remediation.status.clone().unwrap_or_default(),
        "location": location(remediation),
    })
}

async fn may_look(
    api: &Api,
    caller: &Caller,
    verb: &str,
    namespace: Option<&str>,
    name: &str,
) -> Result<(), Problem> {
    let may = match &caller.known {
        Known::Key(scope) => scope.covers(READ, namespace),
        Known::Token(user) => {
            let remediations = (names::GROUP, "remediations");
            api.cluster.may(user, verb, remediations, None, (namespace, name)).await?
        }
    };
    if may { Ok(()) } else { Err(Problem::may_not_look(&caller.name, verb, namespace)) }
}

/// Whether it can be an object's name in a path.
fn is_name(text: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    (1..=253).contains(&text.len())
        && text.chars().all(is_inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use smartops_common::action::Action;

    use super::*;
    use crate::fixture::remediation;

    #[test]
    fn a_remediation_is_shown_with_all_that_was_asked_and_became_of_it() {
        let r = remediation("a", Action::scale_to(5));
        let shown = shown(&r);
        assert_eq!(shown["phase"], "Pending");
        assert_eq!(shown["spec"]["action"]["scale"]["replicas"], 5);
        assert_eq!(shown["spec"]["requestedBy"], r.spec.requested_by);
        assert_eq!(shown["location"], "/v1/remediations/ns/a");
    }

    #[test]
    fn what_could_lead_the_api_server_elsewhere_is_no_name() {
        for (text, expected) in [
            ("web-0123456789abcdef", true),
            ("a.b", true),
            ("", false),
            ("..", false),
            ("a%2fstatus", false),
            ("Web", false),
        ] {
            assert_eq!(is_name(text), expected, "{text}");
        }
    }
}
