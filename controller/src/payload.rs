//! Reading a JSON body field by field, so that whatever is wrong is told with the field's own name and what it may
//! hold. A field that is `null` counts as absent; fields nobody asks for are left alone.

use serde_json::{Map, Value};

/// A field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {allowed}")]
pub struct Invalid {
    /// Its path, as `target.name`; `body` for the whole.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What it may hold.
    pub allowed: String,
}

/// An object of the body.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

/// Parses a body as one JSON object.
pub fn parse(body: &[u8]) -> Result<Value, Invalid> {
    let invalid = |problem: String| Invalid {
        field: "body".into(),
        problem,
        allowed: "send one JSON object".into(),
    };
    let value: Value =
        serde_json::from_slice(body).map_err(|e| invalid(format!("not valid JSON ({e})")))?;
    if value.is_object() { Ok(value) } else { Err(invalid(format!("is {}", kind(&value)))) }
}

impl<'a> Fields<'a> {
    /// The fields of a body [`parse`] accepted.
    pub fn new(body: &'a Value) -> Result<Self, Invalid> {
        match body.as_object() {
            Some(map) => Ok(Self { path: String::new(), map }),
            None => Err(Invalid {
                field: "body".into(),
                problem: format!("is {}", kind(body)),
                allowed: "send one JSON object".into(),
            }),
        }
    }

    /// An error about one of these fields.
    pub fn invalid(&self, name: &str, problem: impl Into<String>, allowed: &str) -> Invalid {
        Invalid {
            field: format!("{}{name}", self.path),
            problem: problem.into(),
            allowed: allowed.to_owned(),
        }
    }

    /// The raw value, where there is one.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|v| !v.is_null())
    }

    /// The raw value.
    pub fn required(&self, name: &str, allowed: &str) -> Result<&'a Value, Invalid> {
        self.value(name).ok_or_else(|| self.invalid(name, "is missing", allowed))
    }

    /// A string of at least one and at most 253 characters.
    pub fn string(&self, name: &str) -> Result<&'a str, Invalid> {
        const ALLOWED: &str = "give a string of 1 to 253 characters";
        self.required(name, ALLOWED)?;
        self.optional_string(name)?.ok_or_else(|| self.invalid(name, "is missing", ALLOWED))
    }

    /// The same, or nothing.
    pub fn optional_string(&self, name: &str) -> Result<Option<&'a str>, Invalid> {
        const ALLOWED: &str = "give a string of 1 to 253 characters";
        let Some(value) = self.value(name) else { return Ok(None) };
        let Some(text) = value.as_str() else { return Err(self.mistyped(name, value, ALLOWED)) };
        match text.chars().count() {
            0 => Err(self.invalid(name, "is empty", ALLOWED)),
            1..=253 => Ok(Some(text)),
            more => Err(self.invalid(name, format!("has {more} characters"), ALLOWED)),
        }
    }

    /// A boolean.
    pub fn boolean(&self, name: &str) -> Result<bool, Invalid> {
        const ALLOWED: &str = "give true or false";
        let value = self.required(name, ALLOWED)?;
        value.as_bool().ok_or_else(|| self.mistyped(name, value, ALLOWED))
    }

    /// A boolean, false where absent.
    pub fn flag(&self, name: &str) -> Result<bool, Invalid> {
        if self.value(name).is_some() { self.boolean(name) } else { Ok(false) }
    }

    /// A whole number within a range.
    pub fn integer(&self, name: &str, least: i32, most: i32) -> Result<i32, Invalid> {
        let allowed = format!("give a whole number from {least} to {most}");
        let value = self.required(name, &allowed)?;
        let Some(number) = whole(value) else {
            return Err(self.mistyped(name, value, &allowed));
        };
        i32::try_from(number)
            .ok()
            .filter(|n| (least..=most).contains(n))
            .ok_or_else(|| self.invalid(name, format!("is {number}"), &allowed))
    }

    /// Seconds within a range, or a default.
    pub fn seconds(&self, name: &str, default: u32, most: u32) -> Result<u32, Invalid> {
        if self.value(name).is_none() {
            return Ok(default);
        }
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        Ok(self.integer(name, 1, most)?.unsigned_abs())
    }

    /// A number from 0 to 1.
    pub fn fraction(&self, name: &str) -> Result<f64, Invalid> {
        const ALLOWED: &str = "give a number from 0 to 1";
        let value = self.required(name, ALLOWED)?;
        let Some(number) = value.as_f64() else { return Err(self.mistyped(name, value, ALLOWED)) };
        if (0.0..=1.0).contains(&number) {
            Ok(number)
        } else {
            Err(self.invalid(name, format!("is {number}"), ALLOWED))
        }
    }

    /// An object within.
    pub fn object(&self, name: &str) -> Result<Self, Invalid> {
        const ALLOWED: &str = "give an object";
        let value = self.required(name, ALLOWED)?;
        let map = value.as_object().ok_or_else(|| self.mistyped(name, value, ALLOWED))?;
        Ok(Self { path: format!("{}{name}.", self.path), map })
    }

    /// The objects of a list within; none where it is absent.
    pub fn objects(&self, name: &str, most: usize) -> Result<Vec<Self>, Invalid> {
        let allowed = format!("give a list of at most {most} objects");
        let Some(value) = self.value(name) else { return Ok(Vec::new()) };
        let Some(list) = value.as_array() else {
            return Err(self.mistyped(name, value, &allowed));
        };
        if list.len() > most {
            return Err(self.invalid(name, format!("has {} items", list.len()), &allowed));
        }
        list.iter().enumerate().map(|(index, value)| self.item(name, index, value)).collect()
    }

    /// One element of a list, as an object.
    pub fn item(&self, name: &str, index: usize, value: &'a Value) -> Result<Self, Invalid> {
        let place = format!("{name}[{index}]");
        match value.as_object() {
            Some(map) => Ok(Self { path: format!("{}{place}.", self.path), map }),
            None => Err(self.mistyped(&place, value, "give an object")),
        }
    }

    /// The name of a namespace, or nothing.
    pub fn namespace(&self, name: &str) -> Result<Option<&'a str>, Invalid> {
        const ALLOWED: &str = "give a namespace's name: lower-case letters, digits and -";
        match self.optional_string(name)? {
            Some(text) if text.contains('.') || !is_name(text) => {
                Err(self.invalid(name, format!("{text:?} is no namespace's name"), ALLOWED))
            }
            other => Ok(other),
        }
    }

    fn mistyped(&self, name: &str, value: &Value, allowed: &str) -> Invalid {
        self.invalid(name, format!("is {}", kind(value)), allowed)
    }
}

/// A whole number, however it is written: JSON knows no difference between 4 and 4.0.
fn whole(value: &Value) -> Option<i64> {
    let exact = || {
        let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
        format!("{number:.0}").parse().ok()
    };
    value.as_i64().or_else(exact)
}

/// Whether an object may have this name. Nothing else may stand in the path of a call.
pub fn is_name(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(is_plain)
        && text.ends_with(is_plain)
        && text.chars().all(|c| is_plain(c) || c == '-' || c == '.')
        && !text.contains("..")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_json_object_is_refused_as_a_whole() {
        for body in ["", "{", "[]", "3", "{\"a\":1} x"] {
            assert_eq!(parse(body.as_bytes()).unwrap_err().field, "body", "{body}");
        }
        assert!(parse(b"{}").is_ok());
    }

    #[test]
    fn whatever_is_wrong_is_told_by_the_fields_path() {
        let body = json!({
            "text": 3, "empty": "", "flag": "yes", "number": 1.5, "big": 99, "part": 1.2,
            "inner": {"name": null}, "list": [{}, 4], "null": null,
        });
        let fields = Fields::new(&body).unwrap();
        let inner = fields.object("inner").unwrap();
        let errors = [
            (fields.string("text").unwrap_err(), "text", "is a number"),
            (fields.string("empty").unwrap_err(), "empty", "is empty"),
            (fields.string("null").unwrap_err(), "null", "is missing"),
            (fields.boolean("flag").unwrap_err(), "flag", "is a string"),
            (fields.boolean("absent").unwrap_err(), "absent", "is missing"),
            (fields.integer("number", 0, 9).unwrap_err(), "number", "is a number"),
            (fields.integer("big", 0, 9).unwrap_err(), "big", "is 99"),
            (fields.seconds("big", 5, 60).unwrap_err(), "big", "is 99"),
            (fields.fraction("part").unwrap_err(), "part", "is 1.2"),
            (inner.string("name").unwrap_err(), "inner.name", "is missing"),
            (fields.object("text").unwrap_err(), "text", "is a number"),
            (fields.objects("list", 5).unwrap_err(), "list[1]", "is a number"),
            (fields.objects("list", 1).unwrap_err(), "list", "has 2 items"),
        ];
        for (error, field, problem) in errors {
            assert_eq!((error.field.as_str(), error.problem.as_str()), (field, problem));
        }
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let body = json!({"a": 4, "b": 4.0, "c": 4.5, "d": 1e300});
        let fields = Fields::new(&body).unwrap();
        assert_eq!((fields.integer("a", 0, 9), fields.integer("b", 0, 9)), (Ok(4), Ok(4)));
        assert!(fields.integer("c", 0, 9).is_err() && fields.integer("d", 0, 9).is_err());
    }

    #[test]
    fn only_a_name_may_stand_in_the_path_of_a_call() {
        for good in ["web", "web-1", "a.b", "7"] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "Web", "a/b", "..", "a..b", "-a", "a-", "a?b", "a b", "a%2f", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
        let body = json!({"namespace": "a/../b", "dotted": "a.b", "good": "shop"});
        let fields = Fields::new(&body).unwrap();
        assert_eq!(fields.namespace("namespace").unwrap_err().field, "namespace");
        assert_eq!(fields.namespace("dotted").unwrap_err().field, "dotted");
        assert_eq!(fields.namespace("good"), Ok(Some("shop")));
        assert_eq!(fields.namespace("absent"), Ok(None));
    }

    #[test]
    fn what_may_be_absent_has_its_default() {
        let body = json!({"null": null});
        let fields = Fields::new(&body).unwrap();
        assert_eq!(fields.flag("null"), Ok(false));
        assert_eq!(fields.seconds("null", 60, 300), Ok(60));
        assert_eq!(fields.optional_string("null"), Ok(None));
        assert!(fields.objects("null", 3).unwrap().is_empty());
    }
}
