//! Where calls of the API server come out: at the webhook's URL, or at every replica behind its Service; and which
//! certificate is served there. Observed from outside, as a caller would. What follows from it is the certificate
//! keeper's and the registrar's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use futures::future::join_all;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::api::ListParams;
use kube::{Api, Client};
use rustls::pki_types::ServerName;
use smartops_certs::callers::{Answer, Places, Serving};
use smartops_certs::{pem, trust};
use smartops_common::names;
use smartops_process::client::{Error, deadline};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one call to the API server may take.
const CALL: Duration = Duration::from_secs(3);
/// How long one place has to show its certificate. All are asked at once.
const DIAL: Duration = Duration::from_secs(2);
/// The port of a URL that names none.
const HTTPS: u16 = 443;

/// The places at which the API server comes out.
pub struct Doors {
    client: Client,
    /// The base URL, where it goes by one.
    url: Option<String>,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").field("url", &self.url).finish_non_exhaustive()
    }
}

/// One place: where it is, and the name it is called by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    host: String,
    port: u16,
    name: String,
}

impl Doors {
    /// Those behind this base URL, or else behind the Service.
    pub fn new(client: Client, url: Option<String>) -> Arc<Self> {
        Arc::new(Self { client, url })
    }

    /// Whether the Service leads anywhere: whether an address behind it is ready and not about to go.
    pub(crate) async fn are_open(&self) -> Result<bool, Error> {
        let slices = self.slices().await?;
        Ok(slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()).any(is_open))
    }

    async fn slices(&self) -> Result<Vec<EndpointSlice>, Error> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), names::SYSTEM_NAMESPACE);
        let selector = format!("kubernetes.io/service-name={}", names::WEBHOOK_SERVICE);
        let params = ListParams::default().labels(&selector);
        let list =
            deadline("listing the webhook's EndpointSlices", CALL, api.list(&params)).await?;
        Ok(list.items)
    }

    async fn places(&self) -> Result<Vec<Place>, String> {
        if let Some(url) = &self.url {
            return place_of(url).map(|place| vec![place]);
        }
        let slices = self.slices().await.map_err(|error| error.to_string())?;
        let places = served(&slices);
        if places.is_empty() {
            return Err("nobody is behind the Service smartops-webhook".to_owned());
        }
        Ok(places)
    }

    async fn ask(&self, authority: &str) -> Serving {
        let places = match self.places().await {
            Ok(places) => places,
            Err(why) => return Serving::Unknown(why),
        };
        let connector = match trusting(authority) {
            Ok(connector) => connector,
            Err(why) => return Serving::Unknown(why),
        };
        verdict(join_all(places.iter().map(|place| place.shows(&connector))).await)
    }
}

impl Places for Doors {
    fn serve<'a>(&'a self, authority: &'a str) -> Answer<'a> {
        Box::pin(self.ask(authority))
    }
}

impl Place {
    /// Whether the leaf served here is one the connector trusts.
    async fn shows(&self, connector: &TlsConnector) -> Serving {
        let Ok(name) = ServerName::try_from(self.name.clone()) else {
            return Serving::Unknown(format!(
                "{:?} is no name a certificate can be for",
                self.name
            ));
        };
        let shake = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            connector.connect(name, stream).await.map(drop)
        };
        match tokio::time::timeout(DIAL, shake).await {
            Ok(Ok(())) => Serving::Yes,
            Ok(Err(error)) if is_distrust(&error) => {
                Serving::No(format!("{self} serves another certificate: {error}"))
            }
            Ok(Err(error)) => Serving::Unknown(format!("{self}: {error}")),
            Err(_) => Serving::Unknown(format!("{self} did not answer within {DIAL:?}")),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, .. } = self;
        match host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, *port).fmt(f),
            Err(_) => write!(f, "{host}:{port}"),
        }
    }
}

/// What holds of all places: one that serves something else is enough, and one that is not known leaves it open.
fn verdict(shown: Vec<Serving>) -> Serving {
    let (mut no, mut unknown) = (Vec::new(), Vec::new());
    for place in shown {
        match place {
            Serving::Yes => {}
            Serving::No(why) => no.push(why),
            Serving::Unknown(why) => unknown.push(why),
        }
    }
    match (no.is_empty(), unknown.is_empty()) {
        (false, _) => Serving::No(no.join("; ")),
        (true, false) => Serving::Unknown(unknown.join("; ")),
        (true, true) => Serving::Yes,
    }
}

/// Whether a handshake ended because the certificate shown is not trusted.
fn is_distrust(error: &std::io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(_)))
}

/// A client that trusts the first of these certificates alone.
fn trusting(authority: &str) -> Result<TlsConnector, String> {
    let first = pem::first(authority.as_bytes()).map_err(|error| format!("the CA is {error}"))?;
    trust::connector([first])
}

/// Whether new calls come out here.
fn is_open(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    conditions.ready.unwrap_or(true) && !conditions.terminating.unwrap_or(false)
}

/// Whether calls may still come out here: one that is about to go serves those that were under way.
fn is_serving(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    conditions.serving.or(conditions.ready).unwrap_or(true)
}

/// Every address behind the Service that serves.
fn served(slices: &[EndpointSlice]) -> Vec<Place> {
    let mut places = Vec::new();
    for slice in slices {
        let ports = slice.ports.iter().flatten().filter_map(|port| port.port);
        let ports: Vec<u16> = ports.filter_map(|port| u16::try_from(port).ok()).collect();
        let serving = slice.endpoints.iter().flatten().filter(|endpoint| is_serving(endpoint));
        // All addresses of an endpoint lead to the same pod.
        for address in serving.filter_map(|endpoint| endpoint.addresses.first()) {
            places.extend(ports.iter().map(|port| Place {
                host: address.clone(),
                port: *port,
                name: format!("{}.{}.svc", names::WEBHOOK_SERVICE, names::SYSTEM_NAMESPACE),
            }));
        }
    }
    places
}

/// The place of a base URL.
fn place_of(url: &str) -> Result<Place, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no URL: {error}"))?;
    let host = uri.host().ok_or_else(|| format!("{url:?} names no host"))?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let host = bare.parse::<IpAddr>().map_or_else(|_| host.to_owned(), |ip| ip.to_string());
    Ok(Place { port: uri.port_u16().unwrap_or(HTTPS), name: host.clone(), host })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use smartops_certs::bundle::Names;
    use smartops_certs::issue::{self, Lifetimes};
    use smartops_certs::resolver::Resolver;
    use smartops_process::clock::Clock;
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[test]
    fn a_url_names_one_place_and_the_name_its_certificate_is_for() {
        for (url, host, port, shown) in [
            ("https://127.0.0.1:8443", "127.0.0.1", 8443, "127.0.0.1:8443"),
            ("https://hooks.example/", "hooks.example", 443, "hooks.example:443"),
            ("https://[::1]:8443/a", "::1", 8443, "[::1]:8443"),
        ] {
            let (host, name) = (host.to_owned(), host.to_owned());
            let place = Place { host, port, name };
            assert_eq!(place.to_string(), shown);
            assert_eq!(place_of(url), Ok(place), "{url}");
        }
        assert!(place_of("/a").is_err());
    }

    fn slices() -> Vec<EndpointSlice> {
        let endpoint = |address: &str, conditions: serde_json::Value| json!({"addresses": [address, "10.9.9.9"], "conditions": conditions});
        let endpoints = [
            endpoint("10.0.0.1", json!({"ready": true, "serving": true, "terminating": false})),
            endpoint("10.0.0.2", json!({"ready": false, "serving": true, "terminating": true})),
            endpoint("10.0.0.3", json!({"ready": false, "serving": false, "terminating": false})),
            endpoint("10.0.0.4", json!({})),
        ];
        let slice = json!({
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "https", "port": 8443}],
        });
        vec![serde_json::from_value(slice).unwrap()]
    }

    #[test]
    fn of_the_service_every_address_that_serves_is_a_place_and_only_a_ready_one_is_open() {
        let places = served(&slices());
        let addresses: Vec<(&str, u16)> =
            places.iter().map(|place| (place.host.as_str(), place.port)).collect();
        assert_eq!(addresses, [("10.0.0.1", 8443), ("10.0.0.2", 8443), ("10.0.0.4", 8443)]);
        assert!(places.iter().all(|place| place.name == "smartops-webhook.smartops-system.svc"));
        let open: Vec<bool> = slices()[0].endpoints.iter().flatten().map(is_open).collect();
        assert_eq!(open, [true, false, false, true]);
    }

    #[test]
    fn a_pod_of_a_cluster_of_ipv6_is_a_place_and_told_in_brackets() {
        let slice = json!({
            "addressType": "IPv6", "endpoints": [{"addresses": ["fd00:10:244::7"], "conditions": {}}],
            "ports": [{"name": "https", "port": 8443}],
        });
        let places = served(&[serde_json::from_value(slice).unwrap()]);
        let [place] = places.as_slice() else { panic!("{places:?}") };
        assert_eq!((place.host.as_str(), place.port), ("fd00:10:244::7", 8443));
        assert_eq!(place.to_string(), "[fd00:10:244::7]:8443");
    }

    #[test]
    fn one_place_that_serves_something_else_decides_and_one_unknown_leaves_it_open() {
        let (no, unknown) = (Serving::No("a".into()), Serving::Unknown("b".into()));
        assert_eq!(verdict(vec![Serving::Yes, Serving::Yes]), Serving::Yes);
        assert_eq!(verdict(vec![Serving::Yes, unknown.clone()]), unknown);
        assert_eq!(verdict(vec![unknown, no.clone(), Serving::Yes]), no);
    }

    #[tokio::test]
    async fn a_place_shows_whether_its_leaf_is_under_that_authority() {
        shown_at("127.0.0.1").await;
        // A machine without IPv6 has no such place.
        if std::net::TcpListener::bind("[::1]:0").is_ok() {
            shown_at("::1").await;
        }
    }

    async fn shown_at(host: &str) {
        let (names, now) = (Names::new([host]).unwrap(), Clock.now());
        let issue = || issue::all(&names, Lifetimes::default(), now).unwrap();
        let (served, other) = (issue(), issue());
        let resolver = Resolver::new();
        resolver.present_chain(served.certificate.as_bytes(), served.key.as_bytes()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(resolver.server_config().unwrap()));
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let _ended = acceptor.accept(stream).await;
            }
        });
        let place = |port| Place { host: host.into(), port, name: host.into() };
        let shows =
            async |port, authority: &str| place(port).shows(&trusting(authority).unwrap()).await;
        assert_eq!(shows(port, &served.authority).await, Serving::Yes);
        assert!(matches!(shows(port, &other.authority).await, Serving::No(_)));
        let both = format!("{}{}", other.authority, served.authority);
        assert!(matches!(shows(port, &both).await, Serving::No(_)), "the first alone counts");
        let closed = TcpListener::bind((host, 0)).await.unwrap().local_addr().unwrap().port();
        assert!(matches!(shows(closed, &served.authority).await, Serving::Unknown(_)));
    }
}
