//! Who is calling: the holder of an API key, or of a Kubernetes token. A token's holder may do through the API what
//! the API server's authorizer lets them do themselves; a key's holder what the key is for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use smartops_common::action::ActionType;
use smartops_common::names;
use smartops_common::remediation::Source;

use super::keys::{Keys, Scope};
use super::problem::Problem;
use super::signature::{Claim, Seen as Signatures};
use crate::cluster::{Cluster, TokenUser};
use crate::payload::Invalid;

/// How long a token's owner is remembered: a revoked token is good no longer than this.
const REMEMBERED: Duration = Duration::from_secs(5);
/// Tokens remembered at once.
const MOST_REMEMBERED: usize = 1024;
/// Longest token, in bytes.
const LONGEST_TOKEN: usize = 16 * 1024;
const KEY_HEADER: &str = "x-api-key";
const SOURCE_HEADER: &str = "x-smartops-source";

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// As Remediations name them: `apikey:NAME`, or the Kubernetes user name.
    pub name: String,
    /// What kind of caller they say they are; for the record only.
    pub source: Source,
    /// How the caller was known.
    pub known: Known,
}

/// How a caller was known, and what follows from that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// By an API key, or a signature with one: what that is for.
    Key(Scope),
    /// By a Kubernetes token.
    Token(TokenUser),
}

/// What a caller is about to do, as keys and the API server's authorizer name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deed {
    /// As keys name it.
    pub action: &'static str,
    /// As the authorizer does.
    pub verb: &'static str,
    /// The group and plural of what is written.
    pub resource: (&'static str, &'static str),
    /// The subresource of that.
    pub subresource: Option<&'static str>,
}

/// What most is done to.
const DEPLOYMENTS: (&str, &str) = ("apps", "deployments");

impl Deed {
    /// Looking at a rollout.
    pub const VERIFY: Self =
        Self { action: "verify", verb: "get", resource: DEPLOYMENTS, subresource: None };

    /// An action.
    pub fn of(action: ActionType) -> Self {
        let (verb, resource, subresource) = match action {
            ActionType::Scale => ("patch", DEPLOYMENTS, Some("scale")),
            ActionType::EvictPod => ("create", ("", "pods"), Some("eviction")),
            ActionType::HpaBounds => ("patch", ("autoscaling", "horizontalpodautoscalers"), None),
            _ => ("patch", DEPLOYMENTS, None),
        };
        Self { action: action.as_str(), verb, resource, subresource }
    }
}

/// What the headers prove before the body was read.
#[derive(Debug)]
pub enum Presented {
    /// Who is calling.
    Caller(Caller),
    /// Who signed, if the body shows it.
    Signed(Claim, Source),
}

/// Owners of tokens by the token's digest, and when they were looked up.
type Owners = HashMap<[u8; 32], (Instant, Option<TokenUser>)>;

/// Authenticates callers.
#[derive(Debug, Default)]
pub struct Authenticator {
    keys: Keys,
    seen: Mutex<Owners>,
    signatures: Signatures,
}

impl Authenticator {
    /// Accepts these keys, and tokens the API server accepts.
    pub fn new(keys: Keys) -> Self {
        Self { keys, ..Self::default() }
    }

    /// What these headers prove; 401 where that is nothing.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<Presented, Problem> {
        let source = source(headers)?;
        if let Some(claim) =
            Claim::read(headers, now).map_err(|why| Problem::unauthenticated(&why))?
        {
            if !self.keys.signs(&claim.name) {
                return Err(Problem::unauthenticated("the signing key is not known"));
            }
            return Ok(Presented::Signed(claim, source));
        }
        if let Some(key) = headers.get(KEY_HEADER) {
            let Some((owner, scope)) = self.keys.owner(key.as_bytes()) else {
                return Err(Problem::unauthenticated("the API key is not known"));
            };
            return Ok(Presented::Caller(by_key(&owner, scope, source)));
        }
        let Some(token) = bearer(headers)? else {
            return Err(Problem::unauthenticated("no credentials were sent"));
        };
        let Some(user) = self.user(token, cluster).await? else {
            return Err(Problem::unauthenticated("the API server does not accept the token"));
        };
        let name = user.username.clone();
        Ok(Presented::Caller(Caller { name, source, known: Known::Token(user) }))
    }

    /// Who signed this request. A good signature is good once.
    pub fn verify(
        &self,
        (claim, source): (&Claim, Source),
        parts: &Parts,
        body: &Bytes,
        now: Timestamp,
    ) -> Result<Caller, Problem> {
        let path =
            parts.uri.path_and_query().map_or_else(|| parts.uri.path(), |path| path.as_str());
        let is_good = |secret: &[u8]| claim.is_by(secret, &parts.method, path, body);
        let Some(scope) = self.keys.signer(&claim.name, is_good) else {
            return Err(Problem::unauthenticated(
                "the signature is not of this request by that key",
            ));
        };
        self.signatures.take(claim, now).map_err(Problem::unauthenticated)?;
        Ok(by_key(&claim.name, scope, source))
    }

    /// Whether the caller may do this to a Deployment, or to what belongs to it.
    pub async fn may(
        &self,
        caller: &Caller,
        cluster: &Cluster,
        deed: Deed,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Problem> {
        match &caller.known {
            Known::Key(scope) => Ok(scope.covers(deed.action, Some(namespace))),
            Known::Token(user) => {
                let Deed { verb, resource, subresource, .. } = deed;
                // Which pod or autoscaler it will be is not known yet: it has to be any of the namespace.
                let name = if resource == DEPLOYMENTS { name } else { "" };
                let place = (Some(namespace), name);
                Ok(cluster.may(user, verb, resource, subresource, place).await?)
            }
        }
    }

    /// Whether the caller may turn the kill switch.
    pub async fn may_switch(&self, caller: &Caller, cluster: &Cluster) -> Result<bool, Problem> {
        match &caller.known {
            Known::Key(scope) => Ok(scope.covers("closed-loop", None)),
            Known::Token(user) => {
                let configs = (names::GROUP, "smartopsconfigs");
                let place = (None, names::CONFIG_NAME);
                Ok(cluster.may(user, "patch", configs, Some("status"), place).await?)
            }
        }
    }

    async fn user(&self, token: &str, cluster: &Cluster) -> Result<Option<TokenUser>, Problem> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((at, user)) = seen.get(&digest)
                && at.elapsed() < REMEMBERED
            {
                return Ok(user.clone());
            }
        }
        let user = cluster.token_user(token).await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, (at, _)| at.elapsed() < REMEMBERED);
        if seen.len() < MOST_REMEMBERED {
            seen.insert(digest, (Instant::now(), user.clone()));
        }
        Ok(user)
    }
}

fn by_key(owner: &str, scope: Scope, source: Source) -> Caller {
    Caller { name: format!("apikey:{owner}"), source, known: Known::Key(scope) }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = value
        .to_str()
        .ok()
        .and_then(|v| v.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty() && token.len() <= LONGEST_TOKEN);
    match token {
        Some(token) => Ok(Some(token)),
        None => Err(Problem::unauthenticated("Authorization is not `Bearer TOKEN`")),
    }
}

fn source(headers: &HeaderMap) -> Result<Source, Problem> {
    let Some(value) = headers.get(SOURCE_HEADER) else { return Ok(Source::User) };
    match value.as_bytes() {
        b"user" => Ok(Source::User),
        b"policy-engine" => Ok(Source::PolicyEngine),
        b"ai-agent" => Ok(Source::AiAgent),
        _ => Err(Problem::from(Invalid {
            field: "X-SmartOps-Source".into(),
            problem: "is no known source".into(),
            allowed: "send user, policy-engine or ai-agent, or leave the header out".into(),
        })),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            header::HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn what_a_caller_must_be_allowed_is_what_the_action_writes() {
        for (action, expected) in [
            (ActionType::Scale, ("patch", "deployments", Some("scale"))),
            (ActionType::Rollback, ("patch", "deployments", None)),
            (ActionType::Pause, ("patch", "deployments", None)),
            (ActionType::EvictPod, ("create", "pods", Some("eviction"))),
            (ActionType::HpaBounds, ("patch", "horizontalpodautoscalers", None)),
        ] {
            let Deed { verb, resource, subresource, .. } = Deed::of(action);
            assert_eq!((verb, resource.1, subresource), expected, "{action}");
        }
    }

    #[test]
    fn a_bearer_token_is_read_and_other_schemes_are_refused() {
        assert_eq!(bearer(&headers("authorization", "Bearer abc")).unwrap(), Some("abc"));
        assert_eq!(bearer(&headers("authorization", "bearer abc")).unwrap(), Some("abc"));
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        for value in ["Basic abc", "Bearer", "Bearer ", "abc"] {
            let problem = bearer(&headers("authorization", value)).unwrap_err();
            assert_eq!(problem.status.as_u16(), 401, "{value}");
        }
    }

    #[test]
    fn a_caller_may_say_what_it_is_but_not_that_it_is_the_loop() {
        assert_eq!(source(&HeaderMap::new()).unwrap(), Source::User);
        let agent = source(&headers("x-smartops-source", "ai-agent"));
        assert_eq!(agent.unwrap(), Source::AiAgent);
        let problem = source(&headers("x-smartops-source", "closed-loop")).unwrap_err();
        assert_eq!(problem.status.as_u16(), 400);
    }
}
