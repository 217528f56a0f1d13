//! `docs/values.md`: every value of the chart, with its default and what it is. Does not live here: reading the values
//! (`values`).

use super::values::{Entry, Is};

const HEAD: &str = "\
# Values of the chart

What `helm install smartops charts/smartops --namespace smartops-system --set NAME=VALUE` takes. A name that is not listed here is
refused, and so is a value of another kind: `charts/smartops/values.schema.json` holds what is written here.

";

/// The page: the sections of each chart, with what precedes the names of its values.
pub(super) fn page(charts: &[(&str, &[Entry])]) -> String {
    let mut page = HEAD.to_owned();
    for (before, entries) in charts {
        let is_value = |entry: &&Entry| matches!(entry.is, Is::Value { .. });
        let rows: String =
            entries.iter().filter(is_value).map(|entry| row(before, entry)).collect();
        let name = before.trim_end_matches('.');
        page += &table(if name.is_empty() { "Values" } else { name }, "", &rows);
        for entry in *entries {
            let Is::Section(below) = &entry.is else { continue };
            let title = format!("{before}{}", entry.key);
            page += &table(&title, &entry.about, &section(&title, below));
        }
    }
    format!("{}\n", page.trim_end())
}

fn table(title: &str, about: &str, rows: &str) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let about = if about.is_empty() { String::new() } else { format!("{about}\n\n") };
    format!("## {title}\n\n{about}| value | default | what it is |\n| --- | --- | --- |\n{rows}\n")
}

fn section(name: &str, below: &[Entry]) -> String {
    below.iter().map(|entry| row(&format!("{name}."), entry)).collect()
}

fn row(before: &str, entry: &Entry) -> String {
    let name = format!("{before}{}", entry.key);
    let default = match &entry.is {
        Is::Section(below) => return section(&name, below),
        Is::Value { default, .. } => default,
    };
    let default = match default.as_str() {
        Some("") => String::new(),
        Some(text) => format!("`{text}`"),
        None => format!("`{default}`"),
    };
    format!("| `{name}` | {default} | {} |\n", entry.about.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::values::read;

    #[test]
    fn every_value_has_a_row_with_its_whole_name() {
        let values = read("# One.\na: \"\"\n# Some.\nb:\n  c:\n    # Two.\n    d: [1]\n").unwrap();
        let page = page(&[("", &values), ("inner.", &values)]);
        for row in [
            "## Values\n",
            "| `a` |  | One. |",
            "## b\n\nSome.\n",
            "| `b.c.d` | `[1]` | Two. |",
            "## inner\n",
            "| `inner.a` |  | One. |",
            "| `inner.b.c.d` | `[1]` | Two. |",
        ] {
            assert!(page.contains(row), "{row} in {page}");
        }
    }
}
