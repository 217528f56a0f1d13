//! What is done once, by hooks of the chart or by hand: bringing the kinds up, taking the registrations away, trying an
//! installation out. Each is run as the chart runs it, by an identity with the rights the chart gives it.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use smartops_tests::cluster::Cluster;
use smartops_tests::components::Helm;
use smartops_tests::helm::Runner;
use smartops_tests::identities::{self, Right};
use smartops_tests::programs::{Program, endpoints};
use smartops_tests::wait::{Seen, eventually};
use smartops_tests::{chart, places, process, sample};

use crate::support::{bare, own};

const A_WHILE: Duration = Duration::from_secs(30);
const ADMISSION: &str = "admissionregistration.k8s.io";
const REGISTRATIONS: [&str; 3] = ["smartops-automation", "smartops-people", "smartops-own"];
const JUDGING: &str = "validatingwebhookconfigurations,mutatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings";

/// What a command said, and how it ended.
struct Ran {
    code: i32,
    output: String,
    errors: String,
}

impl Ran {
    fn text(&self) -> String {
        format!("exit code {}\n{}{}", self.code, self.output, self.errors)
    }

    /// That it ended with this code, saying each of these.
    fn ends(self, code: i32, words: &[&str]) -> Result<Self> {
        let text = self.text();
        ensure!(self.code == code, "not {code}: {text}");
        for word in words {
            ensure!(text.contains(word), "no word of {word:?}: {text}");
        }
        Ok(self)
    }
}

/// Runs a subcommand of the webhook as an actor.
fn run(cluster: &Cluster, actor: &str, arguments: &[&str]) -> Result<Ran> {
    let output = Command::new(places::program("smartops-webhook")?)
        .args(arguments)
        .arg("--kubeconfig")
        .arg(cluster.state.kubeconfig(actor))
        .output()
        .context("cannot start smartops-webhook")?;
    Ok(Ran {
        code: output.status.code().context("it was killed")?,
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// What the chart runs once, and its ServiceAccount, which is made with the rights that the chart gives it.
struct Hook {
    account: &'static str,
    arguments: Vec<String>,
}

impl Hook {
    /// The hook of this name, as the chart's defaults render it.
    fn install(cluster: &Cluster, name: &'static str) -> Result<Self> {
        let runner = Runner::new(&Helm::ensure(&|_| {})?, &cluster.dir().join("helm"));
        let rendered = runner.template(chart::RELEASE, &chart::folder(), &[])?.ok()?;
        let (mut rights, mut arguments) = (Vec::new(), None);
        for object in chart::objects(&rendered)? {
            let metadata = &object["metadata"];
            if metadata["name"] != name || metadata["annotations"]["helm.sh/hook"].is_null() {
                continue;
            }
            let pod = match object["kind"].as_str() {
                Some("Job") => &object["spec"]["template"]["spec"],
                Some("Pod") => &object["spec"],
                Some("ClusterRole" | "Role") => {
                    let namespace = metadata["namespace"].as_str().map(str::to_owned);
                    rights.push(Right { namespace, rules: object["rules"].clone() });
                    continue;
                }
                _ => continue,
            };
            ensure!(pod["serviceAccountName"] == name, "it runs as somebody else: {pod}");
            arguments = Some(serde_json::from_value(pod["containers"][0]["args"].clone())?);
        }
        ensure!(!rights.is_empty(), "the chart gives {name} no rights");
        let arguments = arguments.with_context(|| format!("the chart runs no {name}"))?;
        cluster.kubectl("admin").apply_all(&[namespace()])?;
        identities::account(cluster, name, &rights)?;
        Ok(Self { account: name, arguments })
    }

    /// Runs it as the chart does.
    fn run(&self, cluster: &Cluster) -> Result<Ran> {
        self.run_with(cluster, &[])
    }

    /// The same with other flags, which take the place of those of their name.
    fn run_with(&self, cluster: &Cluster, flags: &[&str]) -> Result<Ran> {
        let name = |flag: &str| flag.split('=').next().map(str::to_owned);
        let own = self.arguments.iter().map(String::as_str);
        let kept = own.filter(|own| flags.iter().all(|flag| name(flag) != name(own)));
        let arguments: Vec<&str> = kept.chain(flags.iter().copied()).collect();
        run(cluster, self.account, &arguments)
    }
}

fn namespace() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "smartops-system"}})
}

/// The plurals of SmartOps' kinds, by the files that are shipped.
fn plurals() -> Result<BTreeSet<String>> {
    let folder = places::root().join("manifests/crds");
    let mut plurals = BTreeSet::new();
    for entry in std::fs::read_dir(&folder).context("no folder of CRDs")? {
        let path = entry?.path();
        plurals.insert(path.file_stem().context("no name")?.to_string_lossy().into_owned());
    }
    Ok(plurals)
}

/// A shipped CRD.
fn crd(cluster: &Cluster, plural: &str) -> Result<Value> {
    let path = places::root().join(format!("manifests/crds/{plural}.yaml")).display().to_string();
    let read = ["create", "--dry-run=client", "-o", "json", "-f", &path];
    let text = cluster.kubectl("admin").run(&read)?.ok()?;
    serde_json::from_str(&text).context("kubectl did not answer in JSON")
}

/// Creates an object as helm does, without saying what of it is whose.
fn create(cluster: &Cluster, object: &Value) -> Result<()> {
    let create = ["create", "--field-manager=helm", "-f", "-"];
    cluster.kubectl("admin").run_with(&create, Some(&object.to_string()))?.ok()?;
    Ok(())
}

/// The CRD as an older release may have had it: without the last column, without one field of its spec.
fn older(crd: &Value, field: &str) -> Result<Value> {
    let mut older = crd.clone();
    let version = &mut older["spec"]["versions"][0];
    version["additionalPrinterColumns"].as_array_mut().context("no columns")?.pop();
    let fields = &mut version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    fields.as_object_mut().context("no fields")?.remove(field).context("no such field")?;
    Ok(older)
}

fn stands(cluster: &Cluster, plural: &str) -> Result<Value> {
    let crd = cluster.kubectl("admin").get(&["crd", &format!("{plural}.smartops.dev")])?;
    Ok(crd["spec"]["versions"].clone())
}

/// Whether the versions of the exceptions' CRD know the field that an older one lacks.
fn has_ticket(versions: &Value) -> bool {
    versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["ticket"]
        .is_object()
}

#[test]
fn an_older_kind_is_brought_up_a_missing_one_is_made_and_the_others_stay_as_they_are() -> Result<()>
{
    let cluster = bare("apply-crds")?;
    let hook = Hook::install(&cluster, "smartops-crds")?;
    let exceptions = crd(&cluster, "guardrailexceptions")?;
    let old = older(&exceptions, "ticket")?;
    create(&cluster, &old)?;
    create(&cluster, &crd(&cluster, "smartopsconfigs")?)?;
    let before = stands(&cluster, "guardrailexceptions")?;
    ensure!(!has_ticket(&before), "{before}");

    let told = hook.run(&cluster)?.ends(
        0,
        &[
            "guardrailexceptions.smartops.dev: upgraded",
            "remediations.smartops.dev: created",
            "all 7 are served",
        ],
    )?;
    ensure!(told.output.lines().count() == 8 && told.errors.is_empty(), "{}", told.text());
    let after = stands(&cluster, "guardrailexceptions")?;
    let (columns, wanted) = (
        &after[0]["additionalPrinterColumns"],
        &exceptions["spec"]["versions"][0]["additionalPrinterColumns"],
    );
    ensure!(columns == wanted && has_ticket(&after), "{after}");
    let names: BTreeSet<String> = plurals()?;
    for plural in &names {
        let count = cluster.kubectl("admin").run(&["get", plural, "-A"])?;
        ensure!(count.succeeded, "{plural} should be served: {}", count.text());
    }

    let told = hook.run(&cluster)?.ends(0, &["all 7 are served"])?;
    let unchanged = told.output.lines().filter(|line| line.ends_with(": unchanged")).count();
    ensure!(unchanged == names.len(), "{}", told.text());

    // Its rights end with SmartOps' kinds.
    let foreign = json!([{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]);
    create(
        &cluster,
        &json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "things.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced",
                "names": {"kind": "Thing", "plural": "things"},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object"}}}],
            },
        }),
    )?;
    let patch = ["patch", "crd/things.example.com", "--type=json", "-p", &foreign.to_string()];
    let refused = cluster.kubectl(hook.account).run(&patch)?;
    ensure!(!refused.succeeded && refused.errors.contains("forbidden"), "{}", refused.text());
    cluster.stop()
}

#[test]
fn a_version_that_is_served_is_never_taken_away_and_one_nobody_uses_is() -> Result<()> {
    let cluster = bare("keep-versions")?;
    let hook = Hook::install(&cluster, "smartops-crds")?;
    let mut newer = crd(&cluster, "remediations")?;
    let mut next = newer["spec"]["versions"][0].clone();
    next["name"] = json!("v1beta1");
    next["storage"] = json!(false);
    newer["spec"]["versions"].as_array_mut().context("no versions")?.push(next);
    create(&cluster, &newer)?;
    let old = older(&crd(&cluster, "guardrailexceptions")?, "ticket")?;
    create(&cluster, &old)?;

    hook.run(&cluster)?
        .ends(1, &["remediations.smartops.dev is served as v1beta1", "Upgrade to that release"])?;
    let others = stands(&cluster, "guardrailexceptions")?;
    ensure!(!has_ticket(&others), "where one is refused none is written");
    let versions = stands(&cluster, "remediations")?;
    ensure!(versions.as_array().is_some_and(|v| v.len() == 2), "{versions}");

    let withdraw = json!([{"op": "replace", "path": "/spec/versions/1/served", "value": false}]);
    let withdraw =
        ["patch", "crd/remediations.smartops.dev", "--type=json", "-p", &withdraw.to_string()];
    cluster.kubectl("admin").run(&withdraw)?.ok()?;
    hook.run(&cluster)?.ends(
        0,
        &[
            "remediations.smartops.dev: upgraded",
            "guardrailexceptions.smartops.dev: upgraded",
            "all 7 are served",
        ],
    )?;
    let versions = stands(&cluster, "remediations")?;
    ensure!(versions.as_array().is_some_and(|v| v.len() == 1), "{versions}");
    cluster.stop()
}

/// Everything of SmartOps' that judges a write, as kind/name.
fn judging(cluster: &Cluster) -> Result<Vec<String>> {
    let list = cluster.kubectl("admin").get(&[JUDGING])?;
    let ours = list["items"].as_array().into_iter().flatten().filter_map(|object| {
        let name = object["metadata"]["name"].as_str()?;
        name.starts_with("smartops-").then(|| format!("{}/{name}", object["kind"]))
    });
    Ok(ours.collect())
}

/// Whether a write that every shipped policy refuses is refused, as a person makes it.
fn is_judged(cluster: &Cluster) -> Result<bool> {
    let many = sample::deployment(sample::NAMESPACE, "many", 99).to_string();
    let create = ["create", "--dry-run=server", "-f", "-"];
    Ok(!cluster.kubectl("developer").run_with(&create, Some(&many))?.succeeded)
}

/// What somebody else has of the same kinds.
fn foreign() -> [Value; 2] {
    let api_version = format!("{ADMISSION}/v1");
    [
        json!({
            "apiVersion": api_version, "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "foreign"},
            "spec": {
                "matchConstraints": {"resourceRules": [{"apiGroups": ["example.com"],
                    "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["things"]}]},
                "validations": [{"expression": "true"}],
            },
        }),
        json!({
            "apiVersion": api_version, "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "foreign"}, "webhooks": [],
        }),
    ]
}

#[test]
fn everything_that_judges_a_write_is_taken_away_and_a_live_webhook_puts_nothing_back() -> Result<()>
{
    let cluster = own("removal")?;
    let admin = cluster.kubectl("admin");
    let hook = Hook::install(&cluster, "smartops-removal")?;
    admin.apply_all(&foreign())?;
    let backstop = json!({"spec": {"people": {"outage": "Backstop"}}}).to_string();
    admin.run(&["patch", "smartopsconfig/default", "--type=merge", "-p", &backstop])?.ok()?;
    eventually(A_WHILE, "the API server has been given policies to judge by", || {
        let judging = judging(&cluster)?;
        let count = judging.iter().filter(|o| o.contains("ValidatingAdmissionPolicy\"")).count();
        Ok(Seen::when(count >= 2, format!("{judging:?}")))
    })?;
    ensure!(is_judged(&cluster)?);

    let told = hook.run(&cluster)?.ends(
        0,
        &[
            "deleting ClusterRoleBinding smartops-webhook-cluster",
            "deleting ValidatingWebhookConfiguration smartops-people",
            "deleting ValidatingAdmissionPolicyBinding smartops-own-objects",
            "nothing of SmartOps' judges any write",
        ],
    )?;
    ensure!(told.output.starts_with("deleting ClusterRoleBinding"), "the rights go first");
    ensure!(judging(&cluster)?.is_empty(), "{:?}", judging(&cluster)?);
    ensure!(!is_judged(&cluster)?, "a write is still judged");
    process::check_runs(cluster.dir(), Program::Webhook.name())?;
    for kind in ["validatingadmissionpolicy", "validatingwebhookconfiguration"] {
        admin.get(&[kind, "foreign"]).context("what is somebody else's must stay")?;
    }

    // Whoever asks once more has nothing to wait for.
    let begun = Instant::now();
    hook.run(&cluster)?.ends(0, &["nothing was to be done"])?;
    ensure!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    ensure!(judging(&cluster)?.is_empty() && !is_judged(&cluster)?);
    cluster.stop()
}

#[test]
fn a_dead_webhooks_registrations_are_taken_away_and_writes_pass_again() -> Result<()> {
    let cluster = own("dead-removal")?;
    let admin = cluster.kubectl("admin");
    let hook = Hook::install(&cluster, "smartops-removal")?;
    Program::Webhook.kill(&cluster)?;
    let few = sample::deployment(sample::NAMESPACE, "few", 2).to_string();
    let create = ["create", "--dry-run=server", "-f", "-"];
    let refused = cluster.kubectl("developer").run_with(&create, Some(&few))?;
    ensure!(refused.errors.contains("failed calling webhook"), "{}", refused.text());
    // Something holds one: that is told, and when it lets go the same command ends well.
    let own_kinds = "validatingwebhookconfiguration/smartops-own";
    let hold = |value: Value| {
        let patch = json!({"metadata": {"finalizers": value}}).to_string();
        admin.run(&["patch", own_kinds, "--type=merge", "-p", &patch])?.ok()
    };
    hold(json!(["example.com/keep"]))?;
    hook.run_with(&cluster, &["--timeout-seconds=3"])?
        .ends(1, &["smartops-own still stands after 3s", "held by example.com/keep"])?;
    hold(json!(null))?;
    hook.run(&cluster)?.ends(0, &["nothing of SmartOps' judges any write"])?;
    ensure!(judging(&cluster)?.is_empty(), "{:?}", judging(&cluster)?);
    cluster.kubectl("developer").run_with(&create, Some(&few))?.ok()?;
    cluster.stop()
}

#[test]
fn whoever_lacks_a_right_is_told_which_and_that_nothing_is_known_to_be_gone() -> Result<()> {
    let cluster = bare("no-rights")?;
    cluster.kubectl("admin").apply_all(&[namespace()])?;
    identities::account(&cluster, "nobody", &[])?;
    run(&cluster, "nobody", &["remove-registrations", "--timeout-seconds=1"])?
        .ends(1, &["not known to be gone", "cannot delete resource \"clusterrolebindings\""])?;
    run(&cluster, "nobody", &["apply-crds", "--timeout-seconds=1"])?
        .ends(1, &["cannot get resource \"customresourcedefinitions\""])?;
    run(&cluster, "nobody", &["self-test", "--timeout-seconds=1"])?
        .ends(1, &["cannot get resource \"validatingwebhookconfigurations\""])?;
    cluster.stop()
}

#[test]
fn a_healthy_installation_passes_its_test_and_each_fault_makes_a_sentence() -> Result<()> {
    let cluster = own("self-test")?;
    let admin = cluster.kubectl("admin");
    let hook = Hook::install(&cluster, "smartops-self-test")?;
    let controller = format!("--controller={}", endpoints(&cluster)?.controller_url());
    let test = |seconds: u32, more: &[&str]| {
        let seconds = format!("--timeout-seconds={seconds}");
        hook.run_with(&cluster, &[&[controller.as_str(), &seconds], more].concat())
    };
    let healthy = [
        "ok      registrations: 6 stand",
        "ok      own kinds: the webhook answers: SmartOps denies CREATE of remediations",
        "ok      denial: 99 replicas are denied: SmartOps denies CREATE of deployments",
        "ok      admission: 2 replicas are admitted in smartops-dev",
        "ok      controller: ready",
    ];
    test(5, &[])?.ends(0, &healthy)?;
    // Nobody is behind the controller's Service here: its own way is taken and told.
    hook.run_with(&cluster, &["--timeout-seconds=1"])?.ends(
        1,
        &["FAILED  controller: ", "https:smartops-orchestrator:8001", "1 of 5 checks failed"],
    )?;

    Program::Controller.kill(&cluster)?;
    test(1, &[])?.ends(1, &["FAILED  controller: it does not say that it is ready"])?;
    Program::Controller.start(&cluster, &[])?;

    Program::Webhook.kill(&cluster)?;
    let dead =
        test(5, &[])?.ends(1, &["FAILED  own kinds", "FAILED  denial", "FAILED  admission"])?;
    let silent = dead.output.matches("got no answer from the webhook").count();
    ensure!(silent == 3 && dead.output.contains("ok      registrations"), "{}", dead.text());

    // Its registrations, emptied while nobody fills them.
    let empty = json!([{"op": "replace", "path": "/webhooks", "value": []}]).to_string();
    for kind in ["validatingwebhookconfiguration", "mutatingwebhookconfiguration"] {
        for name in REGISTRATIONS {
            admin.run(&["patch", kind, name, "--type=json", "-p", &empty])?.ok()?;
        }
    }
    test(5, &[])?.ends(
        1,
        &[
            "FAILED  registrations: validating smartops-automation is empty",
            "mutating smartops-own is empty",
            "FAILED  own kinds: a Remediation was refused, and not by the webhook",
            "SmartOps' admission must be in service",
            "FAILED  denial: a Deployment with 99 replicas was admitted",
            "ok      admission",
        ],
    )?;
    admin.run(&["delete", "validatingwebhookconfiguration", "smartops-people"])?.ok()?;
    test(5, &[])?.ends(1, &["validating smartops-people is missing"])?;

    Program::Webhook.start(&cluster, &[])?;
    test(30, &[])?.ends(0, &healthy)?;
    // Whoever wants no policies asks for no denial by them.
    admin.run(&["delete", "guardrailpolicies", "--all"])?.ok()?;
    eventually(A_WHILE, "no policy holds", || {
        let ran = test(1, &["--without-policies"])?;
        let is_well = ran.code == 0 && !ran.output.contains("denial");
        Ok(Seen::when(is_well && !is_judged(&cluster)?, ran.text()))
    })?;
    test(1, &[])?.ends(1, &["FAILED  denial", "give --without-policies"])?;
    cluster.stop()
}
