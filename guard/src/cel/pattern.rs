//! Regular expressions in `matches`: compiled once, when the expression is read, linear in the text, bounded in size.

use regex::bytes::{Regex, RegexBuilder};

/// A pattern, with what asking it costs.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    pub(super) regex: Regex,
    /// How much more than a plain search a byte of text costs.
    pub(super) cost: u64,
}

/// Programs of patterns up to so many bytes, and what a byte of text each may cost.
const SIZES: [(usize, u64); 3] = [(2 << 10, 1), (8 << 10, 4), (32 << 10, 16)];

impl Pattern {
    /// Compiles a pattern: ASCII classes, bytes for characters.
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        for (size, cost) in SIZES {
            let mut builder = RegexBuilder::new(pattern);
            match builder.unicode(false).size_limit(size).dfa_size_limit(1 << 20).build() {
                Ok(regex) => return Ok(Self { regex, cost }),
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => {
                    let error = error.to_string();
                    let last = error.lines().last().unwrap_or_default();
                    let last = last.trim_start_matches("error: ");
                    return Err(format!("the pattern cannot be read: {last}"));
                }
            }
        }
        Err("the pattern's program is over 32 KiB; repeat less".to_owned())
    }
}
