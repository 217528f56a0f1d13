//! What expressions look at: the objects before and after the write and the request, made of the review only when an
//! expression asks, once for all of them, and never larger than can be looked at in bounded time.

#![cfg_attr(not(feature = "cel"), allow(dead_code, reason = "nothing asks without the language"))]

use std::cell::OnceCell;

use serde_json::{Value as Json, json};
use smartops_change::Change;

use crate::subject::Subject;

/// Largest object an expression looks at. Bytes of text.
const LARGEST: usize = 256 << 10;
/// Longest list in it.
const LONGEST_LIST: usize = 10_000;
/// Deepest nesting in it.
const DEEPEST: usize = 64;

/// What every expression may ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Object,
    OldObject,
    Request,
}

impl Root {
    pub(super) const NAMES: [(&str, Self); 3] =
        [("object", Self::Object), ("oldObject", Self::OldObject), ("request", Self::Request)];
}

/// What the expressions of one review look at.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    change: &'a Change<'a>,
    subject: &'a Subject,
    /// `object` is the object before the write.
    looks_back: bool,
    object: OnceCell<Result<Json, String>>,
    old: OnceCell<Result<Json, String>>,
    request: OnceCell<Json>,
}

impl<'a> Inputs<'a> {
    /// Nothing is read until an expression asks for it.
    pub(crate) fn new(change: &'a Change<'a>, subject: &'a Subject) -> Self {
        Self {
            change,
            subject,
            looks_back: false,
            object: OnceCell::new(),
            old: OnceCell::new(),
            request: OnceCell::new(),
        }
    }

    /// The same of the object before the write, as if nothing were written.
    pub(crate) fn before(&self) -> Self {
        Self { looks_back: true, ..Self::new(self.change, self.subject) }
    }

    /// The value of a variable; `null` where the operation has no such object.
    pub(super) fn root(&self, root: Root) -> Result<&Json, String> {
        match root {
            Root::Object => {
                let change = self.change;
                let text = if self.looks_back { change.old_text() } else { change.new_text() };
                let read = || object("object", text);
                self.object.get_or_init(read).as_ref().map_err(Clone::clone)
            }
            Root::OldObject => {
                let read = || object("oldObject", self.change.old_text());
                self.old.get_or_init(read).as_ref().map_err(Clone::clone)
            }
            Root::Request => Ok(self.request.get_or_init(|| self.read_request())),
        }
    }

    fn read_request(&self) -> Json {
        let resource = self.change.resource();
        json!({
            "operation": self.change.operation().as_str(),
            "namespace": self.change.namespace().unwrap_or_default(),
            "name": self.change.name(),
            "resource": {
                "group": resource.group,
                "version": resource.version,
                "resource": resource.resource,
            },
            "subResource": resource.subresource,
            "userInfo": {
                "username": self.subject.username(),
                "groups": self.subject.groups(),
            },
        })
    }
}

fn object(name: &str, text: Option<&str>) -> Result<Json, String> {
    let Some(text) = text else { return Ok(Json::Null) };
    if text.len() > LARGEST {
        let (is, most) = (text.len() >> 10, LARGEST >> 10);
        return Err(format!("{name} has {is} KiB; expressions look at objects up to {most} KiB"));
    }
    let json: Json =
        serde_json::from_str(text).map_err(|error| format!("{name} cannot be read: {error}"))?;
    if is_within_bounds(&json, DEEPEST) {
        return Ok(json);
    }
    Err(format!(
        "{name} has a list over {LONGEST_LIST} items or is nested over {DEEPEST} deep, and expressions look at no such objects"
    ))
}

fn is_within_bounds(json: &Json, depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else { return false };
    match json {
        Json::Array(items) => {
            items.len() <= LONGEST_LIST && items.iter().all(|item| is_within_bounds(item, below))
        }
        Json::Object(map) => {
            map.len() <= LONGEST_LIST && map.values().all(|item| is_within_bounds(item, below))
        }
        _ => true,
    }
}
