//! The scanner: finds where the parts of one level of a JSON text begin and end, and passes over what lies below by
//! its quotes and brackets alone. It checks the level it reads; what lies below is checked when it is read in turn.

use crate::raw::Error;

/// A place in a JSON text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// A string as it stands, without its quotes.
pub(crate) struct Quoted<'a> {
    pub(crate) inner: &'a str,
    pub(crate) has_escapes: bool,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Passes over white space and tells what stands there.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.text.as_bytes().get(self.at) {
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return Some(*byte),
            }
        }
        None
    }

    /// Passes over the mark if it is what comes next.
    pub(crate) fn take(&mut self, mark: u8) -> bool {
        let found = self.peek() == Some(mark);
        self.at += usize::from(found);
        found
    }

    /// Passes over the mark, which must come next.
    pub(crate) fn expect(&mut self, mark: u8) -> Result<(), Error> {
        if self.take(mark) { Ok(()) } else { Err(self.unexpected(&char::from(mark).to_string())) }
    }

    /// Makes sure that nothing is left.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("the end")) }
    }

    /// Passes over a string.
    pub(crate) fn string(&mut self) -> Result<Quoted<'a>, Error> {
        self.expect(b'"')?;
        let start = self.at;
        let has_escapes = self.close_string()?;
        let inner = self.text.get(start..self.at - 1).unwrap_or_default();
        Ok(Quoted { inner, has_escapes })
    }

    /// Passes over a value and gives its text.
    pub(crate) fn value(&mut self) -> Result<&'a str, Error> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => {
                self.at += 1;
                self.close_string()?;
            }
            Some(b'{' | b'[') => self.pass_brackets()?,
            _ => self.pass_word()?,
        }
        self.text.get(start..self.at).ok_or_else(|| self.unexpected("a value"))
    }

    /// From behind the opening quote to behind the closing one; tells whether there were escapes.
    fn close_string(&mut self) -> Result<bool, Error> {
        match end_of_string(self.text.as_bytes(), self.at) {
            Some((end, has_escapes)) => {
                self.at = end;
                Ok(has_escapes)
            }
            None => Err(self.unexpected("the end of a string")),
        }
    }

    /// From the opening bracket to behind the one that closes it.
    fn pass_brackets(&mut self) -> Result<(), Error> {
        let bytes = self.text.as_bytes();
        let (mut at, mut depth) = (self.at, 0_usize);
        while let Some(byte) = bytes.get(at) {
            at += 1;
            match byte {
                b'"' => match end_of_string(bytes, at) {
                    Some((end, _)) => at = end,
                    None => break,
                },
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        self.at = at;
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Err(self.unexpected("a value whose quotes and brackets close"))
    }

    /// A number or one of the three words.
    fn pass_word(&mut self) -> Result<(), Error> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|b| matches!(b, b',' | b'}' | b']' | b':' | b' ' | b'\n' | b'\r' | b'\t'))
            .unwrap_or(rest.len());
        let is_value = match rest.get(..length) {
            Some(b"true" | b"false" | b"null") => true,
            Some([b'-' | b'0'..=b'9', more @ ..]) => {
                more.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
            }
            _ => false,
        };
        if !is_value {
            return Err(self.unexpected("a value"));
        }
        self.at += length;
        Ok(())
    }

    fn unexpected(&self, expected: &str) -> Error {
        Error::Unreadable(format!("this is no JSON: expected {expected} at byte {}", self.at))
    }
}

/// The place behind the quote that closes the string whose content begins at `at`, and whether there were escapes.
#[inline]
fn end_of_string(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut has_escapes = false;
    loop {
        let rest = bytes.get(at..)?;
        if let Some(eight) = rest.first_chunk() {
            let Some(place) = first_mark(*eight) else {
                at += 8;
                continue;
            };
            at += place;
        }
        match bytes.get(at)? {
            b'"' => return Some((at + 1, has_escapes)),
            b'\\' => {
                has_escapes = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
}

/// The place of the first quote or backslash among eight bytes, all looked at in one step.
fn first_mark(eight: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let word = u64::from_le_bytes(eight);
    // The lowest high bit left is that of the first byte that is zero; those above it may be false.
    let zeroes = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
    let marks = zeroes(word ^ u64::from_le_bytes([b'"'; 8]))
        | zeroes(word ^ u64::from_le_bytes([b'\\'; 8]));
    (marks != 0).then(|| marks.trailing_zeros() as usize / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_where_its_brackets_and_quotes_do() {
        for (text, expected) in [
            (r#"{"a":"}\"{"} ,1"#, r#"{"a":"}\"{"}"#),
            ("[[],[1]],2", "[[],[1]]"),
            (r#" "a\\" x"#, r#""a\\""#),
            ("-1.5e+3}", "-1.5e+3"),
            ("null", "null"),
        ] {
            assert_eq!(Scanner::new(text).value().unwrap(), expected);
        }
    }

    #[test]
    fn a_string_ends_at_its_quote_wherever_that_falls_among_eight_bytes() {
        for before in 0..20 {
            for after in 0..20 {
                // The bytes beside the two marks, which a careless look at eight at once takes for them.
                let (a, b) = ("#".repeat(before), "]!é".repeat(after));
                for inner in [format!("{a}{b}"), format!("{a}\\\"{b}"), format!("{a}\\\\{b}")] {
                    let text = format!("\"{inner}\", \"next\"");
                    let quoted = Scanner::new(&text).string().unwrap();
                    assert_eq!(quoted.inner, inner);
                    assert_eq!(quoted.has_escapes, inner.contains('\\'));
                    let open = format!("\"{inner}");
                    assert!(Scanner::new(&open).string().is_err(), "{open}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for text in ["", "  ", "{", r#"{"a"#, r#""a\""#, "tru", "nul", "+1", "x", "}", "[1", "\"\\"]
        {
            assert!(Scanner::new(text).value().is_err(), "{text}");
        }
    }
}
