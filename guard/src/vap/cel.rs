//! Pieces of CEL, as texts: literals, and values of an object that may not be there.

/// A string: nothing in it can end it.
pub(crate) fn literal(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|character| match character {
            '\\' => "\\\\".to_owned(),
            '\'' => "\\'".to_owned(),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect();
    format!("'{escaped}'")
}

/// A list of strings.
pub(crate) fn list<S: AsRef<str>>(items: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = items.into_iter().map(|item| literal(item.as_ref())).collect();
    format!("[{}]", quoted.join(", "))
}

/// Whether every part of a path below an expression is there.
pub(crate) fn is_there(of: &str, keys: &[&str]) -> String {
    let mut at = of.to_owned();
    let mut parts = Vec::new();
    for key in keys {
        let key = literal(key);
        parts.push(format!("{key} in {at}"));
        at = format!("{at}[{key}]");
        parts.push(format!("{at} != null"));
    }
    format!("({})", parts.join(" && "))
}

/// What stands at a path below an expression, which must be there.
pub(crate) fn at(of: &str, keys: &[&str]) -> String {
    keys.iter().fold(of.to_owned(), |at, key| format!("{at}[{}]", literal(key)))
}

/// What stands at a path below an expression, or else another expression.
pub(crate) fn at_or(of: &str, keys: &[&str], otherwise: &str) -> String {
    format!("({} ? {} : {otherwise})", is_there(of, keys), at(of, keys))
}

/// The first of these expressions whose condition holds, or else the last.
pub(crate) fn choose(cases: &[(String, String)], otherwise: &str) -> String {
    let cases: Vec<String> =
        cases.iter().map(|(when, then)| format!("{when} ? {then} : ")).collect();
    format!("({}{otherwise})", cases.concat())
}

/// All of these conditions.
pub(crate) fn all(conditions: &[String]) -> String {
    join(conditions, " && ", "true")
}

/// Any of these conditions.
pub(crate) fn any(conditions: &[String]) -> String {
    join(conditions, " || ", "false")
}

fn join(conditions: &[String], operator: &str, none: &str) -> String {
    if conditions.is_empty() {
        return none.to_owned();
    }
    let all: Vec<String> = conditions.iter().map(|c| format!("({c})")).collect();
    format!("({})", all.join(operator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_one_text_whatever_stands_in_it() {
        assert_eq!(literal(r"o'neil\"), r"'o\'neil\\'");
        assert_eq!(literal("a\nb"), r"'a\u000ab'");
        assert_eq!(list(["a", "b'"]), r"['a', 'b\'']");
    }

    #[test]
    fn what_may_not_be_there_is_looked_for_part_by_part() {
        assert_eq!(
            at_or("o", &["spec", "worker-pool"], "1"),
            "(('spec' in o && o['spec'] != null && 'worker-pool' in o['spec'] && \
             o['spec']['worker-pool'] != null) ? o['spec']['worker-pool'] : 1)"
        );
    }
}
