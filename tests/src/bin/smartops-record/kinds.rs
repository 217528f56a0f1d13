//! What people do to the other kinds of workload that own pods.

use anyhow::Result;
use serde_json::json;

use crate::objects::{object, replicated, template};
use crate::stage::Stage;
use crate::tape::{Command, Tape, Wanted};

const ZERO: &str = r#"{"spec":{"replicas":0}}"#;

/// Records all of it.
pub(crate) fn play(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    stateful_and_daemon(stage, tape)?;
    jobs(stage, tape)
}

fn stateful_and_daemon(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let mut store = replicated("StatefulSet", "store", 2);
    store["spec"]["serviceName"] = json!("store");
    store["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]);
    tape.record(
        "kubectl-create-of-a-stateful-set",
        Wanted::new("CREATE", "statefulsets.apps", "store"),
        || stage.give("developer", &["create"], &store),
    )?;
    let selector = json!({"matchLabels": {"app": "agentd"}});
    let daemon = object(
        "apps/v1",
        "DaemonSet",
        "agentd",
        &json!({"selector": selector, "template": template("agentd")}),
    );
    tape.record(
        "kubectl-create-of-a-daemon-set",
        Wanted::new("CREATE", "daemonsets.apps", "agentd"),
        || stage.give("developer", &["create"], &daemon),
    )?;
    tape.record_all(stage, &stateful_and_daemon_commands())
}

fn stateful_and_daemon_commands() -> [Command<'static>; 10] {
    [
        (
            "kubectl-scale-of-a-stateful-set",
            "UPDATE",
            "statefulsets.apps/scale",
            "store",
            &["scale", "statefulset/store", "--replicas=3"],
        ),
        (
            "kubectl-scale-of-a-stateful-set-to-zero",
            "UPDATE",
            "statefulsets.apps/scale",
            "store",
            &["scale", "statefulset/store", "--replicas=0"],
        ),
        (
            "merge-patch-of-a-stateful-sets-replicas",
            "UPDATE",
            "statefulsets.apps",
            "store",
            &["patch", "statefulset/store", "--type=merge", "-p", r#"{"spec":{"replicas":2}}"#],
        ),
        (
            "merge-patch-of-a-stateful-sets-replicas-to-zero",
            "UPDATE",
            "statefulsets.apps",
            "store",
            &["patch", "statefulset/store", "--type=merge", "-p", ZERO],
        ),
        (
            "kubectl-rollout-restart-of-a-stateful-set",
            "UPDATE",
            "statefulsets.apps",
            "store",
            &["rollout", "restart", "statefulset/store"],
        ),
        (
            "kubectl-set-image-of-a-stateful-set",
            "UPDATE",
            "statefulsets.apps",
            "store",
            &["set", "image", "statefulset/store", "store=registry.example.com/shop/store:1.1.0"],
        ),
        (
            "kubectl-rollout-restart-of-a-daemon-set",
            "UPDATE",
            "daemonsets.apps",
            "agentd",
            &["rollout", "restart", "daemonset/agentd"],
        ),
        (
            "kubectl-set-image-of-a-daemon-set",
            "UPDATE",
            "daemonsets.apps",
            "agentd",
            &["set", "image", "daemonset/agentd", "agentd=registry.example.com/shop/agentd:1.1.0"],
        ),
        (
            "kubectl-delete-of-a-stateful-set",
            "DELETE",
            "statefulsets.apps",
            "store",
            &["delete", "statefulset/store", "--wait=false"],
        ),
        (
            "kubectl-delete-of-a-daemon-set",
            "DELETE",
            "daemonsets.apps",
            "agentd",
            &["delete", "daemonset/agentd", "--wait=false"],
        ),
    ]
}

fn jobs(stage: &Stage<'_>, tape: &mut Tape<'_>) -> Result<()> {
    let mut pods = template("import");
    pods["spec"]["restartPolicy"] = json!("Never");
    // Suspended, so that no pod of it ends while it is recorded.
    let job = object(
        "batch/v1",
        "Job",
        "import",
        &json!({"parallelism": 1, "suspend": true, "template": pods}),
    );
    tape.record("kubectl-create-of-a-job", Wanted::new("CREATE", "jobs.batch", "import"), || {
        stage.give("developer", &["create"], &job)
    })?;
    let nightly = object(
        "batch/v1",
        "CronJob",
        "nightly",
        &json!({"schedule": "0 3 31 12 *",
        "jobTemplate": {"spec": {"suspend": true, "parallelism": 1, "template": pods}}}),
    );
    tape.record(
        "kubectl-create-of-a-cron-job",
        Wanted::new("CREATE", "cronjobs.batch", "nightly"),
        || stage.give("developer", &["create"], &nightly),
    )?;
    let parallel = r#"{"spec":{"jobTemplate":{"spec":{"parallelism":20}}}}"#;
    tape.record_all(
        stage,
        &[
            (
                "merge-patch-of-a-jobs-parallelism",
                "UPDATE",
                "jobs.batch",
                "import",
                &["patch", "job/import", "--type=merge", "-p", r#"{"spec":{"parallelism":20}}"#],
            ),
            (
                "merge-patch-of-a-cron-jobs-parallelism",
                "UPDATE",
                "cronjobs.batch",
                "nightly",
                &["patch", "cronjob/nightly", "--type=merge", "-p", parallel],
            ),
            (
                "kubectl-set-image-of-a-cron-job",
                "UPDATE",
                "cronjobs.batch",
                "nightly",
                &["set", "image", "cronjob/nightly", "import=registry.example.com/shop/import:2"],
            ),
            (
                "kubectl-create-job-from-a-cron-job",
                "CREATE",
                "jobs.batch",
                "by-hand",
                &["create", "job", "by-hand", "--from=cronjob/nightly"],
            ),
            (
                "kubectl-delete-of-a-job",
                "DELETE",
                "jobs.batch",
                "import",
                &["delete", "job/import", "--wait=false"],
            ),
            (
                "kubectl-delete-of-a-cron-job",
                "DELETE",
                "cronjobs.batch",
                "nightly",
                &["delete", "cronjob/nightly", "--wait=false"],
            ),
        ],
    )
}
