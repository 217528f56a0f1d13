//! A cluster in which cert-manager itself runs, its controllers and its CA injector, and keeps the webhook's certificate
//! by what the chart gives it. Does not live here: what it is given (`given`), what is
//! done to the certificates, and what must come of it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use smartops_tests::chart::NAMESPACE;
use smartops_tests::cluster::Cluster;
use smartops_tests::components::CertManager;
use smartops_tests::identities::{self, Right};
use smartops_tests::process::{self, Launch};
use smartops_tests::programs::Program;
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{install, places, sample};

use super::given;
use crate::certificates::{SOON, judges, load, part};
use crate::support::bare;

/// The Certificate of the CA that the release brings.
pub(super) const AUTHORITY: &str = "smartops-ca";
/// The Certificate by which the webhook serves.
pub(super) const SERVING: &str = "smartops-webhook";
/// The registrations that anybody's write hangs on, and the trial's.
const REGISTRATIONS: &str = "validatingwebhookconfigurations,mutatingwebhookconfigurations";
/// The API group of its kinds.
const GROUP: &str = "cert-manager.io/";
/// cert-manager's programs.
const CONTROLLER: &str = "cert-manager-controller";
const INJECTOR: &str = "cert-manager-cainjector";
/// How a site is set up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plan {
    /// Flags of the injector besides its own.
    pub(super) injector: &'static [&'static str],
    /// How long certificates live, if not as the chart says: that by which the webhook serves, and its CA.
    pub(super) lifetimes: Option<(&'static str, &'static str)>,
}

/// A cluster with cert-manager and the webhook.
#[derive(Debug)]
pub(super) struct Site {
    /// The cluster.
    pub(super) cluster: Cluster,
}

impl Site {
    /// Sets everything up: the chart's objects first, then the webhook, which waits for what cert-manager then issues.
    pub(super) fn start(name: &str, plan: Plan) -> Result<Self> {
        let mut cluster = bare(name)?;
        install::install_base(&mut cluster, &|_| {})?;
        let cert_manager = CertManager::ensure(&|_| {})?;
        let admin = cluster.kubectl("admin");
        let crds = cert_manager.crds()?;
        let crds = crds.to_str().context("the folder of CRDs is no text")?;
        admin.run(&["apply", "--server-side", "-f", crds])?.ok()?;
        admin
            .run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"])?
            .ok()?;

        let objects = given::rendered(&[
            "--set",
            "certificates.source=cert-manager",
            "--set",
            "certificates.names={127.0.0.1}",
        ])?;
        let of_certificates: Vec<Value> = given::of_certificates(&objects, plan.lifetimes);
        admin.apply_all(&of_certificates)?;
        let flags = given::flags(&objects)?;
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Program::Webhook.launch(&cluster, &flags)?;

        let site = Self { cluster };
        site.run(&cert_manager, CONTROLLER, &given::controller_rights(), &[])?;
        site.run(&cert_manager, INJECTOR, &given::injector_rights(), plan.injector)?;
        Program::Webhook.wait_ready(&site.cluster).with_context(|| site.last_words())?;
        let developer = site.cluster.kubectl("developer");
        sample::roll_out(&developer, sample::NAMESPACE, sample::DEPLOYMENT, sample::REPLICAS)?;
        eventually(SOON, "it judges", || judges(&site.cluster))?;
        Ok(site)
    }

    /// Starts one of cert-manager's programs as a ServiceAccount that may do this.
    fn run(&self, programs: &CertManager, name: &str, rules: &Value, flags: &[&str]) -> Result<()> {
        identities::account(
            &self.cluster,
            name,
            &[Right { namespace: None, rules: rules.clone() }],
        )?;
        let kubeconfig = self.cluster.state.kubeconfig(name);
        let mut arguments = vec![format!("--kubeconfig={}", kubeconfig.display())];
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let program = programs.tool(name)?.to_path_buf();
        let launch = Launch { name, program, arguments, environment: Vec::new() };
        process::start(self.cluster.dir(), &launch).map(drop)
    }

    /// The Secret of a Certificate, as far as it is there and filled.
    pub(super) fn secret(&self, certificate: &str) -> Result<Option<Value>> {
        let name = if certificate == SERVING { "smartops-webhook-tls" } else { certificate };
        let arguments =
            ["-n", NAMESPACE, "get", "secret", name, "--ignore-not-found", "-o", "json"];
        let text = self.cluster.kubectl("admin").run(&arguments)?.ok()?;
        let secret: Option<Value> = serde_json::from_str(&text).ok();
        Ok(secret.filter(|secret| secret["data"]["tls.crt"].is_string()))
    }

    /// One part of that Secret, which must be there.
    pub(super) fn part(&self, certificate: &str, key: &str) -> Result<String> {
        let secret = self.secret(certificate)?;
        part(&secret.with_context(|| format!("{certificate} has no Secret"))?, key)
    }

    /// Asks cert-manager to issue a Certificate anew, as its own tool does, and waits until it has. Returns the newly
    /// issued one, PEM.
    pub(super) fn renew(&self, certificate: &str) -> Result<String> {
        let former = self.part(certificate, "tls.crt")?;
        let admin = self.cluster.kubectl("admin");
        let asked = json!({"status": {"conditions": [{
            "type": "Issuing", "status": "True", "reason": "ManuallyTriggered",
            "message": "Certificate re-issuance manually triggered",
        }]}});
        let arguments =
            ["-n", NAMESPACE, "patch", "certificate", certificate, "--subresource=status"];
        let patch = ["--type=merge", "-p", &asked.to_string()];
        admin.run(&[&arguments[..], &patch].concat())?.ok()?;
        self.issued_after(certificate, &former)
    }

    /// Deletes the Secret of a Certificate and waits until there is another. Returns the newly issued one, PEM.
    pub(super) fn lose(&self, certificate: &str) -> Result<String> {
        let former = self.part(certificate, "tls.crt")?;
        let secret = self.secret(certificate)?.context("there is no Secret")?;
        let name = secret["metadata"]["name"].as_str().unwrap_or_default();
        let arguments = ["-n", NAMESPACE, "delete", "secret", name];
        self.cluster.kubectl("admin").run(&arguments)?.ok()?;
        self.issued_after(certificate, &former)
    }

    /// Waits until cert-manager has issued another one than `former`; returns it, PEM.
    pub(super) fn issued_after(&self, certificate: &str, former: &str) -> Result<String> {
        eventually(2 * SOON, &format!("cert-manager issues {certificate} anew"), || {
            let found = self.secret(certificate)?.map(|secret| part(&secret, "tls.crt"));
            Ok(match found.transpose()? {
                Some(found) if found != former => Seen::Done(found),
                _ => Seen::NotYet("there is none, or it is the former one".to_owned()),
            })
        })
        .with_context(|| self.last_words())
    }

    /// Waits until the webhook presents this certificate, PEM, to whoever trusts what its Secret tells.
    pub(super) fn presents(&self, certificate: &str) -> Result<()> {
        let wanted = CertificateDer::from_pem_slice(certificate.as_bytes())?;
        eventually(SOON, "the webhook presents what was issued", || {
            let authority = self.part(SERVING, "ca.crt")?;
            let found = load::presented(&self.cluster, authority.as_bytes());
            Ok(match found {
                Ok(found) => Seen::when(found == *wanted, "it presents another one"),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
        .with_context(|| Program::Webhook.last_words(&self.cluster))
    }

    /// Every entry of every registration: by the name of the registration, its CA bundle.
    pub(super) fn bundles(&self) -> Result<Vec<(String, String)>> {
        let list = self.cluster.kubectl("admin").get(&[REGISTRATIONS])?;
        let mut bundles = Vec::new();
        for registration in list["items"].as_array().into_iter().flatten() {
            let name = registration["metadata"]["name"].as_str().unwrap_or_default();
            for entry in registration["webhooks"].as_array().into_iter().flatten() {
                let bundle = entry["clientConfig"]["caBundle"].as_str().unwrap_or_default();
                let bundle = String::from_utf8(STANDARD.decode(bundle)?)?;
                bundles.push((name.to_owned(), bundle));
            }
        }
        ensure!(bundles.len() > 5, "{bundles:?}");
        Ok(bundles)
    }

    /// Waits until every registration trusts this CA, PEM.
    pub(super) fn trusted_everywhere(&self, authority: &str) -> Result<()> {
        eventually(SOON, "every registration trusts the CA", || {
            let bundles = self.bundles()?;
            let without = bundles.iter().filter(|(_, bundle)| !bundle.contains(authority.trim()));
            let without: Vec<&str> = without.map(|(name, _)| name.as_str()).collect();
            Ok(Seen::when(without.is_empty(), format!("not {without:?}")))
        })
        .with_context(|| self.last_words())
    }

    /// How often each registration was changed so far, by its kind and name.
    pub(super) fn generations(&self) -> Result<BTreeMap<String, u64>> {
        let list = self.cluster.kubectl("admin").get(&[REGISTRATIONS])?;
        let generation = |object: &Value| {
            let (kind, metadata) = (&object["kind"], &object["metadata"]);
            Some((format!("{kind} {}", metadata["name"]), metadata["generation"].as_u64()?))
        };
        Ok(list["items"].as_array().into_iter().flatten().filter_map(generation).collect())
    }

    /// How often the injector has written a registration so far.
    pub(super) fn injections(&self) -> Result<usize> {
        let writes = self.cluster.writes()?;
        let are_its = writes.iter().filter(|write| {
            write.resource.ends_with("webhookconfigurations")
                && write.user.ends_with(INJECTOR)
                && write.committed()
        });
        Ok(are_its.count())
    }

    /// Whether cert-manager's own CRDs take what the chart makes of these sets of values, down to the last field.
    pub(super) fn takes_the_certificates_of(&self, sets: &[&str]) -> Result<()> {
        for set in sets {
            let path = places::root().join(format!("tests/fixtures/values/{set}.yaml"));
            let objects = given::rendered(&["-f", path.to_str().context("a path is no text")?])?;
            let is_theirs =
                |o: &&Value| o["apiVersion"].as_str().is_some_and(|v| v.starts_with(GROUP));
            let theirs: Vec<&Value> = objects.iter().filter(is_theirs).collect();
            ensure!(!theirs.is_empty(), "{set} has nothing for cert-manager");
            let list = json!({"apiVersion": "v1", "kind": "List", "items": theirs}).to_string();
            let arguments =
                ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
            // Some stand here already, as this site made them.
            let arguments = [&arguments[..], &["--force-conflicts"]].concat();
            let outcome = self.cluster.kubectl("admin").run_with(&arguments, Some(&list))?;
            ensure!(outcome.succeeded && outcome.errors.is_empty(), "{set}: {}", outcome.text());
        }
        Ok(())
    }

    /// Ends everything; an error where one of cert-manager's programs did not last.
    pub(super) fn stop(self) -> Result<()> {
        for name in [CONTROLLER, INJECTOR] {
            process::check_runs(self.cluster.dir(), name)?;
        }
        self.cluster.stop()
    }

    /// What everybody said last.
    fn last_words(&self) -> String {
        let of = |name: &str| {
            let log = process::log(self.cluster.dir(), name);
            format!("{name}:\n{}", places::tail(&log, 10))
        };
        [CONTROLLER, INJECTOR, Program::Webhook.name()].map(of).join("\n")
    }
}
