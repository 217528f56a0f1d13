//! The account at the end: what was accepted beside what is on record, and what is on record beside what the API server
//! says was written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Result, ensure};
use serde_json::Value;
use smartops_tests::audit::Write;
use smartops_tests::cluster::Cluster;
use smartops_tests::sample;

use crate::load::Sent;

/// What is left when everything is added up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Accepted ids that are in no Remediation.
    lost: Vec<String>,
    /// Ids that are in more than one.
    repeated: Vec<String>,
    /// Deployments and numbers that were written more than once: each remedy writes a number of its own.
    doubled: Vec<(String, i64)>,
    /// Writes that no attempt says were made, and attempts that say so of a write nobody sent.
    unexplained: Vec<(String, i64)>,
    /// Deployments that have not exactly one replica more for each write.
    worse: Vec<String>,
    /// Remediations that say their target is worse than before.
    said_worse: usize,
    /// How many writes.
    written: usize,
    /// How many of them were committed although nobody was left to be told: whoever sent them was killed.
    unanswered: usize,
    /// How many Remediations ended in each phase.
    phases: BTreeMap<String, usize>,
}

/// Every Remediation.
pub(crate) fn remediations(cluster: &Cluster) -> Result<Vec<Value>> {
    let list = cluster.kubectl("admin").get(&["remediations", "-n", sample::NAMESPACE])?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// Every Deployment, by its name.
pub(crate) fn deployments(cluster: &Cluster) -> Result<BTreeMap<String, Value>> {
    let list = cluster.kubectl("admin").get(&["deployments", "-n", sample::NAMESPACE])?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let name = |d: &Value| d["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Ok(items.into_iter().map(|d| (name(&d), d)).collect())
}

impl Account {
    /// Of the cluster as it is, where each Deployment began with so many replicas.
    pub(crate) fn of(cluster: &Cluster, sent: &Sent, replicas: u32) -> Result<Self> {
        let writes = cluster.writes()?;
        let deployments = deployments(cluster)?;
        Ok(Self::drawn(&sent.accepted, &remediations(cluster)?, &writes, &deployments, replicas))
    }

    fn drawn(
        accepted: &[String],
        remediations: &[Value],
        writes: &[Write],
        deployments: &BTreeMap<String, Value>,
        replicas: u32,
    ) -> Self {
        let mut account = Self::default();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        let mut said: BTreeSet<(String, i64)> = BTreeSet::new();
        for remediation in remediations {
            let (spec, status) = (&remediation["spec"], &remediation["status"]);
            let ids = joined(remediation);
            for id in ids {
                *known.entry(id).or_default() += 1;
            }
            let phase = status["phase"].as_str().unwrap_or("none").to_owned();
            *account.phases.entry(phase).or_default() += 1;
            account.said_worse += usize::from(status["comparison"]["isWorse"] == true);
            let target = spec["target"]["name"].as_str().unwrap_or_default();
            for attempt in status["attempts"].as_array().into_iter().flatten() {
                if attempt["result"] == "Written" {
                    let number = attempt["intent"]["replicas"].as_i64().unwrap_or(-1);
                    said.insert((target.to_owned(), number));
                }
            }
        }
        account.lost =
            accepted.iter().filter(|id| !known.contains_key(id.as_str())).cloned().collect();
        let repeated = known.iter().filter(|(_, times)| **times > 1);
        account.repeated = repeated.map(|(id, _)| (*id).to_owned()).collect();

        let mut sent: BTreeMap<(String, i64), Vec<&Write>> = BTreeMap::new();
        for write in writes.iter().filter(|write| is_of_remedy(write) && may_be_made(write)) {
            let number = write.body.as_ref().and_then(|b| b["spec"]["replicas"].as_i64());
            sent.entry((write.name.clone(), number.unwrap_or(-1))).or_default().push(write);
        }
        // What nobody was told of, and no attempt found, was not made.
        sent.retain(|it, writes| said.contains(it) || answered(writes) > 0);
        account.unanswered = sent.values().filter(|writes| answered(writes) == 0).count();
        account.written = sent.values().map(|writes| answered(writes).max(1)).sum();
        let doubled = sent.iter().filter(|(_, writes)| !is_made_once(writes));
        account.doubled = doubled.map(|(write, _)| write.clone()).collect();
        let made: BTreeSet<(String, i64)> = sent.into_keys().collect();
        account.unexplained = made.symmetric_difference(&said).cloned().collect();
        for (name, deployment) in deployments {
            let grown = said.iter().filter(|(target, _)| target == name).count();
            let wanted = i64::from(replicas) + i64::try_from(grown).unwrap_or(i64::MAX);
            let is_ours = grown > 0;
            if is_ours && deployment["spec"]["replicas"] != wanted {
                account.worse.push(name.clone());
            }
        }
        account
    }

    /// Nothing lost, nothing doubled, and enough written for that to mean something.
    pub(crate) fn check(&self, at_least: usize) -> Result<()> {
        ensure!(self.lost.is_empty(), "accepted and lost: {:?}", self.lost);
        ensure!(self.repeated.is_empty(), "acted on twice: {:?}", self.repeated);
        ensure!(self.doubled.is_empty(), "written twice: {:?}", self.doubled);
        ensure!(self.unexplained.is_empty(), "written or said to be: {:?}", self.unexplained);
        ensure!(self.worse.is_empty(), "not as written: {:?}", self.worse);
        ensure!(self.said_worse == 0, "{} Remediations left it worse", self.said_worse);
        ensure!(
            self.written >= at_least,
            "{} remedies were written, fewer than {at_least}",
            self.written
        );
        Ok(())
    }
}

/// The ids of the signals a Remediation took in.
fn joined(remediation: &Value) -> BTreeSet<&str> {
    let joined = remediation["status"]["signals"].as_array().into_iter().flatten();
    joined
        .map(|signal| &signal["id"])
        .chain([&remediation["spec"]["signal"]["id"]])
        .filter_map(Value::as_str)
        .collect()
}

/// Whether the controller meant to change the number of replicas of a Deployment by it.
fn is_of_remedy(write: &Write) -> bool {
    write.resource == "deployments"
        && write.namespace == sample::NAMESPACE
        && write.user.ends_with(":smartops-orchestrator")
}

/// Whether it was made, or may have been before the answer was lost.
fn may_be_made(write: &Write) -> bool {
    write.committed() || (!write.dry_run && write.code >= 500)
}

/// How many of these were answered.
fn answered(writes: &[&Write]) -> usize {
    writes.iter().filter(|write| write.committed()).count()
}

/// Whether no two of these writes of the same number were made. One without an answer is taken for made, unless another
/// one rules that out: it had the same precondition, or it was answered with an object that it had changed itself.
fn is_made_once(writes: &[&Write]) -> bool {
    let Some((first, rest)) = writes.split_first() else { return true };
    let precondition = first.precondition();
    let excludes_others =
        precondition.is_some() && rest.iter().all(|write| write.precondition() == precondition);
    let made: Vec<_> = writes.iter().filter(|write| write.committed()).collect();
    match made[..] {
        [] => rest.is_empty() || excludes_others,
        [one] => rest.is_empty() || excludes_others || one.changed() == Some(true),
        _ => false,
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lost {}, acted on twice {}, written twice {}, unexplained {}, worse {}; {} remedies written, {} of them by one \
             who was killed before the answer; ended {:?}",
            self.lost.len(),
            self.repeated.len(),
            self.doubled.len(),
            self.unexplained.len(),
            self.worse.len() + self.said_worse,
            self.written,
            self.unanswered,
            self.phases,
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn remediation(id: &str, joined: &[&str], written: &[i64]) -> Value {
        let signals: Vec<Value> = joined.iter().map(|id| json!({"id": id})).collect();
        let attempt = |n: &i64| json!({"result": "Written", "intent": {"replicas": n}});
        json!({
            "spec": {"target": {"name": "web"}, "signal": {"id": id}},
            "status": {
                "phase": "Succeeded", "signals": signals,
                "attempts": written.iter().map(attempt).collect::<Vec<_>>(),
            },
        })
    }

    fn write(number: i64) -> Write {
        Write {
            verb: "patch".into(),
            group: "apps".into(),
            resource: "deployments".into(),
            subresource: "scale".into(),
            namespace: sample::NAMESPACE.into(),
            name: "web".into(),
            user: "system:serviceaccount:smartops-system:smartops-orchestrator".into(),
            dry_run: false,
            code: 200,
            body: Some(json!({"spec": {"replicas": number}})),
            answer: None,
            annotations: BTreeMap::new(),
        }
    }

    fn account(accepted: &[&str], remediations: &[Value], numbers: &[i64], live: i64) -> Account {
        let accepted: Vec<String> = accepted.iter().map(|id| (*id).to_owned()).collect();
        let writes: Vec<Write> = numbers.iter().copied().map(write).collect();
        let web = json!({"spec": {"replicas": live}});
        let deployments = BTreeMap::from([("web".to_owned(), web)]);
        Account::drawn(&accepted, remediations, &writes, &deployments, 2)
    }

    /// A write of 3 replicas to an object that had to be of this version, and the version it was answered with.
    fn versioned(before: &str, answer: Result<&str, u16>) -> Write {
        let metadata = json!({"resourceVersion": before});
        let body = Some(json!({"metadata": metadata, "spec": {"replicas": 3}}));
        let after = answer.ok().map(|after| json!({"metadata": {"resourceVersion": after}}));
        Write { body, answer: after, code: answer.err().unwrap_or(200), ..write(3) }
    }

    #[test]
    fn a_write_without_an_answer_that_was_sent_again_is_doubled_unless_something_rules_it_out() {
        let lost = |before| versioned(before, Err(504));
        let table = [
            ("sent again, and it changed nothing", vec![lost("7"), versioned("8", Ok("8"))], false),
            ("sent again, and it changed it", vec![lost("7"), versioned("8", Ok("9"))], true),
            ("only one can meet it", vec![lost("7"), versioned("7", Ok("8"))], true),
            ("nobody says what came of it", vec![lost("7"), write(3)], false),
            ("nobody says of either", vec![lost("7"), lost("8")], false),
            ("only one of two can be made", vec![lost("7"), lost("7")], true),
            ("refused, and sent again", vec![versioned("7", Err(409)), write(3)], true),
            ("two answers", vec![versioned("7", Ok("8")), versioned("8", Ok("9"))], false),
        ];
        let web = BTreeMap::from([("web".to_owned(), json!({"spec": {"replicas": 3}}))]);
        for (what, writes, passes) in table {
            let remediations = [remediation("a", &[], &[3])];
            let account = Account::drawn(&["a".to_owned()], &remediations, &writes, &web, 2);
            assert_eq!(account.check(1).is_ok(), passes, "{what}: {account:?}");
            assert_eq!(account.doubled.is_empty(), passes, "{what}: {account:?}");
        }
    }

    #[test]
    fn each_way_of_going_wrong_is_told_and_what_went_well_passes() {
        let (one, two) = (remediation("a", &["b"], &[3]), remediation("c", &[], &[4]));
        let ids = ["a", "b", "c"];
        let good = account(&ids, &[one.clone(), two.clone()], &[3, 4], 4);
        assert_eq!((good.check(2).is_ok(), good.check(3).is_ok()), (true, false), "{good:?}");

        // Committed, and answered to nobody, as an attempt found out; one that nobody found again was none.
        let (mut lost, mut never) = (write(3), write(5));
        (lost.code, never.code) = (504, 504);
        let web = BTreeMap::from([("web".to_owned(), json!({"spec": {"replicas": 4}}))]);
        let (all, accepted) = ([one.clone(), two.clone()], ids.map(str::to_owned));
        let found = Account::drawn(&accepted, &all, &[lost, write(4), never], &web, 2);
        assert_eq!((found.check(2).is_ok(), found.unanswered), (true, 1), "{found:?}");

        let again = remediation("c", &["a"], &[4]);
        let table = [
            ("lost: [\"d\"]", account(&["d"], &[one.clone(), two.clone()], &[3, 4], 4)),
            ("acted on twice: [\"a\"]", account(&ids, &[one.clone(), again], &[3, 4], 4)),
            ("written twice", account(&ids, &[one.clone(), two.clone()], &[3, 4, 4], 4)),
            ("written or said", account(&ids, &[one.clone(), two.clone()], &[3], 4)),
            ("written or said", account(&ids, &[one.clone(), two.clone()], &[3, 4, 5], 4)),
            ("not as written", account(&ids, &[one, two], &[3, 4], 3)),
        ];
        for (word, account) in table {
            let told = account.check(0).unwrap_err().to_string();
            assert!(told.contains(word), "{word}: {told}");
        }
    }
}
