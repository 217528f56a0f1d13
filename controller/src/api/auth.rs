//! Who is calling: the holder of an API key, or of a Kubernetes token. A token's holder may do through the API what
//! the API server's authorizer lets them do themselves; a key's holder may use every route.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use smartops_common::remediation::Source;

use super::keys::Keys;
use super::problem::Problem;
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
    /// The Kubernetes user, where a token was shown.
    pub user: Option<TokenUser>,
}

/// Owners of tokens by the token's digest, and when they were looked up.
type Seen = HashMap<[u8; 32], (Instant, Option<TokenUser>)>;

/// Authenticates callers.
#[derive(Debug, Default)]
pub struct Authenticator {
    keys: Keys,
    seen: Mutex<Seen>,
}

impl Authenticator {
    /// Accepts these keys, and tokens the API server accepts.
    pub fn new(keys: Keys) -> Self {
        Self { keys, seen: Mutex::default() }
    }

    /// Who sent these headers; 401 where that cannot be told.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        cluster: &Cluster,
    ) -> Result<Caller, Problem> {
        let source = source(headers)?;
        if let Some(key) = headers.get(KEY_HEADER) {
            let owner = self.keys.owner(key.as_bytes());
            let Some(owner) = owner else {
                return Err(Problem::unauthenticated("the API key is not known"));
            };
            return Ok(Caller { name: format!("apikey:{owner}"), source, user: None });
        }
        let Some(token) = bearer(headers)? else {
            return Err(Problem::unauthenticated("no credentials were sent"));
        };
        match self.user(token, cluster).await? {
            Some(user) => Ok(Caller { name: user.username.clone(), source, user: Some(user) }),
            None => Err(Problem::unauthenticated("the API server does not accept the token")),
        }
    }

    /// Whether the caller may use `verb` on this Deployment.
    pub async fn may(
        &self,
        caller: &Caller,
        cluster: &Cluster,
        verb: &str,
        subresource: Option<&str>,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Problem> {
        match &caller.user {
            None => Ok(true),
            Some(user) => Ok(cluster.may(user, verb, subresource, namespace, name).await?),
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
