//! What the text of an expression must keep to before the library reads it: its length, how deep its brackets stand
//! within each other, and no sign twice in a row, of which the library reads only one.

/// Longest expression. Bytes.
pub(super) const LONGEST: usize = 2048;
/// Most brackets within each other: the library's reader takes ever longer for each.
pub(super) const DEEPEST: usize = 12;

/// Most choices by `? :`, of which each stands within the one before.
pub(super) const MOST_CHOICES: usize = 16;

/// Checks the text. The error says where something is wrong, what, and what is allowed.
pub(super) fn check(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("the expression is empty; write one, as in object.spec.replicas <= 5".into());
    }
    if text.len() > LONGEST {
        let length = text.len();
        return Err(format!("the expression has {length} bytes; at most {LONGEST} are allowed"));
    }
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut choices, mut last) = (0, 0_usize, 0, Last::Other);
    while let Some(byte) = bytes.get(at) {
        let rest = bytes.get(at..).unwrap_or_default();
        let (length, now) = match byte {
            b if b.is_ascii_whitespace() => (1, last),
            b'/' if rest.starts_with(b"//") => (until(rest, |b| b == b'\n'), last),
            b'\'' | b'"' => (literal(rest, false), Last::Operand),
            b'(' | b'[' | b'{' => {
                depth += 1;
                (1, Last::Other)
            }
            b')' | b']' | b'}' => {
                depth = depth.saturating_sub(1);
                (1, Last::Operand)
            }
            b'!' if rest.get(1) == Some(&b'=') => (2, Last::Other),
            b'-' if last == Last::Operand => (1, Last::Other),
            b'!' | b'-' if last == Last::Sign(*byte) => {
                let sign = char::from(*byte);
                let reason =
                    format!("{sign} stands twice; leave both out or write {sign}({sign}…)");
                return Err(placed(text, at, &reason));
            }
            b'!' | b'-' => (1, Last::Sign(*byte)),
            b if is_of_word(*b) => word(rest),
            _ => (1, Last::Other),
        };
        choices += usize::from(*byte == b'?');
        if choices > MOST_CHOICES {
            let reason = format!("it makes more than {MOST_CHOICES} choices by ? and :");
            return Err(placed(text, at, &reason));
        }
        if depth > DEEPEST {
            let reason = format!("brackets stand more than {DEEPEST} deep within each other");
            return Err(placed(text, at, &reason));
        }
        (at, last) = (at + length.max(1), now);
    }
    Ok(())
}

/// A reason with the place it is about.
fn placed(text: &str, at: usize, reason: &str) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {reason}")
}

/// What stood before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Something after which a minus subtracts.
    Operand,
    Sign(u8),
    Other,
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn until(bytes: &[u8], end: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|b| end(*b)).unwrap_or(bytes.len())
}

/// The length of a name, a number, or a literal with its prefix.
fn word(rest: &[u8]) -> (usize, Last) {
    let length = until(rest, |b| !is_of_word(b));
    let (word, after) = rest.split_at(length);
    let is_prefix = length <= 2 && word.iter().all(|b| b"rRbB".contains(b));
    if is_prefix && matches!(after.first(), Some(b'\'' | b'"')) {
        let raw = word.iter().any(|b| b"rR".contains(b));
        return (length + literal(after, raw), Last::Operand);
    }
    (length, if word == b"in" { Last::Other } else { Last::Operand })
}

/// The length of a literal with its quotes; the rest where it is not closed, of which the library complains.
fn literal(rest: &[u8], raw: bool) -> usize {
    let quote = rest.get(..1).unwrap_or_default();
    let triple = quote.repeat(3);
    let quote = if rest.starts_with(&triple) { triple.as_slice() } else { quote };
    let mut at = quote.len();
    while let Some(inside) = rest.get(at..).filter(|inside| !inside.is_empty()) {
        if inside.starts_with(quote) {
            return at + quote.len();
        }
        at += if inside.starts_with(b"\\") && !raw { 2 } else { 1 };
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_brackets_count_outside_of_literals_and_comments() {
        let deep = format!("'{}' == '' // {}", "(".repeat(40), "[".repeat(40));
        for text in [
            "1 - -1 == 2 && !(!true) && a != !b",
            r"'!!' == '\'--' && r'\' != '--'",
            r#"""" "!! """ == "" // !!"#,
            "a[0] - -b.size() - -'x'.size()",
            "a-b-c == -1",
            &deep,
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for (text, expected) in [
            ("a && ! \n !b", "line 2, column 2: ! stands twice"),
            ("--1 == 1", "line 1, column 2: - stands twice"),
            ("1 - - -1 == 1", "column 7: - stands twice"),
            ("1 in - -1", "column 8: - stands twice"),
            (r"'\\' == !!true", "column 10"),
            (&"true?1:".repeat(17), "column 117: it makes more than 16 choices"),
            (
                &format!("'ä' + {}", "(".repeat(13)),
                "line 1, column 19: brackets stand more than 12",
            ),
        ] {
            let error = check(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
