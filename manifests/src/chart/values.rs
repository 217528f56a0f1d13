//! The values of a chart, read from its `values.yaml` with the comments above them: what each means, and what may stand
//! there. Does not live here: the schema (`schema`) and the reference (`reference`) made of them.
//!
//! A comment above a key says what the value is. Its line `@schema {…}` says in JSON Schema what may stand there; a
//! value without one is what its default is. A map without one is a section: its keys are described one by one.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

const SCHEMA: &str = "@schema ";

/// A value, or a section of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Its key.
    pub(super) key: String,
    /// What it is.
    pub(super) about: String,
    /// What it is, as a value or a section.
    pub(super) is: Is,
}

/// A value or a section.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Is {
    /// A value.
    Value {
        /// Where none is given.
        default: Value,
        /// What may stand there, besides what the default says.
        schema: Map<String, Value>,
    },
    /// Values below it.
    Section(Vec<Entry>),
}

/// Reads a `values.yaml`.
pub(super) fn read(text: &str) -> Result<Vec<Entry>> {
    let defaults: Value = serde_saphyr::from_str(text).context("the values are no YAML")?;
    let mut lines = Lines { rest: text.lines().enumerate().collect() };
    section(&mut lines, 0, &defaults)
}

/// The lines not yet read, the next one last.
struct Lines<'a> {
    rest: std::collections::VecDeque<(usize, &'a str)>,
}

/// What stands above a key.
#[derive(Default)]
struct Comment {
    about: Vec<String>,
    schema: Option<Map<String, Value>>,
}

/// The keys at this depth, until a line that is less deep.
fn section(lines: &mut Lines<'_>, depth: usize, defaults: &Value) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut comment = Comment::default();
    while let Some(&(number, line)) = lines.rest.front() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        if text.is_empty() {
            // A comment apart from the next key speaks of none.
            comment = Comment::default();
            lines.rest.pop_front();
            continue;
        }
        if indent < depth {
            break;
        }
        lines.rest.pop_front();
        if let Some(said) = text.strip_prefix('#') {
            comment.add(said.trim()).with_context(|| format!("line {}", number + 1))?;
            continue;
        }
        ensure!(indent == depth, "line {}: {text:?} belongs to no key", number + 1);
        let (key, _) =
            text.split_once(':').with_context(|| format!("line {}: no key", number + 1))?;
        let default =
            defaults.get(key).with_context(|| format!("{key} is not among the values"))?;
        entries.push(entry(lines, depth, key, default, std::mem::take(&mut comment))?);
    }
    Ok(entries)
}

fn entry(
    lines: &mut Lines<'_>,
    depth: usize,
    key: &str,
    default: &Value,
    comment: Comment,
) -> Result<Entry> {
    let is_section = comment.schema.is_none() && default.as_object().is_some_and(|m| !m.is_empty());
    let is = if is_section {
        let below = section(lines, depth + 2, default).with_context(|| key.to_owned())?;
        ensure!(
            default.as_object().is_some_and(|map| map.len() == below.len()),
            "{key}: not every value below it was found; write one key a line"
        );
        Is::Section(below)
    } else {
        while lines.rest.front().is_some_and(|(_, line)| is_deeper(line, depth)) {
            lines.rest.pop_front();
        }
        ensure!(!comment.about.is_empty(), "{key}: say above it what it is");
        Is::Value { default: default.clone(), schema: comment.schema.unwrap_or_default() }
    };
    Ok(Entry { key: key.to_owned(), about: comment.about.join(" "), is })
}

/// Whether a line still belongs to the value of a key at this depth.
fn is_deeper(line: &str, depth: usize) -> bool {
    line.len() - line.trim_start().len() > depth && !line.trim().is_empty()
}

impl Comment {
    fn add(&mut self, said: &str) -> Result<()> {
        let Some(schema) = said.strip_prefix(SCHEMA) else {
            self.about.push(said.to_owned());
            return Ok(());
        };
        match serde_json::from_str(schema).with_context(|| format!("{schema} is no JSON"))? {
            Value::Object(schema) => self.schema = Some(schema),
            other => bail!("{other} is no schema"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_has_what_stands_above_it_and_a_section_its_values() {
        let text = "\
# Not of a key.

# Of both
# programs.
log:
  # How.
  # @schema {\"enum\": [\"json\"]}
  format: json
  # Which.
  levels:
    - info
# Pods.
# @schema {\"minimum\": 1}
replicas: 2
";
        let value = |key: &str, about: &str, default, schema: Value| Entry {
            key: key.into(),
            about: about.into(),
            is: Is::Value { default, schema: schema.as_object().unwrap().clone() },
        };
        let log = vec![
            value("format", "How.", json!("json"), json!({"enum": ["json"]})),
            value("levels", "Which.", json!(["info"]), json!({})),
        ];
        let expected = [
            Entry { key: "log".into(), about: "Of both programs.".into(), is: Is::Section(log) },
            value("replicas", "Pods.", json!(2), json!({"minimum": 1})),
        ];
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn a_value_nobody_described_and_a_schema_that_is_none_are_refused() {
        for text in
            ["a: 1\n", "# A.\n# @schema {\na: 1\n", "# A.\n# @schema 1\na: 1\n", "# A.\n- a\n"]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
