//! Label selectors, checked once and asked often.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// A label selector fit to be asked. An empty one selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Selector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    DoesNotExist(String),
}

impl Selector {
    /// Checks a selector. The error says what was wrong and what is allowed.
    pub(crate) fn compile(selector: &LabelSelector) -> Result<Self, String> {
        let mut requirements: Vec<Requirement> = selector
            .match_labels
            .iter()
            .flatten()
            .map(|(key, value)| Requirement::In(key.clone(), vec![value.clone()]))
            .collect();
        for expression in selector.match_expressions.iter().flatten() {
            let key = expression.key.clone();
            let values = expression.values.clone().unwrap_or_default();
            requirements.push(match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Requirement::In(key, values),
                ("NotIn", false) => Requirement::NotIn(key, values),
                ("Exists", true) => Requirement::Exists(key),
                ("DoesNotExist", true) => Requirement::DoesNotExist(key),
                (operator, _) => {
                    return Err(format!(
                        "the requirement on {key:?} has operator {operator:?} and {} values; In and NotIn take some values, Exists and DoesNotExist none",
                        values.len()
                    ));
                }
            });
        }
        Ok(Self(requirements))
    }

    /// Whether labels fit, asked for by key.
    pub(crate) fn selects<'l>(&self, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        let holds = |values: &[String], value: &str| values.iter().any(|v| v == value);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|v| holds(values, v)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|v| !holds(values, v)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::DoesNotExist(key) => label(key).is_none(),
        })
    }

    /// Whether these labels fit.
    pub(crate) fn selects_map(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selects(|key| labels.get(key).map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(json: &str) -> LabelSelector {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn each_operator_selects_as_kubernetes_does() {
        let labels = BTreeMap::from([("env".to_owned(), "dev".to_owned())]);
        for (json, expected) in [
            ("{}", true),
            (r#"{"matchLabels":{"env":"dev"}}"#, true),
            (r#"{"matchLabels":{"env":"prod"}}"#, false),
            (r#"{"matchExpressions":[{"key":"env","operator":"In","values":["dev","x"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"env","operator":"NotIn","values":["dev"]}]}"#, false),
            (r#"{"matchExpressions":[{"key":"no","operator":"NotIn","values":["dev"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"env","operator":"Exists"}]}"#, true),
            (r#"{"matchExpressions":[{"key":"env","operator":"DoesNotExist"}]}"#, false),
        ] {
            assert_eq!(
                Selector::compile(&selector(json)).unwrap().selects_map(&labels),
                expected,
                "{json}"
            );
        }
    }

    #[test]
    fn a_requirement_that_means_nothing_is_refused() {
        for (operator, values) in [("In", ""), ("Exists", "\"x\""), ("Like", "\"x\"")] {
            let json = format!(
                r#"{{"matchExpressions":[{{"key":"a","operator":"{operator}","values":[{values}]}}]}}"#
            );
            let reason = Selector::compile(&selector(&json)).unwrap_err();
            assert!(reason.contains("NotIn"), "{operator}");
        }
    }
}
