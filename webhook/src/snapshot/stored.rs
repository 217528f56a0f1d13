//! A policy as the cluster stores it. One that this version of SmartOps cannot read, because a newer version wrote it, is
//! read as far as its match goes and locks what it matches: what it was to guard is never left open.
//!
//! Read that way every part only widens: a kind or a namespace is taken as far as it can be read, an operation or a
//! subject that cannot be means all of them, and what is not known of is passed over. A policy of which no kind can be
//! read matches nothing that could be told.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use smartops_guard::policy::{
    ExceptionsSpec, GuardrailPolicy, GuardrailPolicySpec, GuardrailPolicyStatus, KindMatch, Match,
    Mode, NamespaceMatch, OperationName, SubjectMatch, SubjectSet,
};
use smartops_guard::rules::RulesSpec;

/// A policy as stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its spec, or why it cannot be read.
    pub spec: Result<GuardrailPolicySpec, Unread>,
    /// Its status, as far as it can be read.
    pub status: GuardrailPolicyStatus,
}

/// A spec that cannot be read.
#[derive(Debug, Clone)]
pub struct Unread {
    /// Why.
    pub error: String,
    /// Its mode and match as widely as they may be meant, without rules; `None` where no kind can be read.
    pub match_alone: Option<GuardrailPolicySpec>,
}

#[derive(Deserialize)]
struct Raw {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw { metadata, spec, status } = Raw::deserialize(deserializer)?;
        let spec = GuardrailPolicySpec::deserialize(&spec)
            .map_err(|error| Unread { error: error.to_string(), match_alone: match_alone(&spec) });
        Ok(Self { metadata, spec, status: read(&status).unwrap_or_default() })
    }
}

impl From<GuardrailPolicy> for Stored {
    fn from(policy: GuardrailPolicy) -> Self {
        let GuardrailPolicy { metadata, spec, status } = policy;
        Self { metadata, spec: Ok(spec), status: status.unwrap_or_default() }
    }
}

impl Resource for Stored {
    type DynamicType = ();
    type Scope = <GuardrailPolicy as Resource>::Scope;

    fn kind((): &()) -> std::borrow::Cow<'_, str> {
        GuardrailPolicy::kind(&())
    }

    fn group((): &()) -> std::borrow::Cow<'_, str> {
        GuardrailPolicy::group(&())
    }

    fn version((): &()) -> std::borrow::Cow<'_, str> {
        GuardrailPolicy::version(&())
    }

    fn plural((): &()) -> std::borrow::Cow<'_, str> {
        GuardrailPolicy::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What a value says, where it can be read.
fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}

/// The entries of a list that can be read.
fn readable<T: DeserializeOwned>(list: &Value) -> Vec<T> {
    list.as_array().into_iter().flatten().filter_map(read).collect()
}

fn match_alone(spec: &Value) -> Option<GuardrailPolicySpec> {
    let written = &spec["match"];
    let kinds: Vec<KindMatch> =
        written["kinds"].as_array().into_iter().flatten().filter_map(kind).collect();
    if kinds.is_empty() {
        return None;
    }
    Some(GuardrailPolicySpec {
        match_: Match {
            kinds,
            operations: all(&written["operations"]).unwrap_or_else(|| OPERATIONS.to_vec()),
            namespaces: written["namespaces"]
                .is_object()
                .then(|| namespaces(&written["namespaces"])),
            objects: selector(&written["objects"]),
            subjects: Some(subjects(&written["subjects"])),
            conditions: all(&written["conditions"]).unwrap_or_default(),
        },
        mode: read(&spec["mode"]).unwrap_or(Mode::Enforce),
        rules: RulesSpec::default(),
        exceptions: ExceptionsSpec::default(),
    })
}

const OPERATIONS: [OperationName; 4] =
    [OperationName::Create, OperationName::Update, OperationName::Delete, OperationName::Connect];

/// The entries of a list, if every one can be read and there is one.
fn all<T: DeserializeOwned>(list: &Value) -> Option<Vec<T>> {
    read::<Vec<T>>(list).filter(|list| !list.is_empty())
}

fn kind(kind: &Value) -> Option<KindMatch> {
    let text = |field: &str| kind[field].as_str().map(str::to_owned);
    Some(KindMatch {
        group: text("group").unwrap_or_default(),
        resource: text("resource")?,
        version: text("version"),
        ..KindMatch::default()
    })
}

fn namespaces(written: &Value) -> NamespaceMatch {
    NamespaceMatch {
        guarded: written["guarded"].as_bool().unwrap_or_default(),
        exclude: readable(&written["exclude"]),
        selector: selector(&written["selector"]),
    }
}

fn selector(written: &Value) -> Option<LabelSelector> {
    if written.is_object() { read(written) } else { None }
}

/// An inclusion that cannot be read as a whole means everybody, an exclusion whomever of it can be read.
fn subjects(written: &Value) -> SubjectMatch {
    let exclude = &written["exclude"];
    SubjectMatch {
        include: read(&written["include"]),
        exclude: exclude.is_object().then(|| SubjectSet {
            automation: exclude["automation"].as_bool().unwrap_or_default(),
            users: readable(&exclude["users"]),
            groups: readable(&exclude["groups"]),
            service_accounts: readable(&exclude["serviceAccounts"]),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(spec: &Value) -> Stored {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    fn match_of(spec: &Value) -> Match {
        stored(spec).spec.unwrap_err().match_alone.unwrap().match_
    }

    #[test]
    fn what_can_be_read_is_read_as_it_is() {
        let spec = json!({"match": {"kinds": [{"resource": "pods"}], "operations": ["CREATE"]}});
        assert!(stored(&spec).spec.is_ok());
    }

    #[test]
    fn what_cannot_be_read_only_widens_the_match() {
        let full = json!({
            "mode": "Strictest",
            "rules": {"unheard": {"of": 1}},
            "match": {
                "kinds": [
                    {"group": "apps", "resource": "deployments", "shard": 3},
                    {"resource": 7},
                ],
                "operations": ["UPDATE", "FREEZE"],
                "namespaces": {"guarded": true, "exclude": ["a", 5], "clusters": ["x"]},
                "objects": {"matchLabels": {"app": "web"}},
                "subjects": {"include": {"users": ["x"], "robots": ["r"]}, "exclude": {"users": ["y"], "robots": []}},
                "conditions": [{"name": "c", "language": "lua"}],
            },
        });
        let spec = stored(&full).spec.unwrap_err().match_alone.unwrap();
        assert_eq!(spec.mode, Mode::Enforce);
        let match_ = spec.match_;
        let kinds: Vec<&str> = match_.kinds.iter().map(|k| k.resource.as_str()).collect();
        assert_eq!(kinds, ["deployments"]);
        assert_eq!(match_.operations, OPERATIONS);
        let namespaces = match_.namespaces.unwrap();
        assert!(namespaces.guarded && namespaces.selector.is_none());
        assert_eq!(namespaces.exclude, ["a"]);
        assert!(match_.objects.is_some() && match_.conditions.is_empty());
        let subjects = match_.subjects.unwrap();
        assert_eq!(
            (subjects.include, subjects.exclude.unwrap().users),
            (None, vec!["y".to_owned()])
        );
    }

    #[test]
    fn what_is_plain_stays_and_a_policy_without_a_kind_matches_nothing_that_could_be_told() {
        let kinds = json!([{"resource": "pods"}]);
        let plain = json!({"rules": {"unheard": 1}, "mode": "Warn", "match": {
            "kinds": kinds, "operations": ["DELETE"],
            "subjects": {"include": {"users": ["x"]}},
        }});
        let match_ = match_of(&plain);
        assert_eq!(match_.operations, [OperationName::Delete]);
        assert_eq!(match_.subjects.unwrap().include.unwrap().users, ["x"]);
        assert_eq!(match_.namespaces, None);
        for nothing in
            [json!({"match": {"kinds": "all"}}), json!(null), json!({"match": {"kinds": []}})]
        {
            assert!(stored(&nothing).spec.unwrap_err().match_alone.is_none(), "{nothing}");
        }
    }
}
