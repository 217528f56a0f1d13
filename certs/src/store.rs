//! The Secret all replicas share: `ca.crt`, `ca.key`, `tls.crt`, `tls.key`. Whoever writes first wins; the others
//! read what he wrote.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use smartops_process::client::{self, deadline};

use crate::bundle::Bundle;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);

/// The Secret, by name.
#[derive(Debug, Clone)]
pub struct Store {
    api: Api<Secret>,
    name: String,
    manager: String,
}

/// What is stored: the Secret as read, and the bundle in it, where it holds all four parts as text.
#[derive(Debug)]
pub struct Stored {
    secret: Secret,
    /// The bundle, or what is missing from it.
    pub bundle: Result<Bundle, String>,
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

    /// What is stored; `None` where the Secret does not exist.
    pub async fn load(&self) -> Result<Option<Stored>, client::Error> {
        let secret =
            deadline("reading the certificate's Secret", CALL, self.api.get_opt(&self.name))
                .await?;
        Ok(secret.map(|secret| Stored { bundle: read(&secret), secret }))
    }

    /// Stores a bundle in the place of `former`, unless somebody else wrote since that was read.
    pub async fn save(
        &self,
        former: Option<&Stored>,
        bundle: &Bundle,
    ) -> Result<Written, client::Error> {
        let params =
            PostParams { field_manager: Some(self.manager.clone()), ..PostParams::default() };
        let written = if let Some(former) = former {
            let mut secret = former.secret.clone();
            secret.metadata.managed_fields = None;
            secret.data.get_or_insert_default().extend(data(bundle));
            let call = self.api.replace(&self.name, &params, &secret);
            deadline("replacing the certificate's Secret", CALL, call).await
        } else {
            let secret = Secret {
                metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                type_: Some("kubernetes.io/tls".into()),
                data: Some(data(bundle)),
                ..Secret::default()
            };
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

fn data(bundle: &Bundle) -> BTreeMap<String, ByteString> {
    [
        ("ca.crt", &bundle.authority),
        ("ca.key", &bundle.authority_key),
        ("tls.crt", &bundle.certificate),
        ("tls.key", &bundle.key),
    ]
    .map(|(key, text)| (key.to_owned(), ByteString(text.clone().into_bytes())))
    .into()
}

fn read(secret: &Secret) -> Result<Bundle, String> {
    let part = |key: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        let bytes = bytes.ok_or_else(|| format!("the Secret has no {key}"))?;
        String::from_utf8(bytes.0.clone()).map_err(|_| format!("{key} in the Secret is no text"))
    };
    Ok(Bundle {
        authority: part("ca.crt")?,
        authority_key: part("ca.key")?,
        certificate: part("tls.crt")?,
        key: part("tls.key")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_reads_back_from_its_secret_and_a_missing_part_is_named() {
        let bundle = Bundle {
            authority: "a".into(),
            authority_key: "b".into(),
            certificate: "c".into(),
            key: "d".into(),
        };
        let mut secret = Secret { data: Some(data(&bundle)), ..Secret::default() };
        assert_eq!(read(&secret), Ok(bundle));
        secret.data.as_mut().unwrap().remove("ca.key");
        assert_eq!(read(&secret), Err("the Secret has no ca.key".into()));
    }
}
