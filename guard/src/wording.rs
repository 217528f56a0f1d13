//! Sentences that the judgement says and that the API server says while nobody judges: written once, filled in with
//! texts by the one and with CEL expressions for the other.

use std::fmt::{Display, Write as _};

use crate::vap::cel;

/// A sentence with gaps, each written `{}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wording(&'static str);

impl Wording {
    pub(crate) const fn new(sentence: &'static str) -> Self {
        Self(sentence)
    }

    /// The sentence with its gaps filled in.
    pub(crate) fn say(self, parts: &[&dyn Display]) -> String {
        let mut said = String::with_capacity(self.0.len() + 32);
        let mut parts = parts.iter();
        for (place, text) in self.0.split("{}").enumerate() {
            if place > 0
                && let Some(part) = parts.next()
            {
                // Writing into a String does not fail.
                let _written = write!(said, "{part}");
            }
            said.push_str(text);
        }
        said
    }

    /// A CEL expression of the sentence, its gaps filled in by expressions that are strings.
    pub(crate) fn cel(self, parts: &[&str]) -> String {
        let mut terms = Vec::new();
        let mut parts = parts.iter();
        for (place, text) in self.0.split("{}").enumerate() {
            if place > 0 {
                terms.extend(parts.next().map(|part| (*part).to_owned()));
            }
            if !text.is_empty() {
                terms.push(cel::literal(text));
            }
        }
        format!("({})", terms.join(" + "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_said_with_texts_and_written_with_expressions() {
        let wording = Wording::new("{} is {}: the 'maximum' is {}");
        assert_eq!(wording.say(&[&"a", &1, &2]), "a is 1: the 'maximum' is 2");
        assert_eq!(
            wording.cel(&["x", "string(y)", "'3'"]),
            r"(x + ' is ' + string(y) + ': the \'maximum\' is ' + '3')"
        );
    }
}
