//! Which Remediations are meant: the query of a list or a watch, and the page of it that is shown. Pure.

use std::sync::Arc;

use axum::extract::Query;
use axum::http::Uri;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use smartops_common::remediation::{Phase, Remediation};

use crate::payload::Invalid;

/// Items of a page unless the query says otherwise.
const USUAL_PAGE: usize = 100;
/// The most.
const LARGEST_PAGE: usize = 500;
const ALLOWED: &str = "give namespace, name, deployment, phase, open, action, cause, source, requested_by, limit and \
                       continue, each at most once";

/// Which Remediations: those of which everything that is given holds.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Their namespace; without it, those of all namespaces, for whoever may see them all.
    pub namespace: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// The Deployment they are for, by its own name.
    pub deployment: Option<String>,
    /// Their phases, separated by commas.
    #[schemars(regex(pattern = r"^[A-Z][A-Za-z]+(,[A-Z][A-Za-z]+)*$"))]
    pub phase: Option<String>,
    /// Whether they are still open.
    pub open: Option<bool>,
    /// The type of their action.
    pub action: Option<String>,
    /// Their cause, as `rca/memory_leak`.
    pub cause: Option<String>,
    /// Where they came from: closed-loop, user, policy-engine, ai-agent.
    pub source: Option<String>,
    /// Who asked.
    pub requested_by: Option<String>,
    /// How many at most, 1 to 500; 100 where it is absent.
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<usize>,
    /// Where the page before ended: its `continue`.
    #[serde(rename = "continue")]
    #[schemars(regex(pattern = r"^[0-9]{1,11}_"))]
    pub after: Option<String>,
}

/// What is shown of what is meant.
#[derive(Debug)]
pub struct Page<'a> {
    /// The newest first.
    pub items: Vec<&'a Remediation>,
    /// What to ask for the next page with; none where this is the last.
    pub next: Option<String>,
}

type Age<'a> = (Option<Timestamp>, &'a str);

impl Filter {
    /// Reads a query.
    pub fn read(uri: &Uri) -> Result<Self, Invalid> {
        let invalid = |field: &str, problem: String, allowed: &str| Invalid {
            field: field.to_owned(),
            problem,
            allowed: allowed.to_owned(),
        };
        let Query(filter) = Query::<Self>::try_from_uri(uri)
            .map_err(|error| invalid("query", format!("cannot be read: {error}"), ALLOWED))?;
        if filter.limit.is_some_and(|limit| !(1..=LARGEST_PAGE).contains(&limit)) {
            return Err(invalid("limit", "is out of range".to_owned(), "give 1 to 500"));
        }
        for phase in filter.phases() {
            if !Phase::ALL.iter().any(|known| known.as_str() == phase) {
                let known: Vec<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).collect();
                let allowed = format!("give {}", known.join(", "));
                return Err(invalid("phase", format!("{phase:?} is no phase"), &allowed));
            }
        }
        if filter.after.as_deref().is_some_and(|after| mark(after).is_none()) {
            let allowed = "send back what the page before gave as `continue`";
            return Err(invalid("continue", "is no mark of a page".to_owned(), allowed));
        }
        Ok(filter)
    }

    /// Whether a Remediation is meant.
    pub fn means(&self, r: &Remediation) -> bool {
        let (metadata, spec) = (&r.metadata, &r.spec);
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        is(&self.namespace, metadata.namespace.as_deref().unwrap_or_default())
            && is(&self.name, metadata.name.as_deref().unwrap_or_default())
            && is(&self.deployment, &spec.target.name)
            && (self.phase.is_none() || self.phases().any(|phase| phase == r.phase().as_str()))
            && self.open.is_none_or(|open| open == r.is_open())
            && is(&self.action, spec.action.type_.as_str())
            && is(&self.cause, &spec.cause)
            && is(&self.source, spec.source.as_str())
            && is(&self.requested_by, &spec.requested_by)
    }

    /// How many are shown at once.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(USUAL_PAGE)
    }

    /// The page that was asked for of all there are.
    pub fn page<'a>(&self, all: &'a [Arc<Remediation>]) -> Result<Page<'a>, Invalid> {
        let after = self.after.as_deref().and_then(mark);
        let mut meant: Vec<&Remediation> = all
            .iter()
            .map(|r| &**r)
            .filter(|r| self.means(r) && after.is_none_or(|after| age(r) < after))
            .collect();
        meant.sort_unstable_by(|one, other| age(other).cmp(&age(one)));
        let is_more = meant.len() > self.limit();
        meant.truncate(self.limit());
        let next = meant.last().filter(|_| is_more).map(|r| {
            let (made, uid) = age(r);
            format!("{}_{uid}", made.map_or(0, Timestamp::as_second))
        });
        Ok(Page { items: meant, next })
    }

    fn phases(&self) -> impl Iterator<Item = &str> {
        self.phase.iter().flat_map(|phases| phases.split(','))
    }
}

/// Newer is greater, and no two are alike.
fn age(r: &Remediation) -> Age<'_> {
    let made = r.metadata.creation_timestamp.as_ref().map(|made| made.0);
    (made, r.metadata.uid.as_deref().unwrap_or_default())
}

fn mark(text: &str) -> Option<Age<'_>> {
    let (made, uid) = text.split_once('_')?;
    let made = Timestamp::from_second(made.parse().ok()?).ok()?;
    Some((Some(made), uid))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use smartops_common::action::Action;
    use smartops_common::remediation::RemediationStatus;

    use super::*;
    use crate::fixture::{at, remediation};

    fn uri(query: &str) -> Uri {
        format!("/v1/remediations?{query}").parse().unwrap()
    }

    fn read(query: &str) -> Result<Filter, Invalid> {
        Filter::read(&uri(query))
    }

    fn made(name: &str, second: i64, phase: Phase) -> Arc<Remediation> {
        let mut r = remediation(name, Action::restart());
        r.metadata.creation_timestamp = Some(Time(at(second)));
        r.metadata.uid = Some(format!("uid-{name}"));
        r.status = Some(RemediationStatus { phase, ..RemediationStatus::default() });
        Arc::new(r)
    }

    #[test]
    fn each_term_of_a_query_leaves_out_what_it_does_not_mean() {
        let r = made("a", 10, Phase::Verifying);
        let (action, cause) = (r.spec.action.type_.as_str(), r.spec.cause.clone());
        for (query, expected) in [
            (String::new(), true),
            ("namespace=ns".into(), true),
            ("namespace=other".into(), false),
            ("name=a".into(), true),
            ("name=b".into(), false),
            (format!("deployment={}", r.spec.target.name), true),
            ("deployment=other".into(), false),
            ("phase=Pending,Verifying".into(), true),
            ("phase=Pending".into(), false),
            ("open=true".into(), true),
            ("open=false".into(), false),
            (format!("action={action}"), true),
            ("action=scale".into(), false),
            (format!("cause={cause}"), true),
            ("cause=rca".into(), false),
            (format!("source={}", r.spec.source.as_str()), true),
            ("source=ai-agent".into(), false),
            (format!("requested_by={}", r.spec.requested_by), true),
            ("requested_by=nobody".into(), false),
            ("namespace=ns&open=true".into(), true),
            ("namespace=ns&open=false".into(), false),
        ] {
            assert_eq!(read(&query).unwrap().means(&r), expected, "{query}");
        }
    }

    #[test]
    fn a_query_that_cannot_be_meant_is_refused_by_its_term() {
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("phase=Done", "phase"),
            ("phase=Failed,done", "phase"),
            ("continue=x", "continue"),
            ("namespaces=a", "query"),
            ("open=perhaps", "query"),
        ] {
            assert_eq!(read(query).unwrap_err().field, field, "{query}");
        }
    }

    #[test]
    fn pages_show_everything_once_the_newest_first() {
        let all: Vec<Arc<Remediation>> = [("a", 10), ("b", 30), ("c", 20), ("d", 20), ("e", 5)]
            .map(|(name, second)| made(name, second, Phase::Succeeded))
            .into();
        let mut names = Vec::new();
        let mut query = "limit=2".to_owned();
        loop {
            let filter = read(&query).unwrap();
            let page = filter.page(&all).unwrap();
            assert!(page.items.len() <= 2);
            names.extend(page.items.iter().map(|r| r.metadata.name.clone().unwrap()));
            let Some(next) = page.next else { break };
            query = format!("limit=2&continue={next}");
        }
        assert_eq!(names, ["b", "d", "c", "a", "e"]);
    }
}
