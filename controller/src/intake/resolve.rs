//! Which Deployment a caller's name means: the exact name, then prefix + name, then the labels
//! `app.kubernetes.io/name` and `app`. Never a guess. Pure.

use std::collections::BTreeMap;

use kube::api::ObjectMeta;

/// Names shown in an error; the rest are counted.
const SHOWN: usize = 20;
const LABELS: [&str; 2] = ["app.kubernetes.io/name", "app"];

/// A Deployment a name could mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The values of the labels a service is known by.
    pub services: Vec<String>,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
}

impl Candidate {
    /// Reads what resolution needs off an object's metadata; `None` for one on its way out.
    pub fn read(metadata: ObjectMeta) -> Option<Self> {
        if metadata.deletion_timestamp.is_some() {
            return None;
        }
        let labels = metadata.labels.unwrap_or_default();
        let services = LABELS.iter().filter_map(|l| labels.get(*l).cloned()).collect();
        Some(Self { name: metadata.name?, uid: metadata.uid?, services, labels })
    }
}

/// A name that means no Deployment, or more than one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// None.
    #[error("no Deployment answers to {service:?}: neither by name, nor as {prefixed:?}, nor by the labels \
             app.kubernetes.io/name or app; {}", there_are(.candidates))]
    Unknown {
        /// The name asked for.
        service: String,
        /// With the prefix.
        prefixed: String,
        /// The Deployments there are, by name.
        candidates: Vec<String>,
    },
    /// More than one, by label.
    #[error("{service:?} could mean {}: name the Deployment itself", .candidates.join(" or "))]
    Ambiguous {
        /// The name asked for.
        service: String,
        /// Those it could mean.
        candidates: Vec<String>,
    },
}

fn there_are(candidates: &[String]) -> String {
    if candidates.is_empty() {
        return "there is none in the namespace".into();
    }
    let shown = candidates.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match candidates.len().saturating_sub(SHOWN) {
        0 => format!("there are: {shown}"),
        more => format!("there are: {shown} and {more} more"),
    }
}

/// The one Deployment `service` means.
pub fn resolve<'a>(
    service: &str,
    prefix: &str,
    candidates: &'a [Candidate],
) -> Result<&'a Candidate, Unresolved> {
    let prefixed = format!("{prefix}{service}");
    let by_name = |name: &str| candidates.iter().find(|c| c.name == name);
    if let Some(found) = by_name(service).or_else(|| by_name(&prefixed)) {
        return Ok(found);
    }
    let labelled: Vec<&Candidate> =
        candidates.iter().filter(|c| c.services.iter().any(|s| s == service)).collect();
    let sorted = |of: &mut dyn Iterator<Item = &Candidate>| {
        let mut names: Vec<String> = of.map(|c| c.name.clone()).collect();
        names.sort_unstable();
        names
    };
    match labelled.as_slice() {
        [one] => Ok(one),
        [] => Err(Unresolved::Unknown {
            service: service.to_owned(),
            prefixed,
            candidates: sorted(&mut candidates.iter()),
        }),
        many => Err(Unresolved::Ambiguous {
            service: service.to_owned(),
            candidates: sorted(&mut many.iter().copied()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, services: &[&str]) -> Candidate {
        let services = services.iter().map(|s| (*s).to_owned()).collect();
        Candidate {
            name: name.into(),
            uid: format!("uid-{name}"),
            services,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn names_come_before_prefixes_and_prefixes_before_labels() {
        let all = [
            candidate("web", &[]),
            candidate("smartops-web", &["web"]),
            candidate("smartops-erp", &["shop"]),
            candidate("other", &["erp", "tools"]),
        ];
        for (asked, found) in [
            ("web", "web"),
            ("smartops-web", "smartops-web"),
            ("erp", "smartops-erp"),
            ("shop", "smartops-erp"),
            ("tools", "other"),
        ] {
            assert_eq!(resolve(asked, "smartops-", &all).unwrap().name, found, "{asked}");
        }
    }

    #[test]
    fn two_by_label_are_ambiguous_and_both_are_named() {
        let all = [candidate("b", &["shop"]), candidate("a", &["shop"]), candidate("c", &[])];
        let error = resolve("shop", "smartops-", &all).unwrap_err();
        let expected = Unresolved::Ambiguous {
            service: "shop".into(),
            candidates: vec!["a".into(), "b".into()],
        };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("a or b"));
    }

    #[test]
    fn one_deployment_with_both_labels_is_not_ambiguous() {
        let all = [candidate("a", &["shop", "shop"])];
        assert_eq!(resolve("shop", "x-", &all).unwrap().name, "a");
    }

    #[test]
    fn an_unknown_name_names_what_there_is() {
        let all: Vec<Candidate> = (0..30).map(|n| candidate(&format!("d{n:02}"), &[])).collect();
        let error = resolve("web", "smartops-", &all).unwrap_err().to_string();
        assert!(error.contains("d00, d01") && error.contains("10 more"), "{error}");
        let none = resolve("web", "smartops-", &[]).unwrap_err().to_string();
        assert!(none.contains("there is none"), "{none}");
    }
}
