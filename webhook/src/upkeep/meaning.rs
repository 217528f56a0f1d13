//! What an object means to the API server, whoever wrote it and however: what it fills in where nothing is said, and
//! orders that say nothing, are taken away before two objects are compared. Pure. Of which parts an object consists, and
//! who compares, is `registration`'s and `vap`'s.

use k8s_openapi::api::admissionregistration::v1::MatchCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::ObjectMeta;
use smartops_common::names;

/// Of the metadata only that by which one command selects everything of SmartOps.
pub(crate) fn found_by(metadata: &ObjectMeta) -> ObjectMeta {
    let is_kept = |(key, _): &(&String, &String)| *key == names::PART_OF;
    let labels = metadata.labels.iter().flatten().filter(is_kept);
    let labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
    ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }
}

/// All must hold, so their order means nothing.
pub(crate) fn normalise_conditions(conditions: &mut Option<Vec<MatchCondition>>) {
    conditions.get_or_insert_default().sort_by(|a, b| a.name.cmp(&b.name));
}

/// An empty selector and none select everything alike.
pub(crate) fn normalise_selector(selector: &mut Option<LabelSelector>) {
    let selector = selector.get_or_insert_default();
    selector.match_labels.take_if(|labels| labels.is_empty());
    selector.match_expressions.take_if(|expressions| expressions.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_metadata_the_label_of_the_product_alone_means_something() {
        let metadata = |labels: &[(&str, &str)]| ObjectMeta {
            name: Some("a".to_owned()),
            resource_version: Some("7".to_owned()),
            labels: Some(labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            ..ObjectMeta::default()
        };
        let ours = found_by(&metadata(&[(names::PART_OF, "smartops")]));
        assert_eq!(ours.name, None);
        let beside = found_by(&metadata(&[("team", "shop"), (names::PART_OF, "smartops")]));
        assert_eq!(beside, ours);
        assert_ne!(found_by(&metadata(&[(names::PART_OF, "other")])), ours);
        assert_ne!(found_by(&metadata(&[])), ours);
        assert_eq!(found_by(&metadata(&[])), found_by(&ObjectMeta::default()));
    }

    #[test]
    fn the_order_of_conditions_means_nothing_and_each_of_them_does() {
        let normal = |names: &[&str]| {
            let condition = |name: &&str| MatchCondition {
                name: (*name).to_owned(),
                expression: "x".to_owned(),
            };
            let mut conditions = Some(names.iter().map(condition).collect());
            normalise_conditions(&mut conditions);
            conditions
        };
        let mut none = None;
        normalise_conditions(&mut none);
        assert_eq!(none, normal(&[]));
        assert_eq!(normal(&["a", "b"]), normal(&["b", "a"]));
        assert_ne!(normal(&["a", "b"]), normal(&["a"]));
    }

    #[test]
    fn no_selector_and_an_empty_one_are_alike_and_one_that_selects_is_not() {
        let normal = |selector: Option<&str>| {
            let mut selector = selector.map(|text| serde_json::from_str(text).unwrap());
            normalise_selector(&mut selector);
            selector
        };
        for empty in ["{}", r#"{"matchLabels":{}}"#, r#"{"matchLabels":{},"matchExpressions":[]}"#]
        {
            assert_eq!(normal(Some(empty)), normal(None), "{empty}");
        }
        for selecting in [
            r#"{"matchLabels":{"a":"b"},"matchExpressions":[]}"#,
            r#"{"matchExpressions":[{"key":"a","operator":"Exists"}]}"#,
        ] {
            assert_ne!(normal(Some(selecting)), normal(None), "{selecting}");
        }
    }
}
