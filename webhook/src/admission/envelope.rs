//! An AdmissionReview, borrowed from the body: only what is judged is read, the objects stay raw text.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The versions of AdmissionReview that are answered in kind; all have the same shape.
const VERSIONS: [&str; 2] = ["admission.k8s.io/v1", "admission.k8s.io/v1beta1"];

/// Why a body is no review: HTTP 400.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON, or not an object.
    #[error("the body is no AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    /// Without a request there is nothing to answer.
    #[error("the AdmissionReview holds no request object")]
    NoRequest,
}

/// A review that can be answered; `request` holds what it asks, or why that cannot be judged.
#[derive(Debug)]
pub struct Envelope<'a> {
    /// The version to answer in.
    pub api_version: &'static str,
    /// Echoed in the answer; empty where the review has none.
    pub uid: Cow<'a, str>,
    /// What is asked, or why it cannot be judged.
    pub request: Result<Request<'a>, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    #[serde(borrow, default)]
    api_version: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    request: Option<&'a RawValue>,
}

/// What a review asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
    /// The resource, in the version the registration asked for.
    #[serde(borrow)]
    pub resource: Resource<'a>,
    /// Empty for the object itself.
    #[serde(borrow, default)]
    pub sub_resource: Cow<'a, str>,
    /// Empty where the server will generate one.
    #[serde(borrow, default)]
    pub name: Cow<'a, str>,
    /// Absent for cluster-scoped kinds.
    #[serde(borrow, default)]
    pub namespace: Option<Cow<'a, str>>,
    /// `CREATE`, `UPDATE`, `DELETE`, `CONNECT`.
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    /// Who asks.
    #[serde(borrow)]
    pub user_info: UserInfo<'a>,
    /// The object as it would be; raw JSON.
    #[serde(borrow, default)]
    pub object: Option<&'a RawValue>,
    /// The object as it is; raw JSON.
    #[serde(borrow, default)]
    pub old_object: Option<&'a RawValue>,
    /// Nothing will be stored whatever the answer.
    #[serde(default)]
    pub dry_run: Option<bool>,
}

/// A resource by group, version and plural.
#[derive(Debug, Default, Deserialize)]
pub struct Resource<'a> {
    /// Empty for the core group.
    #[serde(borrow, default)]
    pub group: Cow<'a, str>,
    /// The API version.
    #[serde(borrow, default)]
    pub version: Cow<'a, str>,
    /// Plural, lower case.
    #[serde(borrow)]
    pub resource: Cow<'a, str>,
}

/// The user as the API server authenticated it.
#[derive(Debug, Default, Deserialize)]
pub struct UserInfo<'a> {
    /// The user name.
    #[serde(borrow, default)]
    pub username: Cow<'a, str>,
    /// Its uid, where the authenticator knows one.
    #[serde(borrow, default)]
    pub uid: Cow<'a, str>,
    /// Its groups.
    #[serde(borrow, default)]
    pub groups: Vec<Cow<'a, str>>,
    /// What else the API server found out about it.
    #[serde(borrow, default)]
    pub extra: Option<BTreeMap<Cow<'a, str>, Values<'a>>>,
}

/// What the API server found out about a user under one key.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Option<Vec<Cow<'a, str>>>")]
pub struct Values<'a>(Vec<Cow<'a, str>>);

impl<'a> From<Option<Vec<Cow<'a, str>>>> for Values<'a> {
    fn from(values: Option<Vec<Cow<'a, str>>>) -> Self {
        Self(values.unwrap_or_default())
    }
}

impl<'a> std::ops::Deref for Values<'a> {
    type Target = [Cow<'a, str>];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The pod that a ServiceAccount's token is bound to.
const POD: &str = "authentication.kubernetes.io/pod-name";

impl UserInfo<'_> {
    /// The pod that its token is bound to, where it is to one.
    pub fn pod(&self) -> Option<&str> {
        self.extra.as_ref()?.get(POD)?.first().map(AsRef::as_ref)
    }
}

/// The name alone, for a request that does not carry it beside its object.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

/// The uid alone, for a request whose other fields cannot be read.
#[derive(Deserialize)]
struct Uid<'a> {
    #[serde(borrow, default)]
    uid: Cow<'a, str>,
}

impl Request<'_> {
    /// The same with its object's name: the API server leaves the request's empty for each object of a
    /// deletecollection.
    fn with_name(mut self) -> Self {
        let object = self.old_object.filter(|_| self.name.is_empty());
        if let Some(object) = object.and_then(|o| serde_json::from_str::<Object<'_>>(o.get()).ok())
        {
            self.name = object.metadata.name;
        }
        self
    }
}

impl<'a> Envelope<'a> {
    /// Reads a body.
    pub fn read(body: &'a [u8]) -> Result<Self, Unreadable> {
        let review: Review<'a> = serde_json::from_slice(body)?;
        let text = review.request.ok_or(Unreadable::NoRequest)?.get();
        if !text.starts_with('{') {
            return Err(Unreadable::NoRequest);
        }
        let version = review.api_version.as_deref();
        let api_version = VERSIONS.into_iter().find(|known| Some(*known) == version);
        let (uid, request) = match serde_json::from_str::<Request<'a>>(text) {
            Ok(request) => (request.uid.clone(), Ok(request.with_name())),
            Err(error) => {
                let uid = serde_json::from_str::<Uid<'a>>(text).map(|u| u.uid).unwrap_or_default();
                (uid, Err(format!("the request cannot be read: {error}")))
            }
        };
        let problem = if review.kind.as_deref() != Some("AdmissionReview") {
            Some(format!("the kind is {:?}, not AdmissionReview", review.kind.unwrap_or_default()))
        } else if api_version.is_none() {
            Some(format!(
                "the apiVersion is {:?}, not one of {}",
                version.unwrap_or_default(),
                VERSIONS.join(", ")
            ))
        } else if uid.is_empty() {
            Some("the request has no uid".to_owned())
        } else {
            None
        };
        let request = problem.map_or(request, Err);
        Ok(Self { api_version: api_version.unwrap_or(VERSIONS[0]), uid, request })
    }
}

impl Request<'_> {
    /// Whether this is a dry run.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(api_version: &str, kind: &str, request: &str) -> String {
        format!(r#"{{"apiVersion":"{api_version}","kind":"{kind}","request":{request}}}"#)
    }

    const GOOD: &str = r#"{"uid":"u\u0031","resource":{"group":"apps","version":"v1","resource":"deployments"},
        "operation":"UPDATE","userInfo":{"username":"a","groups":["g"]},"object":{"a": 1},"oldObject":null}"#;

    #[test]
    fn a_review_is_read_and_its_object_stays_as_it_was_written() {
        let body = body("admission.k8s.io/v1", "AdmissionReview", GOOD);
        let envelope = Envelope::read(body.as_bytes()).unwrap();
        assert_eq!(envelope.uid, "u1");
        let request = envelope.request.unwrap();
        assert_eq!(request.object.unwrap().get(), r#"{"a": 1}"#);
        assert!(request.old_object.is_none());
        assert!(!request.is_dry_run());
    }

    #[test]
    fn the_pod_of_a_bound_token_is_read_and_nobody_else_has_one() {
        let pod = |extra: &str| {
            let user = format!(r#""userInfo":{{"username":"a","extra":{extra}}}"#);
            let request = GOOD.replace(r#""userInfo":{"username":"a","groups":["g"]}"#, &user);
            let body = body("admission.k8s.io/v1", "AdmissionReview", &request);
            let request = Envelope::read(body.as_bytes()).unwrap().request.unwrap();
            request.user_info.pod().map(str::to_owned)
        };
        let bound = r#"{"authentication.kubernetes.io/pod-name":["web-1"],"other/key":["x"]}"#;
        assert_eq!(pod(bound).as_deref(), Some("web-1"));
        let empty = r#"{"authentication.kubernetes.io/pod-name":[]}"#;
        let null = r#"{"authentication.kubernetes.io/pod-name":null}"#;
        for extra in ["null", "{}", r#"{"other/key":["x"]}"#, empty, null] {
            assert_eq!(pod(extra), None, "{extra}");
        }
    }

    #[test]
    fn both_versions_are_answered_in_kind() {
        for version in VERSIONS {
            let body = body(version, "AdmissionReview", GOOD);
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            assert_eq!(envelope.api_version, version);
            assert!(envelope.request.is_ok());
        }
    }

    #[test]
    fn an_odd_review_keeps_its_uid_and_says_what_is_odd() {
        let no_uid = GOOD.replace(r#""uid":"u\u0031","#, "");
        let mistyped = GOOD.replace(r#""operation":"UPDATE""#, r#""operation":5"#);
        for (version, kind, request, uid, word) in [
            ("admission.k8s.io/v1", "Pod", GOOD, "u1", "kind"),
            ("admission.k8s.io/v2", "AdmissionReview", GOOD, "u1", "apiVersion"),
            ("admission.k8s.io/v1", "AdmissionReview", no_uid.as_str(), "", "uid"),
            ("admission.k8s.io/v1", "AdmissionReview", mistyped.as_str(), "u1", "cannot be read"),
        ] {
            let body = body(version, kind, request);
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            assert_eq!(envelope.uid, uid);
            let problem = envelope.request.unwrap_err();
            assert!(problem.contains(word), "{problem}");
        }
    }

    #[test]
    fn a_deletecollection_names_its_objects_in_the_objects_alone() {
        let body = |name: &str| {
            format!(
                r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u","name":"{name}",
                "operation":"DELETE","resource":{{"group":"apps","version":"v1","resource":"deployments"}},"userInfo":{{}},
                "oldObject":{{"metadata":{{"name":"web"}}}}}}}}"#
            )
        };
        for (name, expected) in [("", "web"), ("other", "other")] {
            let body = body(name);
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            assert_eq!(envelope.request.unwrap().name, expected);
        }
    }

    #[test]
    fn what_holds_no_request_cannot_be_answered() {
        for body in
            ["", "garbage", "[]", "{}", r#"{"request":null}"#, r#"{"request":[1]}"#, "\u{0}"]
        {
            assert!(Envelope::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
