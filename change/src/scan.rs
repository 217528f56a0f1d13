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
        let bytes = self.text.as_bytes();
        let mut has_escapes = false;
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => return Ok(has_escapes),
                b'\\' => {
                    has_escapes = true;
                    self.at += 1;
                }
                _ => {}
            }
        }
        Err(self.unexpected("the end of a string"))
    }

    /// From the opening bracket to behind the one that closes it.
    fn pass_brackets(&mut self) -> Result<(), Error> {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        while let Some(byte) = bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => {
                    self.close_string()?;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Err(self.unexpected("a closing bracket"))
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
    fn what_is_no_value_is_refused() {
        for text in ["", "  ", "{", r#"{"a"#, r#""a\""#, "tru", "nul", "+1", "x", "}", "[1", "\"\\"]
        {
            assert!(Scanner::new(text).value().is_err(), "{text}");
        }
    }
}
