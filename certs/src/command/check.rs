//! `smartops-certs check`: what each registration trusts against what is served to it, at its URL, or against what is in
//! the Secret, for a Service that only the API server reaches.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use hyper::Uri;
use jiff::Timestamp;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use rustls::pki_types::{CertificateDer, ServerName};
use smartops_common::names;
use smartops_process::client::{self, deadline};
use smartops_process::clock::Clock;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ClusterArgs;
use crate::bundle::Names;
use crate::inspect::{self, vouches};
use crate::store::Store;
use crate::{pem, trust};

/// How long one call of the API server, or one handshake, may take.
const CALL: Duration = Duration::from_secs(10);
/// The port of a URL that names none.
const HTTPS: u16 = 443;

/// Which cluster to check.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Secret that holds the webhook's certificate, for registrations that name a Service.
    #[arg(
        long,
        env = "SMARTOPS_CERTIFICATE_SECRET",
        default_value = names::WEBHOOK_CERTIFICATE_SECRET,
        value_name = "NAME"
    )]
    secret: String,
}

/// A way on which the API server comes, and what it trusts there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    goal: Goal,
    bundle: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Goal {
    Url { host: String, port: u16 },
    Service(String),
    Unreadable(String),
}

impl Way {
    fn of(config: &WebhookClientConfig) -> Self {
        let goal = match (&config.url, &config.service) {
            (Some(url), _) => match url.parse::<Uri>() {
                Ok(uri) if uri.host().is_some() => Goal::Url {
                    host: uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
                    port: uri.port_u16().unwrap_or(HTTPS),
                },
                _ => Goal::Unreadable(url.clone()),
            },
            (None, Some(service)) => {
                Goal::Service(format!("{}.{}.svc", service.name, service.namespace))
            }
            (None, None) => Goal::Unreadable("neither a URL nor a Service".to_owned()),
        };
        let bundle = config.ca_bundle.as_ref().map(|bundle| bundle.0.clone()).unwrap_or_default();
        Self { goal, bundle }
    }
}

/// A registration that should stand.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    /// Its kind and name.
    key: String,
    /// Whether it has entries whatever the policies ask for.
    is_never_empty: bool,
    /// Its ways without repetition; none where it does not stand.
    ways: Option<Vec<Way>>,
}

impl Found {
    fn new<'a>(
        kind: &str,
        name: &str,
        entries: Option<impl Iterator<Item = &'a WebhookClientConfig>>,
    ) -> Self {
        let ways = entries.map(|entries| {
            let mut ways: Vec<Way> = entries.map(Way::of).collect();
            ways.sort_unstable();
            ways.dedup();
            ways
        });
        let (key, is_never_empty) = (format!("{kind} {name}"), names::is_never_empty(name));
        Self { key, is_never_empty, ways }
    }

    /// What holds of it before any of its ways is tried: a fault, or that there is nothing to try.
    fn told(&self) -> Option<Result<&'static str, &'static str>> {
        match self.ways.as_deref() {
            None => Some(Err(
                "MISSING: nothing is asked through it. The webhook's leader writes it once it serves",
            )),
            Some([]) if self.is_never_empty => Some(Err(
                "EMPTY: nothing is asked through it. The webhook's leader fills it once it serves and was seen to be reached",
            )),
            Some([]) => Some(Ok("has no entries, since no policy asks for any")),
            Some(_) => None,
        }
    }
}

/// Checks every registration; whether all of them trust what is served.
pub(super) async fn run(args: &CheckArgs, out: &mut impl Write) -> anyhow::Result<bool> {
    let client = client::connect(args.cluster.kubeconfig.as_deref()).await?;
    let found = registrations(&client).await?;
    let secrets: Api<Secret> = Api::namespaced(client, &args.cluster.namespace);
    let stored = Store::new(secrets, &args.secret, "smartops-certs").load().await?;
    let stored = stored.foreign().map(|kept| kept.chain);
    let mut known = BTreeMap::new();
    let mut is_fine = true;
    for registration in &found {
        let name = &registration.key;
        if let Some(told) = registration.told() {
            is_fine &= told.is_ok();
            let (Ok(told) | Err(told)) = told;
            writeln!(out, "{name}: {told}")?;
        }
        for way in registration.ways.iter().flatten() {
            if !known.contains_key(way) {
                known.insert(way.clone(), verdict(way, &args.secret, &stored, Clock.now()).await);
            }
            match known.get(way) {
                Some(Ok(fine)) => writeln!(out, "{name}: {fine}")?,
                Some(Err(why)) => {
                    is_fine = false;
                    writeln!(out, "{name}: NOT TRUSTED: {why}")?;
                }
                None => {}
            }
        }
    }
    Ok(is_fine)
}

/// All there should be, by name: one that lost its label guards nothing less.
async fn registrations(client: &Client) -> anyhow::Result<Vec<Found>> {
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let what = "reading a registration";
    let mut all = Vec::new();
    for name in names::REGISTRATIONS {
        let stands = deadline(what, CALL, validating.get_opt(name)).await?;
        let entries = stands.as_ref().map(|c| c.webhooks.iter().flatten());
        let entries = entries.map(|entries| entries.map(|entry| &entry.client_config));
        all.push(Found::new("ValidatingWebhookConfiguration", name, entries));
        let stands = deadline(what, CALL, mutating.get_opt(name)).await?;
        let entries = stands.as_ref().map(|c| c.webhooks.iter().flatten());
        let entries = entries.map(|entries| entries.map(|entry| &entry.client_config));
        all.push(Found::new("MutatingWebhookConfiguration", name, entries));
    }
    Ok(all)
}

/// What is trusted on this way, as a sentence; or what is not.
async fn verdict(
    way: &Way,
    secret: &str,
    stored: &Result<String, String>,
    now: Timestamp,
) -> Result<String, String> {
    let authorities =
        pem::certificates(&way.bundle).map_err(|why| format!("its caBundle: {why}"))?;
    if authorities.is_empty() {
        return Err("its caBundle is empty".to_owned());
    }
    match &way.goal {
        Goal::Unreadable(what) => Err(format!("it leads nowhere: {what}")),
        Goal::Url { host, port } => {
            let shown = dial(host, *port, authorities).await.map_err(|why| format!("{why:#}"))?;
            let until = until(&shown)?;
            Ok(format!("trusts what {} serves until {until}", place(host, *port)))
        }
        Goal::Service(name) => {
            let chain = stored.as_ref().map_err(|why| format!("the Secret {secret:?}: {why}"))?;
            let until = trusted(&authorities, chain, name, now)
                .map_err(|why| format!("what is in the Secret {secret:?} is {why}"))?;
            Ok(format!("trusts what is in the Secret {secret:?} as {name} until {until}"))
        }
    }
}

/// When a chain ends that one of these CAs vouches for under this name.
fn trusted(
    authorities: &[CertificateDer<'_>],
    chain: &str,
    name: &str,
    now: Timestamp,
) -> Result<Timestamp, String> {
    let chain = pem::certificates(chain.as_bytes())?;
    let names = Names::new([name]).map_err(|bad| bad.join("; "))?;
    let mut verdict = Ok(());
    for authority in authorities {
        verdict = vouches(authority, &chain, &names, now);
        if verdict.is_ok() {
            break;
        }
    }
    verdict?;
    chain.first().ok_or_else(|| "no certificate".to_owned()).and_then(until)
}

fn until(certificate: &CertificateDer<'_>) -> Result<Timestamp, String> {
    inspect::read(certificate).map(|read| read.validity.until)
}

/// A place as a URL.
fn place(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("https://[{host}]:{port}")
    } else {
        format!("https://{host}:{port}")
    }
}

/// The leaf shown to whoever trusts these CAs and no others.
async fn dial(
    host: &str,
    port: u16,
    authorities: Vec<CertificateDer<'static>>,
) -> anyhow::Result<CertificateDer<'static>> {
    let connector = trust::connector(authorities).map_err(|why| anyhow!("its caBundle: {why}"))?;
    let name = ServerName::try_from(host.to_owned())?;
    let shake = async {
        let stream = TcpStream::connect((host, port)).await?;
        connector.connect(name, stream).await
    };
    let place = place(host, port);
    let shaken = timeout(CALL, shake).await.with_context(|| format!("{place} does not answer"))?;
    let stream = shaken.context(place)?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    Ok(shown.context("no certificate was shown")?.clone().into_owned())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use k8s_openapi::api::admissionregistration::v1::ServiceReference;

    use super::*;
    use crate::bundle::Bundle;
    use crate::issue::{self, Lifetimes};

    const NAME: &str = "smartops-webhook.smartops-system.svc";

    fn now() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().unwrap()
    }

    fn issued() -> Bundle {
        issue::all(&Names::new([NAME]).unwrap(), Lifetimes::default(), now()).unwrap()
    }

    fn by_service(bundle: &str) -> WebhookClientConfig {
        let service = ServiceReference {
            name: "smartops-webhook".into(),
            namespace: "smartops-system".into(),
            ..ServiceReference::default()
        };
        WebhookClientConfig {
            ca_bundle: Some(ByteString(bundle.as_bytes().to_vec())),
            service: Some(service),
            url: None,
        }
    }

    #[test]
    fn a_registration_that_is_gone_is_a_fault_and_an_empty_one_unless_it_may_be() {
        let way = by_service("");
        for (name, entries, told) in [
            (names::AUTOMATION_REGISTRATION, None, Some(false)),
            (names::AUTOMATION_REGISTRATION, Some(vec![]), Some(false)),
            (names::AUTOMATION_REGISTRATION, Some(vec![&way]), None),
            (names::OWN_REGISTRATION, None, Some(false)),
            (names::OWN_REGISTRATION, Some(vec![]), Some(false)),
            (names::PEOPLE_REGISTRATION, None, Some(false)),
            (names::PEOPLE_REGISTRATION, Some(vec![]), Some(true)),
            (names::PEOPLE_REGISTRATION, Some(vec![&way, &way]), None),
        ] {
            let count = entries.as_ref().map(Vec::len);
            let found = Found::new("Kind", name, entries.map(Vec::into_iter));
            assert_eq!(found.told().map(|told| told.is_ok()), told, "{name} {count:?}");
            // What is trusted is tried once a way, however many entries take it.
            assert_eq!(found.ways.map(|ways| ways.len()), count.map(|count| count.min(1)));
        }
    }

    #[test]
    fn every_way_of_a_registration_is_read() {
        let by = |url: &str| {
            let config = WebhookClientConfig { url: Some(url.into()), ..by_service("") };
            Way::of(&config).goal
        };
        let url = |host: &str, port| Goal::Url { host: host.to_owned(), port };
        assert_eq!(by("https://127.0.0.1:9443/validate"), url("127.0.0.1", 9443));
        assert_eq!(by("https://[::1]/validate"), url("::1", 443));
        assert_eq!(place("::1", 443), "https://[::1]:443");
        assert_eq!(place("web.example", 443), "https://web.example:443");
        assert!(matches!(by("/validate"), Goal::Unreadable(_)));
        assert_eq!(Way::of(&by_service("")).goal, Goal::Service(NAME.into()));
    }

    #[tokio::test]
    async fn a_service_is_trusted_by_what_is_in_the_secret_and_not_otherwise() {
        let (mine, other) = (issued(), issued());
        let stored = Ok(mine.certificate.clone());
        let table = [
            (mine.authority.clone(), &stored, true, "until"),
            (format!("{}{}", other.authority, mine.authority), &stored, true, "until"),
            (other.authority, &stored, false, "not valid for"),
            (String::new(), &stored, false, "caBundle is empty"),
            (mine.authority, &Err("it does not exist".to_owned()), false, "does not exist"),
        ];
        for (bundle, stored, is_fine, word) in table {
            let found = verdict(&Way::of(&by_service(&bundle)), "mine", stored, now()).await;
            assert_eq!(found.is_ok(), is_fine, "{found:?}");
            let text = found.unwrap_or_else(|why| why);
            assert!(text.contains(word), "{text}");
        }
    }
}
