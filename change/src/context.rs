//! What a field means for comparison, told by the keys that lead to it: what the server owns, where an empty object
//! is a value, which lists have merge keys, where text is a quantity. Difference and digest read the same table,
//! so that they can never disagree.

use std::borrow::Cow;

use crate::quantity::{Format, Quantity};
use crate::raw::{self, Error, Object, Shape};

/// What the members of an object mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// The object under review. `status` tells whether its status is part of the comparison.
    Root { status: bool },
    /// Its metadata.
    Metadata,
    /// Its annotations.
    Annotations,
    /// Any structured part.
    Structure,
    /// A map of free keys to strings: no key of it means anything here.
    Strings,
    /// A quantity, or a map of names to quantities.
    Quantities,
}

impl Context {
    /// What the member `key` means; `None` where the server owns it.
    pub(crate) fn child(self, key: &str) -> Option<Self> {
        match self {
            Self::Root { status } => match key {
                "status" if !status => None,
                "metadata" => Some(Self::Metadata),
                _ => Some(Self::of_key(key)),
            },
            Self::Metadata => match key {
                "managedFields"
                | "resourceVersion"
                | "generation"
                | "uid"
                | "selfLink"
                | "creationTimestamp"
                | "deletionTimestamp"
                | "deletionGracePeriodSeconds" => None,
                "annotations" => Some(Self::Annotations),
                _ => Some(Self::of_key(key)),
            },
            Self::Annotations => match key {
                "deployment.kubernetes.io/revision"
                | "deprecated.daemonset.template.generation"
                | "autoscaling.alpha.kubernetes.io/conditions"
                | "autoscaling.alpha.kubernetes.io/current-metrics"
                | "kubectl.kubernetes.io/last-applied-configuration" => None,
                _ => Some(Self::Strings),
            },
            Self::Structure => Some(Self::of_key(key)),
            Self::Strings => Some(Self::Strings),
            Self::Quantities => Some(Self::Quantities),
        }
    }

    fn of_key(key: &str) -> Self {
        match key {
            "annotations" | "labels" | "nodeSelector" | "matchLabels" | "data" | "stringData"
            | "binaryData" => Self::Strings,
            "limits" | "requests" | "overhead" | "capacity" | "hard" | "sizeLimit" | "divisor" => {
                Self::Quantities
            }
            _ => Self::Structure,
        }
    }

    /// Whether an empty object under `key` says no more than its absence. Everywhere else presence counts:
    /// `securityContext: {}` on a container makes a new ReplicaSet.
    pub(crate) fn empty_is_absent(self, key: &str) -> bool {
        match self {
            Self::Root { .. } | Self::Metadata | Self::Structure => matches!(
                key,
                "metadata"
                    | "spec"
                    | "status"
                    | "template"
                    | "jobTemplate"
                    | "updateStrategy"
                    | "strategy"
                    | "resources"
                    | "annotations"
                    | "labels"
                    | "nodeSelector"
                    | "matchLabels"
                    | "data"
                    | "stringData"
                    | "binaryData"
                    | "limits"
                    | "requests"
                    | "overhead"
                    | "capacity"
                    | "hard"
            ),
            Self::Annotations | Self::Strings | Self::Quantities => true,
        }
    }
}

/// A text that says something; null and an empty list say nothing.
pub(crate) fn present(text: &str) -> Option<&str> {
    let blank = match raw::shape(text) {
        Shape::Null => true,
        Shape::List => {
            text.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(']'))
        }
        Shape::Scalar | Shape::Object => false,
    };
    (!blank).then_some(text)
}

/// What makes two quantities equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    /// Their values.
    ByValue,
    /// Their values in the form in which the API server writes them: `1Gi` and `1073741824` are two, `1Gi` and
    /// `1024Mi` one. A StatefulSet and a DaemonSet compare their templates so.
    AsWritten,
}

/// A scalar in the form in which equal values are equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(u64),
    Text(Cow<'a, str>),
    Quantity(Quantity),
    Written(Quantity, Format),
}

impl<'a> Scalar<'a> {
    /// Reads a scalar's text.
    pub(crate) fn read(text: &'a str, context: Context, notation: Notation) -> Result<Self, Error> {
        let scalar = match text.as_bytes().first() {
            Some(b'"') => Self::Text(raw::string(text)?),
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'n') => Self::Null,
            _ => number(text)?,
        };
        Ok(scalar.normalised(context, notation))
    }

    /// The same value, as a quantity where the context says that it is one.
    pub(crate) fn normalised(self, context: Context, notation: Notation) -> Self {
        if context != Context::Quantities {
            return self;
        }
        let text = match &self {
            Self::Text(text) => Cow::Borrowed(text.as_ref()),
            Self::Signed(n) => Cow::Owned(n.to_string()),
            Self::Unsigned(n) => Cow::Owned(n.to_string()),
            Self::Float(bits) => Cow::Owned(f64::from_bits(*bits).to_string()),
            Self::Null | Self::Bool(_) | Self::Quantity(_) | Self::Written(..) => return self,
        };
        match (Quantity::parse(&text), notation) {
            (None, _) => self,
            (Some(quantity), Notation::ByValue) => Self::Quantity(quantity),
            (Some(quantity), Notation::AsWritten) => {
                Self::Written(quantity, Format::of(quantity, &text))
            }
        }
    }
}

fn number(text: &str) -> Result<Scalar<'static>, Error> {
    if let Ok(n) = serde_json::from_str::<u64>(text) {
        return Ok(Scalar::Unsigned(n));
    }
    if let Ok(n) = serde_json::from_str::<i64>(text) {
        return Ok(Scalar::Signed(n));
    }
    serde_json::from_str::<f64>(text)
        .map(|n| Scalar::Float(n.to_bits()))
        .map_err(|e| Error::Unreadable(format!("expected a number: {e}")))
}

/// What tells the items of the list under `key` apart; `None` where only their place does.
pub(crate) fn item_name<'a>(
    context: Context,
    key: &str,
    item: &'a str,
) -> Result<Option<Cow<'a, str>>, Error> {
    if context != Context::Structure {
        return Ok(None);
    }
    let fields: &[&str] = match key {
        "finalizers" => {
            return if item.starts_with('"') { raw::string(item).map(Some) } else { Ok(None) };
        }
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "volumes"
        | "env"
        | "imagePullSecrets"
        | "resourceClaims"
        | "claims"
        | "schedulingGates" => &["name"],
        // Claims have no merge key, but the API server wants their names distinct.
        "volumeClaimTemplates" => return claim_name(item),
        "ports" => return port_name(item),
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "hostAliases" => &["ip"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        "conditions" => &["type"],
        "ownerReferences" => &["uid"],
        _ => return Ok(None),
    };
    let Some(object) = object(item)? else { return Ok(None) };
    let mut name: Option<Cow<'_, str>> = None;
    for field in fields {
        let Some(part) = object.get(field) else { return Ok(None) };
        let part = scalar_text(part)?;
        name = Some(match name {
            None => part,
            Some(former) => Cow::Owned(format!("{former}/{part}")),
        });
    }
    Ok(name)
}

fn object(item: &str) -> Result<Option<Object<'_>>, Error> {
    (raw::shape(item) == Shape::Object).then(|| Object::read(item)).transpose()
}

fn claim_name(item: &str) -> Result<Option<Cow<'_, str>>, Error> {
    let Some(claim) = object(item)? else { return Ok(None) };
    claim.object("metadata")?.string("name")
}

fn port_name(item: &str) -> Result<Option<Cow<'_, str>>, Error> {
    let Some(port) = object(item)? else { return Ok(None) };
    let Some(number) = port.get("containerPort").or_else(|| port.get("port")) else {
        return Ok(None);
    };
    let protocol = port.string("protocol")?.unwrap_or(Cow::Borrowed("TCP"));
    Ok(Some(Cow::Owned(format!("{}/{protocol}", scalar_text(number)?))))
}

fn scalar_text(text: &str) -> Result<Cow<'_, str>, Error> {
    if text.starts_with('"') { raw::string(text) } else { Ok(Cow::Borrowed(text)) }
}
