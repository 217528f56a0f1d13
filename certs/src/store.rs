//! The Secret all replicas share: `ca.crt` (the current CA first, then former ones), `ca.key`, `tls.crt`, `tls.key`. Only
//! the leader writes it; what is in it, and whose it is, is `content`'s.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use smartops_process::client::{self, deadline};

use crate::bundle::Bundle;
use crate::content::{self, Content};

/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);

/// The Secret, by name.
#[derive(Debug, Clone)]
pub struct Store {
    api: Api<Secret>,
    name: String,
    manager: String,
}

/// The Secret as it was read; none where it does not exist.
#[derive(Debug)]
pub struct Stored(Option<Secret>);

impl Stored {
    /// What is in it, for whoever issues certificates himself.
    pub fn content(&self) -> Content {
        self.0.as_ref().map_or(Content::Empty, content::read)
    }

    /// What somebody else keeps in it.
    pub fn foreign(&self) -> Result<content::Foreign, String> {
        self.0.as_ref().map_or_else(|| Err("it does not exist".to_owned()), content::read_foreign)
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is stored.
    Stored,
    /// Somebody else wrote first: read again.
    Raced,
}

impl Store {
    /// The Secret `name`; `manager` is the fieldManager of writes.
    pub fn new(api: Api<Secret>, name: impl Into<String>, manager: impl Into<String>) -> Self {
        Self { api, name: name.into(), manager: manager.into() }
    }

    /// The Secret's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is stored.
    pub async fn load(&self) -> Result<Stored, client::Error> {
        let call = self.api.get_opt(&self.name);
        deadline("reading the certificate's Secret", CALL, call).await.map(Stored)
    }

    /// Stores a bundle as ours in the place of `before`, unless somebody else wrote since that was read. `former_until`:
    /// when the last leaf of its former CAs ends.
    pub async fn save(
        &self,
        before: Stored,
        bundle: &Bundle,
        former_until: Option<Timestamp>,
    ) -> Result<Written, client::Error> {
        let params =
            PostParams { field_manager: Some(self.manager.clone()), ..PostParams::default() };
        let written = if let Some(mut secret) = before.0 {
            secret.metadata.managed_fields = None;
            content::write(&mut secret, bundle, former_until);
            let call = self.api.replace(&self.name, &params, &secret);
            deadline("replacing the certificate's Secret", CALL, call).await
        } else {
            let mut secret = Secret {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                type_: Some(content::TYPE.to_owned()),
                ..Secret::default()
            };
            content::write(&mut secret, bundle, former_until);
            let call = self.api.create(&params, &secret);
            deadline("creating the certificate's Secret", CALL, call).await
        };
        match written {
            Ok(_) => Ok(Written::Stored),
            Err(e) if e.is_conflict() || e.is_already_exists() || e.is_not_found() => {
                Ok(Written::Raced)
            }
            Err(error) => Err(error),
        }
    }
}
