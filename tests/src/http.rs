//! Calling the programs' HTTP routes, with a deadline.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::crypto::aws_lc_rs;
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::authority::Authority;

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(90);

/// An HTTP answer, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The content type, empty when there is none.
    pub content_type: String,
    /// Seconds of `Retry-After`, where it was sent.
    pub retry_after: Option<u64>,
    /// The body as text.
    pub text: String,
    /// The body as JSON; null when it is none.
    pub body: Value,
}

/// A client of one base URL. Its clones share nothing; connections are not kept.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    headers: Vec<(String, String)>,
    authority: Option<Authority>,
    limit: Duration,
}

impl Client {
    /// A client that proves nothing.
    pub fn new(base: &str) -> Self {
        Self { base: base.to_owned(), headers: Vec::new(), authority: None, limit: LIMIT }
    }

    /// The same client giving up after five seconds: for whoever has somebody else to ask.
    #[must_use]
    pub fn quick(self) -> Self {
        Self { limit: Duration::from_secs(5), ..self }
    }

    /// The same client, to which this authority vouches for the server.
    #[must_use]
    pub fn trusting(self, authority: Authority) -> Self {
        Self { authority: Some(authority), ..self }
    }

    fn agent(&self) -> Result<Agent> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(self.limit))
            .max_idle_connections(0);
        let Some(authority) = &self.authority else { return Ok(config.build().into()) };
        let authority = Certificate::from_pem(authority.pem()?.as_bytes())?;
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::new_with_certs(&[authority]))
            .unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()));
        Ok(config.tls_config(tls.build()).build().into())
    }

    /// The same client sending one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same client with an API key.
    #[must_use]
    pub fn with_key(self, key: &str) -> Self {
        self.with_header("X-API-Key", key)
    }

    /// GET.
    pub fn get(&self, path: &str) -> Result<Answer> {
        self.get_with(path, &[])
    }

    /// GET with parameters, which are encoded for the URL.
    pub fn get_with(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Answer> {
        let mut request = self.agent()?.get(format!("{}{path}", self.base));
        for (name, value) in parameters {
            request = request.query(name, value);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = request.call().with_context(|| format!("GET {}{path}", self.base))?;
        read(answer)
    }

    /// POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.post_text(path, &body.to_string())
    }

    /// PATCH of JSON.
    pub fn patch(&self, path: &str, body: &Value) -> Result<Answer> {
        let mut request = self
            .agent()?
            .patch(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer =
            request.send(body.to_string()).with_context(|| format!("PATCH {}{path}", self.base))?;
        read(answer)
    }

    /// POST of any text that claims to be JSON.
    pub fn post_text(&self, path: &str, body: &str) -> Result<Answer> {
        let mut request = self
            .agent()?
            .post(format!("{}{path}", self.base))
            .header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = request.send(body).with_context(|| format!("POST {}{path}", self.base))?;
        read(answer)
    }
}

fn read(mut answer: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let header = |name: &str| {
        answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let content_type = header("content-type").unwrap_or_default();
    let retry_after = header("retry-after").and_then(|value| value.parse().ok());
    let status = answer.status().as_u16();
    let text = answer.body_mut().read_to_string().context("the answer broke off")?;
    let body = serde_json::from_str(&text).unwrap_or_default();
    Ok(Answer { status, content_type, retry_after, text, body })
}
