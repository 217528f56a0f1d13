//! How the story is told: steps, what was expected of each, and the tables at the end.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use smartops_tests::cluster::Cluster;
use smartops_tests::http::{Answer, Client};
use smartops_tests::kubectl::Outcome;
use smartops_tests::wait::{Seen, eventually};

/// What a step should come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expect {
    /// It goes through.
    Allowed,
    /// The webhook refuses, with these words among its own.
    Denied(&'static [&'static str]),
    /// RBAC refuses before anybody judges.
    NoRight,
}

/// One line of the table at the end.
#[derive(Debug)]
struct Row {
    who: String,
    asks: String,
    answer: String,
    took: Duration,
    unexpected: Option<String>,
}

/// What was told so far.
#[derive(Debug, Default)]
pub(crate) struct Story {
    rows: Vec<Row>,
    parts: Vec<(String, Duration)>,
}

const LIMIT: Duration = Duration::from_secs(45);

impl Story {
    /// A part without steps of its own; how long it took stands in the table.
    pub(crate) fn part<T>(&mut self, name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let start = Instant::now();
        let result = run();
        self.parts.push((name.to_owned(), start.elapsed()));
        result
    }

    /// A part with steps.
    pub(crate) fn chapter(
        &mut self,
        title: &str,
        run: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        line(&format!("\n== {title}"));
        let start = Instant::now();
        let result = run(self);
        self.parts.push((title.to_owned(), start.elapsed()));
        result
    }

    /// An actor runs kubectl.
    pub(crate) fn kubectl(
        &mut self,
        cluster: &Cluster,
        (who, asks): (&str, &str),
        arguments: &[&str],
        expect: Expect,
    ) -> Result<()> {
        self.kubectl_with(cluster, (who, asks), arguments, None, expect)
    }

    /// An actor runs kubectl with something on its standard input.
    pub(crate) fn kubectl_with(
        &mut self,
        cluster: &Cluster,
        (who, asks): (&str, &str),
        arguments: &[&str],
        input: Option<&str>,
        expect: Expect,
    ) -> Result<()> {
        self.begin(who, asks);
        line(&format!("    $ kubectl {}", arguments.join(" ")));
        let start = Instant::now();
        let outcome = cluster.kubectl(who).run_with(arguments, input)?;
        quote(&outcome.text());
        let unexpected = judge(&outcome, expect);
        self.end(who, asks, answer(&outcome), start.elapsed(), unexpected);
        Ok(())
    }

    /// Somebody calls the controller's API.
    pub(crate) fn post(
        &mut self,
        client: &Client,
        (who, asks): (&str, &str),
        (path, body): (&str, &Value),
        (status, words): (u16, &[&str]),
    ) -> Result<Answer> {
        self.begin(who, asks);
        line(&format!("    $ POST {path} {body}"));
        let start = Instant::now();
        let answer = client.post(path, body)?;
        quote(&format!("HTTP {}{}", answer.status, retry(&answer)));
        // A problem's detail is its sentence; the rest of it is for machines.
        quote(answer.body["detail"].as_str().unwrap_or(&answer.text));
        let unexpected = if answer.status == status {
            missing(&answer.text, words)
        } else {
            Some(format!("HTTP {status} was expected"))
        };
        let rule = answer.body["rule"].as_str().map(|rule| format!(", rule {rule}"));
        let told = format!("HTTP {}{}", answer.status, rule.unwrap_or_default());
        self.end(who, asks, told, start.elapsed(), unexpected);
        Ok(answer)
    }

    /// Waits for what should follow from the step before; counts as that step's outcome.
    pub(crate) fn sees(&mut self, what: &str, look: impl FnMut() -> Result<Seen<String>>) {
        let start = Instant::now();
        match eventually(LIMIT, what, look) {
            Ok(seen) => {
                line(&format!("    > {what}: {seen} ({:.1} s)", start.elapsed().as_secs_f32()));
            }
            Err(error) => {
                line(&format!("    > UNEXPECTED: {error:#}"));
                self.mark(format!("{error:#}"));
            }
        }
        if let Some(row) = self.rows.last_mut() {
            row.took += start.elapsed();
        }
    }

    /// Looks at something that must hold by now: a step of its own.
    pub(crate) fn check(
        &mut self,
        (who, asks): (&str, &str),
        look: impl FnMut() -> Result<Seen<String>>,
    ) {
        self.begin(who, asks);
        let start = Instant::now();
        let (answer, unexpected) = match eventually(LIMIT, asks, look) {
            Ok(seen) => (seen, None),
            Err(error) => ("not so".to_owned(), Some(format!("{error:#}"))),
        };
        self.end(who, asks, answer, start.elapsed(), unexpected);
    }

    /// Steps that came out otherwise than expected, by number and question.
    pub(crate) fn unexpected(&self) -> Vec<String> {
        let numbered = self.rows.iter().enumerate();
        numbered
            .filter(|(_, row)| row.unexpected.is_some())
            .map(|(index, row)| format!("{}. {}: {}", index + 1, row.who, row.asks))
            .collect()
    }

    /// Prints the tables.
    pub(crate) fn finish(&self) {
        line("\n== Decisions");
        for (index, row) in self.rows.iter().enumerate() {
            let mark = if row.unexpected.is_some() { "UNEXPECTED" } else { "as expected" };
            line(&format!(
                "{:>3}. {:<10} {:<58} {:<34} {:>6.1} s  {mark}",
                index + 1,
                row.who,
                row.asks,
                row.answer,
                row.took.as_secs_f32(),
            ));
        }
        line("\n== Time");
        for (name, took) in &self.parts {
            line(&format!("{:>7.1} s  {name}", took.as_secs_f32()));
        }
    }

    fn begin(&self, who: &str, asks: &str) {
        line(&format!("\n{:>3}. {who}: {asks}", self.rows.len() + 1));
    }

    fn end(
        &mut self,
        who: &str,
        asks: &str,
        answer: String,
        took: Duration,
        unexpected: Option<String>,
    ) {
        match &unexpected {
            None => line(&format!("    = {answer}, as expected ({:.2} s)", took.as_secs_f32())),
            Some(why) => line(&format!("    = {answer}, UNEXPECTED: {why}")),
        }
        let (who, asks) = (who.to_owned(), asks.to_owned());
        self.rows.push(Row { who, asks, answer, took, unexpected });
    }

    fn mark(&mut self, why: String) {
        if let Some(row) = self.rows.last_mut() {
            row.unexpected.get_or_insert(why);
        }
    }
}

/// The webhook's refusals carry the API server's own words for "a webhook said no"; RBAC's do not.
fn denied(outcome: &Outcome) -> bool {
    !outcome.succeeded && outcome.errors.contains("denied the request")
}

fn no_right(outcome: &Outcome) -> bool {
    let text = &outcome.errors;
    !outcome.succeeded && !denied(outcome) && text.contains("forbidden") && text.contains("cannot")
}

fn answer(outcome: &Outcome) -> String {
    let policies = ["smartops-automation", "smartops-baseline"];
    let by =
        policies.into_iter().find(|policy| outcome.errors.contains(&format!("policy {policy}")));
    match (outcome.succeeded, denied(outcome), no_right(outcome)) {
        (true, ..) => "allowed".to_owned(),
        (_, true, _) => by.map_or_else(
            || "denied, named by no policy".to_owned(),
            |by| format!("denied by {by}"),
        ),
        (_, _, true) => "no right (RBAC)".to_owned(),
        _ => "failed".to_owned(),
    }
}

fn judge(outcome: &Outcome, expect: Expect) -> Option<String> {
    match expect {
        Expect::Allowed if outcome.succeeded => None,
        Expect::Allowed => Some("it should go through".to_owned()),
        Expect::Denied(words) if denied(outcome) => missing(&outcome.errors, words),
        Expect::Denied(_) => Some("the webhook should refuse it".to_owned()),
        Expect::NoRight if no_right(outcome) => None,
        Expect::NoRight => Some("RBAC should refuse it".to_owned()),
    }
}

fn missing(text: &str, words: &[&str]) -> Option<String> {
    let missing: Vec<&&str> = words.iter().filter(|word| !text.contains(**word)).collect();
    (!missing.is_empty()).then(|| format!("the answer lacks {missing:?}"))
}

fn retry(answer: &Answer) -> String {
    answer.retry_after.map(|seconds| format!(", retry after {seconds} s")).unwrap_or_default()
}

fn quote(text: &str) {
    for quoted in text.lines().filter(|text| !text.trim().is_empty()) {
        line(&format!("    | {quoted}"));
    }
}

/// Prints one line of the story.
#[expect(clippy::print_stdout, reason = "the story is this program's product")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(succeeded: bool, errors: &str) -> Outcome {
        Outcome { succeeded, output: String::new(), errors: errors.to_owned() }
    }

    #[test]
    fn a_refusal_by_rbac_does_not_pass_for_one_by_the_webhook() {
        let rbac = outcome(
            false,
            "Error from server (Forbidden): deployments.apps \"x\" is forbidden: User \"y\" cannot update resource",
        );
        let webhook = outcome(
            false,
            "Error from server (Forbidden): admission webhook \"w\" denied the request: maximum is 10",
        );
        assert!(judge(&rbac, Expect::Denied(&[])).is_some());
        assert!(judge(&rbac, Expect::NoRight).is_none());
        assert!(judge(&webhook, Expect::NoRight).is_some());
        assert!(judge(&webhook, Expect::Denied(&["10"])).is_none());
        assert!(judge(&webhook, Expect::Denied(&["11"])).is_some());
    }

    #[test]
    fn a_broken_connection_passes_for_nothing() {
        let broken = outcome(false, "Unable to connect to the server: connection refused");
        for expect in [Expect::Allowed, Expect::Denied(&[]), Expect::NoRight] {
            assert!(judge(&broken, expect).is_some(), "{expect:?}");
        }
    }
}
