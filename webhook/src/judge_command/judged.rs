//! One recorded review, judged as the server would: the mutating half first, the validating half on what it made of
//! the object.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;
use smartops_change::{Operation, TemplateDigest};
use smartops_common::approval::RemediationApproval;
use smartops_common::config::SmartOpsConfigSpec;
use smartops_common::denial::Cause;
use smartops_common::remediation::Remediation;
use smartops_guard::exception::Exception;
use smartops_guard::history::{NamespaceRecord, Recent, Record, Rolled};
use smartops_guard::policy::Index;
use smartops_guard::{
    Amendment, Approvals, Decision, Facts, Judgement, Needs, Origin, Outcome, PatchOp, Related,
    Revisions, Subject, Verdict, Warrants, Watched, Whole, amend, judge,
};

use super::documents::Document;
use super::kin;
use crate::admission::envelope::{Envelope, Request};
use crate::review;

/// By what reviews are judged.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) config: SmartOpsConfigSpec,
    pub(super) index: Index,
    pub(super) namespaces: BTreeSet<String>,
    /// By namespace.
    pub(super) exceptions: BTreeMap<String, Vec<Arc<Exception>>>,
    /// What may have announced a write.
    pub(super) remediations: Vec<Remediation>,
    /// What was decided about that.
    pub(super) approvals: Vec<RemediationApproval>,
    /// Objects whose labels are known.
    pub(super) given: Vec<Document>,
    pub(super) now: Timestamp,
    /// When the pods of every object were last replaced.
    pub(super) rolled: Option<Timestamp>,
    /// When the number of every object last changed.
    pub(super) scaled: Option<Timestamp>,
}

/// What became of a review.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Judged {
    /// Where it was recorded.
    source: String,
    /// What is asked, and by whom.
    write: String,
    /// Whether the user is automation.
    automation: bool,
    /// Whether it may happen.
    pub(super) allowed: bool,
    /// Why not, in the words the user would read.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Each rule that refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Cause>,
    /// After so many seconds the same write could pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u32>,
    /// What the user would be warned of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// What the mutating half would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patch: Vec<PatchOp>,
    /// What would only be noted: policy, rule and effect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    noted: Vec<String>,
    /// What a cluster would have known and this judgement did not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown: Vec<String>,
}

impl Judge {
    /// Judges a recorded AdmissionReview, or says why it cannot be read.
    pub(super) fn review(&self, review: &Document) -> Result<Judged, String> {
        let mut recorded = review.value.clone();
        let mut unknown = Vec::new();
        let amendment = self.half(&recorded, &mut unknown, |at| {
            amend(at.change, at.subject, &at.facts, self.now)
        })?;
        let Amendment { ops: patch, mut warnings, .. } = amendment;
        for op in &patch {
            apply(&mut recorded, op)?;
        }
        let verdict = self.half(&recorded, &mut unknown, |at| {
            match judge(at.change, at.subject, &at.facts, self.now) {
                Judgement::Final(verdict) => Ok((verdict, at.subject.is_automation())),
                Judgement::Needs(needs) => Err(needs),
            }
        })?;
        let (Verdict { decision, warnings: more, outcomes, .. }, automation) = verdict;
        warnings.extend(more);
        let denial = match decision {
            Decision::Allow => None,
            Decision::Deny(denial) => Some(denial),
        };
        unknown.sort_unstable();
        unknown.dedup();
        Ok(Judged {
            source: review.source.clone(),
            write: write(&recorded)?,
            automation,
            allowed: denial.is_none(),
            message: denial.as_ref().map(|d| d.message.clone()),
            retry_after_seconds: denial.as_ref().and_then(|d| d.retry_after_seconds),
            causes: denial.map(|d| d.causes).unwrap_or_default(),
            warnings,
            patch,
            noted: outcomes.iter().map(noted).collect(),
            unknown,
        })
    }

    /// One half of the judgement; what it lacks is told to be out of reach, and noted.
    fn half<T>(
        &self,
        recorded: &Value,
        unknown: &mut Vec<String>,
        judge: impl Fn(&At<'_>) -> Result<T, Needs>,
    ) -> Result<T, String> {
        let body = recorded.to_string();
        let envelope = Envelope::read(body.as_bytes()).map_err(|error| error.to_string())?;
        let request = envelope.request.as_ref().map_err(Clone::clone)?;
        let change = review::read(request)?;
        let subject =
            Subject::new(&self.config, &request.user_info.username, &request.user_info.groups)
                .in_pod(request.user_info.pod());
        let generation = change.old().and_then(|old| old.generation).unwrap_or_default();
        let changed = |at: Option<Timestamp>| at.map_or(Rolled::Never, Rolled::At);
        let record = Record {
            generation,
            template: TemplateDigest::NOTHING,
            replicas: None,
            rolled: changed(self.rolled),
            scaled: changed(self.scaled),
            recent: Recent::new(),
        };
        let namespace = NamespaceRecord::default();
        let mut untold = Vec::new();
        let kin = kin::of(&change, &self.given, &record, &mut untold);
        let exceptions = change.namespace().and_then(|namespace| self.exceptions.get(namespace));
        let exceptions = exceptions.map_or(&[][..], Vec::as_slice);
        let mut facts = Facts {
            policies: self.index.policies(change.namespace()),
            selecting: self.index.selecting(change.name()),
            watched: match change.operation() {
                Operation::Create => Watched::Unseen,
                _ => Watched::Seen(&record),
            },
            namespace: Some(&namespace),
            revisions: Revisions::NotAsked,
            related: Related::NotAsked,
            whole: Whole::NotAsked,
            exceptions,
            dry_run: request.is_dry_run(),
            warrants: Warrants::NotAsked,
            approvals: Approvals::NotAsked,
            origin: Origin::NotAsked,
            approval_expiry: SignedDuration::from_secs(self.config.approval.expiry_seconds.into()),
        };
        let whole = kin::whole(&change, &self.given);
        let origin = kin::origin(&change, &self.remediations, &self.given);
        if let Some(name) = change.namespace()
            && !self.namespaces.contains(name)
        {
            unknown.push(format!("the labels of namespace {name} (--namespaces)"));
        }
        // What is lacking may show one after the other: a pass more than there are things to be known.
        for _ in 0..7 {
            match judge(&At { change: &change, subject: &subject, facts }) {
                Ok(judged) => return Ok(judged),
                Err(needs) => {
                    if needs.related {
                        facts.related = Related::Known { objects: &kin, newest_pod: None };
                        unknown.append(&mut untold);
                    }
                    if needs.whole {
                        facts.whole = whole.as_deref().map_or(Whole::Unavailable, Whole::Known);
                        if whole.is_none() {
                            unknown.push("the object that is scaled (--policies)".to_owned());
                        }
                    }
                    if needs.warrants {
                        facts.warrants = Warrants::Known(&self.remediations);
                        if self.remediations.is_empty() {
                            unknown
                                .push("the Remediation that announces it (--policies)".to_owned());
                        }
                    }
                    if needs.approvals {
                        facts.approvals = Approvals::Known(&self.approvals);
                        if self.approvals.is_empty() {
                            unknown.push("who approved it (--policies)".to_owned());
                        }
                    }
                    if needs.origin {
                        facts.origin = origin
                            .as_deref()
                            .map_or(Origin::Unavailable, |set| Origin::Known(Some(set)));
                        if origin.is_none() {
                            unknown.push("the ReplicaSet it goes back to (--policies)".to_owned());
                        }
                    }
                    if needs.revisions {
                        facts.revisions = Revisions::Unavailable;
                        unknown.push("when its revisions were made".to_owned());
                    }
                }
            }
        }
        Err("the judgement asked for the same twice".to_owned())
    }
}

/// What a half looks at.
struct At<'a> {
    change: &'a smartops_change::Change<'a>,
    subject: &'a Subject,
    facts: Facts<'a>,
}

fn noted(outcome: &Outcome) -> String {
    let Outcome { policy, rule, effect } = outcome;
    let source = if policy.is_empty() { rule.to_string() } else { format!("{policy}/{rule}") };
    format!("{} {source}", effect.as_str())
}

/// Who asks for what, in one line.
fn write(recorded: &Value) -> Result<String, String> {
    let body = recorded.to_string();
    let envelope = Envelope::read(body.as_bytes()).map_err(|error| error.to_string())?;
    let request: &Request<'_> = envelope.request.as_ref().map_err(Clone::clone)?;
    let change = review::read(request)?;
    let namespace = change.namespace().map(|n| format!("{n}/")).unwrap_or_default();
    Ok(format!(
        "{} of {} {namespace}{} by {}",
        change.operation(),
        change.resource(),
        change.name(),
        request.user_info.username,
    ))
}

/// Puts a number where the mutating half wants it.
fn apply(recorded: &mut Value, op: &PatchOp) -> Result<(), String> {
    let (parent, key) = op.path.rsplit_once('/').unwrap_or_default();
    let parent = recorded.pointer_mut(&format!("/request/object{parent}"));
    let Some(Value::Object(parent)) = parent else {
        return Err(format!("{} is nowhere in the object", op.path));
    };
    parent.insert(key.replace("~1", "/").replace("~0", "~"), op.value.into());
    Ok(())
}

impl Judged {
    /// Writes it for people.
    pub(super) fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let verdict = if self.allowed { "allowed" } else { "denied" };
        let who = if self.automation { " (automation)" } else { "" };
        writeln!(output, "{verdict}: {}{who}  [{}]", self.write, self.source)?;
        for Cause { policy, rule, path, message } in &self.causes {
            let source = if policy.is_empty() { String::new() } else { format!("{policy}/") };
            let path = if path.is_empty() { String::new() } else { format!(" at {path}") };
            writeln!(output, "  {source}{rule}{path}: {message}")?;
        }
        for PatchOp { path, value, .. } in &self.patch {
            writeln!(output, "  clamped: {path} to {value}")?;
        }
        for warning in &self.warnings {
            writeln!(output, "  warning: {warning}")?;
        }
        for noted in self.noted.iter().filter(|noted| noted.starts_with("audit ")) {
            writeln!(output, "  noted: {noted}")?;
        }
        for unknown in &self.unknown {
            writeln!(output, "  not known here: {unknown}")?;
        }
        Ok(())
    }
}
