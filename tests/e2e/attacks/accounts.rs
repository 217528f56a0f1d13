//! Becoming somebody else: what rights stop, what the guard stops, and what neither does.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::ground::Ground;

const CONTROLLER: &str = "--as=system:serviceaccount:smartops-system:smartops-orchestrator";

/// What an actor's rights answer, a question each: `verb group/resource/subresource`, and where not in the namespace of
/// the attempt, `namespace` and the object's name.
fn may_only(actor: &str, yes: &[&str], no: &[&str]) -> Result<()> {
    let ground = Ground::new("rights")?;
    let questions: Vec<&&str> = yes.iter().chain(no).collect();
    let reviews: Vec<Value> = questions.iter().map(|each| review(&ground, each)).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": reviews});
    let answers = ground.allowed(actor, &["create", "-o", "json", "-f", &ground.file(&list)?])?;
    // One object after the other, as kubectl prints what it created.
    let answers = serde_json::Deserializer::from_str(&answers).into_iter();
    let answers = answers.collect::<Result<Vec<Value>, _>>()?;
    ensure!(answers.len() == questions.len(), "{} answers", answers.len());
    for (index, (question, answer)) in questions.iter().zip(&answers).enumerate() {
        let may = answer["status"]["allowed"] == true;
        ensure!(may == (index < yes.len()), "{actor} may {question}: {may}");
    }
    Ok(())
}

fn review(ground: &Ground, question: &str) -> Value {
    let mut words = question.split(' ');
    let mut word = || words.next().unwrap_or_default();
    let (verb, what, namespace, name) = (word(), word(), word(), word());
    let mut parts = what.splitn(3, '/');
    let mut part = || parts.next().unwrap_or_default();
    let (group, resource, subresource) = (part(), part(), part());
    let namespace = if namespace.is_empty() { ground.name() } else { namespace };
    let attributes = json!({"verb": verb, "group": group, "resource": resource, "name": name,
        "subresource": subresource, "namespace": namespace});
    json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes}})
}

#[test]
fn the_controllers_token_has_the_rights_of_its_work_and_no_others() -> Result<()> {
    may_only(
        "controller",
        &[
            "patch apps/deployments",
            "patch apps/deployments/scale",
            "create smartops.dev/remediations",
            "update smartops.dev/remediations/status",
            "delete smartops.dev/remediations",
            "list smartops.dev/remediationapprovals",
            "list smartops.dev/remediationpolicies",
            "list apps/replicasets",
            "list autoscaling/horizontalpodautoscalers",
            "get /secrets smartops-system smartops-orchestrator-certificate",
            // RBAC cannot limit it to a name: admission bounds it to the controller's own certificate.
            "create /secrets smartops-system",
            "update coordination.k8s.io/leases smartops-system smartops-orchestrator",
        ],
        &[
            "get /secrets",
            "get /secrets smartops-system",
            "get /secrets smartops-system smartops-webhook-certificate",
            "create /secrets",
            "update /secrets smartops-system smartops-webhook-certificate",
            "patch /secrets smartops-system smartops-orchestrator-certificate",
            "update coordination.k8s.io/leases smartops-system smartops-webhook",
            "create /pods/eviction",
            "patch autoscaling/horizontalpodautoscalers",
            "deletecollection smartops.dev/remediations",
            "update smartops.dev/remediationpolicies",
            "update apps/deployments",
            "delete apps/deployments",
            "create apps/deployments",
            "patch apps/deployments kube-system",
            "patch apps/deployments smartops-system",
            "patch apps/statefulsets",
            "create /pods",
            "create /pods/exec",
            "delete /pods",
            "impersonate /serviceaccounts",
            "impersonate /users",
            "create /serviceaccounts/token",
            "create /serviceaccounts/token smartops-system",
            "create rbac.authorization.k8s.io/rolebindings",
            "update rbac.authorization.k8s.io/clusterroles",
            "update smartops.dev/remediations",
            "create smartops.dev/remediationapprovals",
            "delete smartops.dev/remediationapprovals",
            "update smartops.dev/guardrailpolicies",
            "create smartops.dev/guardrailexceptions",
            "update smartops.dev/smartopsconfigs",
            "update smartops.dev/changeledgers smartops-system",
            "patch admissionregistration.k8s.io/validatingwebhookconfigurations",
            "delete admissionregistration.k8s.io/validatingadmissionpolicies",
        ],
    )
}

#[test]
fn the_webhooks_token_can_switch_smartops_off_or_a_cluster_shut_and_do_little_else() -> Result<()> {
    let people =
        "patch admissionregistration.k8s.io/validatingwebhookconfigurations - smartops-people";
    let somebodys =
        "patch admissionregistration.k8s.io/validatingwebhookconfigurations - somebodys";
    // RBAC knows names and no contents, and policies of the API server are named after people's policies.
    let any_policy = "patch admissionregistration.k8s.io/validatingadmissionpolicies - somebodys";
    may_only(
        "webhook",
        &[people, any_policy, "update /secrets smartops-system smartops-webhook-certificate"],
        &[
            somebodys,
            "get /secrets",
            "get /secrets smartops-system other",
            "patch apps/deployments",
            "update apps/deployments",
            "patch apps/deployments/scale",
            "create /pods",
            "delete /pods",
            "create /pods/exec",
            "impersonate /users",
            "impersonate /serviceaccounts",
            "create /serviceaccounts/token",
            "create rbac.authorization.k8s.io/rolebindings",
            "update rbac.authorization.k8s.io/clusterroles",
            "create smartops.dev/remediations",
            "update smartops.dev/remediations/status",
            "create smartops.dev/remediationapprovals",
            "update smartops.dev/guardrailpolicies",
            "create smartops.dev/guardrailexceptions",
            "update smartops.dev/smartopsconfigs",
        ],
    )
}

#[test]
fn a_token_of_the_controllers_that_an_agent_mints() -> Result<()> {
    let ground = Ground::new("minting")?;
    let token = ["-n", "smartops-system", "create", "token", "smartops-orchestrator"];
    let agent = ["--as=system:serviceaccount:smartops-dev:agent", "--as-group=system:masters"];
    ground.denied("admin", &[&token[..], &agent].concat(), &[])?;
    ground.denied("meddler", &token, &[])?;
    ground.allowed("admin", &token)?;
    Ok(())
}

#[test]
fn an_agent_that_calls_itself_somebody_else() -> Result<()> {
    let ground = Ground::new("posing-as")?;
    for other in [CONTROLLER, "--as=developer", "--as=system:admin"] {
        for actor in ["agent", "meddler"] {
            let outcome = ground.kubectl(actor, &["get", "deployments", other])?;
            let text = outcome.text();
            ensure!(!outcome.succeeded && text.contains("cannot impersonate"), "{actor}: {text}");
        }
    }
    ground.allowed(
        "admin",
        &["get", "deployments", "--as=system:admin", "--as-group=system:masters"],
    )?;
    Ok(())
}

#[test]
fn the_owner_of_a_namespace_becomes_its_accounts_and_no_others() -> Result<()> {
    let ground = Ground::new("owners")?;
    let outcome = ground.kubectl("owner", &["get", "deployments", CONTROLLER])?;
    ensure!(outcome.text().contains("cannot impersonate"), "{}", outcome.text());
    let token = ["-n", "smartops-system", "create", "token", "smartops-orchestrator"];
    let outcome = ground.kubectl("owner", &token)?;
    let is_forbidden = outcome.text().contains("is forbidden: User \"owner\"");
    ensure!(is_forbidden, "{}", outcome.text());
    // Not stopped: the accounts of his own namespace are his, by Kubernetes' own role `admin`.
    let account = format!("--as=system:serviceaccount:{}:robot", ground.name());
    ground.allowed("owner", &["create", "serviceaccount", "robot"])?;
    ground.allowed("owner", &["create", "token", "robot"])?;
    let outcome = ground.kubectl("owner", &["get", "deployments", &account])?;
    ensure!(!outcome.text().contains("cannot impersonate"), "{}", outcome.text());
    Ok(())
}

#[test]
fn a_cluster_admin_who_goes_beyond_a_limit() -> Result<()> {
    let ground = Ground::new("admins")?;
    ground.denied("admin", &["scale", "deployment/web", "--replicas=11"], &["rule replicas"])?;
    ground.allowed("admin", &["scale", "deployment/web", "--replicas=10"])?;
    Ok(())
}
