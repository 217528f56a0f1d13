//! Exceptions, as conditions the API server evaluates: whether a rule is lifted for a write. Which exceptions there are,
//! and that an expired one is none, is whoever's who writes this; the API server looks at no clock.
//!
//! What does not fit is never a reason to leave a whole policy out: the namespaces whose exceptions take most room are.

use std::collections::{BTreeMap, BTreeSet};

use smartops_change::Resource;
use smartops_common::denial::Rule;

use super::cel;
use super::part::{Part, Way, is_of};
use super::subjects::is_member;
use super::written::LONGEST;
use crate::exception::Exception;

/// Most exceptions that are written into one policy.
const MOST: usize = 64;
/// Most of their text, in bytes: what joins them has room beside it in the longest expression.
const ROOM: usize = LONGEST - 4 * 1024;

/// The exceptions that are written into a policy, as conditions.
#[derive(Debug, Default)]
pub(super) struct Lifting<'e> {
    by_namespace: BTreeMap<&'e str, BTreeSet<(Vec<Rule>, String)>>,
    /// The namespaces whose exceptions do not fit, and in which nothing of the policy may be written therefore.
    pub(super) left_out: BTreeSet<String>,
}

impl<'e> Lifting<'e> {
    /// Those of these exceptions that lift one of these rules for a write of these parts, each said once.
    pub(super) fn of(
        exceptions: impl IntoIterator<Item = &'e Exception>,
        parts: &[Part],
        rules: &[Rule],
    ) -> Self {
        let mut lifting = Self::default();
        for exception in exceptions {
            let lifts: Vec<Rule> =
                rules.iter().copied().filter(|rule| exception.lifts(*rule)).collect();
            let holds = (!lifts.is_empty()).then(|| holds(exception, parts)).flatten();
            if let Some(holds) = holds {
                let namespace = lifting.by_namespace.entry(exception.namespace()).or_default();
                namespace.insert((lifts, holds));
            }
        }
        while lifting.is_too_much() {
            let heaviest = lifting.by_namespace.iter().max_by_key(|(_, holding)| weight(holding));
            let Some(heaviest) = heaviest.map(|(name, _)| *name) else { break };
            lifting.by_namespace.remove(heaviest);
            lifting.left_out.insert(heaviest.to_owned());
        }
        lifting
    }

    fn is_too_much(&self) -> bool {
        let all = self.by_namespace.values();
        all.clone().map(BTreeSet::len).sum::<usize>() > MOST
            || all.map(length).sum::<usize>() > ROOM
    }

    /// Whether any of them lifts a rule for the write.
    pub(super) fn lifted(&self, rule: Rule) -> String {
        let all = self.by_namespace.values().flatten();
        let lifting = all.filter(|(rules, _)| rules.contains(&rule));
        cel::any(&lifting.map(|(_, holds)| holds.clone()).collect::<Vec<_>>())
    }

    /// What of it is not as it is without the backstop.
    pub(super) fn missing(&self) -> Option<String> {
        let names: Vec<&str> = self.left_out.iter().map(String::as_str).collect();
        (!names.is_empty()).then(|| {
            format!(
                "everything in {}: the exceptions there are more than fit, with those of other namespaces {MOST} \
                 and {ROOM} bytes",
                names.join(", ")
            )
        })
    }
}

fn length(holding: &BTreeSet<(Vec<Rule>, String)>) -> usize {
    holding.iter().map(|(_, holds)| holds.len()).sum()
}

/// The room exceptions take: of the text, or of the number there may be.
fn weight(holding: &BTreeSet<(Vec<Rule>, String)>) -> usize {
    length(holding).max(holding.len() * (ROOM / MOST))
}

/// The scales an exception may be for and is not written for: a Scale does not say which kind it is of.
pub(super) fn unlifted<'p>(exception: &Exception, parts: &'p [Part]) -> Option<&'p Part> {
    let target = &exception.spec().target;
    parts.iter().find(|part| {
        exception.lifts(Rule::Replicas)
            && part.is_scale()
            && part.group == target.group
            && named(part).is_none()
    })
}

/// Whether an exception is for the write, as a condition; `None` where it can be for none of the parts.
fn holds(exception: &Exception, parts: &[Part]) -> Option<String> {
    let mut conditions = vec![format!(
        "has(request.namespace) && request.namespace == {}",
        cel::literal(exception.namespace())
    )];
    let spec = exception.spec();
    if let Some(subjects) = &spec.subjects {
        let users = format!("request.userInfo.username in {}", cel::list(&subjects.users));
        conditions.push(cel::any(&[users, is_member(&subjects.groups)]));
    }
    let target = &spec.target;
    let name = cel::literal(&target.name);
    let mut ways = Vec::new();
    let is_named = format!("has(request.name) && request.name == {name}");
    let of_group = |part: &&Part| part.way == Way::Kind && part.group == target.group;
    let is_known = |part: &&Part| of_group(part) && named(part) == Some(target.kind.as_str());
    let known: Vec<&Part> = parts.iter().filter(is_known).collect();
    if !known.is_empty() {
        ways.push(cel::all(&[is_of(known), is_named.clone()]));
    }
    let is_unknown = |part: &&Part| of_group(part) && !part.is_scale() && named(part).is_none();
    let unknown: Vec<&Part> = parts.iter().filter(is_unknown).collect();
    if !unknown.is_empty() {
        let is_kind = format!("request.kind.kind == {}", cel::literal(&target.kind));
        ways.push(cel::all(&[is_of(unknown), is_kind, is_named]));
    }
    let through = |way: fn(&Way) -> bool| parts.iter().find(|part| way(&part.way));
    if let Some(part) = through(|way| *way == Way::OwnedByDeployment)
        && (target.group.as_str(), target.kind.as_str()) == ("apps", "Deployment")
    {
        let owners = "(variables.ownersBefore + variables.ownersAfter)";
        ways.push(cel::all(&[is_of([part]), format!("{owners}.all(o, o == {name})")]));
    }
    if let Some(part) = through(|way| matches!(way, Way::Scaling(_))) {
        let wanted = format!("{}/{}/{}", target.group, target.kind, target.name);
        ways.push(cel::all(&[
            is_of([part]),
            format!("variables.scaled.all(t, t == {})", cel::literal(&wanted)),
        ]));
    }
    if ways.is_empty() {
        return None;
    }
    conditions.push(cel::any(&ways));
    Some(cel::all(&conditions))
}

/// The kind of a part's object, where its name is known here.
fn named(part: &Part) -> Option<&'static str> {
    let object =
        Resource { group: &part.group, version: "", resource: &part.resource, subresource: "" };
    object.kind().name()
}
