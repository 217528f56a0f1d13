//! Which CAs SmartOps' registrations hand out at this moment. Where the certificate's Secret is lost they alone tell under
//! which CA replicas may still present. What follows from that is the certificate keeper's; what they should hand out is
//! the registrar's.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use smartops_certs::callers::{Bundles, Held};
use smartops_certs::pem;
use smartops_common::names;
use smartops_process::client::{Error, deadline};

/// How long one call to the API server may take.
const CALL: Duration = Duration::from_secs(3);

/// The registrations, as the API server has them.
pub struct HandedOut(Client);

impl std::fmt::Debug for HandedOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandedOut").finish_non_exhaustive()
    }
}

impl HandedOut {
    /// Read through this client.
    pub fn new(client: Client) -> Arc<Self> {
        Arc::new(Self(client))
    }

    async fn read(&self) -> Result<Vec<String>, Error> {
        let all = ListParams::default();
        let validating: Api<ValidatingWebhookConfiguration> = Api::all(self.0.clone());
        let mutating: Api<MutatingWebhookConfiguration> = Api::all(self.0.clone());
        let (validating, mutating) = tokio::try_join!(
            deadline("listing validating registrations", CALL, validating.list(&all)),
            deadline("listing mutating registrations", CALL, mutating.list(&all)),
        )?;
        let is_ours = |name: &str| names::REGISTRATIONS.contains(&name);
        let validating = validating.iter().filter(|c| is_ours(&c.name_any()));
        let mutating = mutating.iter().filter(|c| is_ours(&c.name_any()));
        let validating = validating.flat_map(|c| c.webhooks.iter().flatten());
        let mutating = mutating.flat_map(|c| c.webhooks.iter().flatten());
        let validating = validating.map(|webhook| &webhook.client_config);
        Ok(authorities(validating.chain(mutating.map(|webhook| &webhook.client_config))))
    }
}

impl Bundles for HandedOut {
    fn authorities(&self) -> Held<'_> {
        Box::pin(self.read())
    }
}

/// Every CA one of these trusts, once. What cannot be read is trusted by nobody.
fn authorities<'a>(calls: impl Iterator<Item = &'a WebhookClientConfig>) -> Vec<String> {
    let mut authorities = Vec::new();
    for bundle in calls.filter_map(|call| call.ca_bundle.as_ref()) {
        for authority in pem::certificates(&bundle.0).unwrap_or_default() {
            let authority = pem::encode(&authority);
            if !authorities.contains(&authority) {
                authorities.push(authority);
            }
        }
    }
    authorities
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn pem(body: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
    }

    #[test]
    fn every_authority_that_any_call_trusts_is_told_once_and_rubbish_never() {
        let call = |bundle: Option<&str>| WebhookClientConfig {
            ca_bundle: bundle.map(|text| ByteString(text.as_bytes().to_vec())),
            ..WebhookClientConfig::default()
        };
        let (new, old) = (pem("AAAA"), pem("BBBB"));
        let calls = [
            call(Some(&format!("{new}{old}"))),
            call(None),
            call(Some("rubbish")),
            call(Some(&old.replace('\n', "\r\n"))),
        ];
        assert_eq!(authorities(calls.iter()), [new, old]);
        assert!(authorities([call(None), call(Some(""))].iter()).is_empty());
    }
}
