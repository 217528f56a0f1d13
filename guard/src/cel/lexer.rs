//! The words of an expression, each with the place where it begins. What they amount to is the parser's.

/// A word of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'t> {
    Name(&'t str),
    Int(i64),
    Double(f64),
    Text(String),
    Symbol(&'static str),
    End,
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// Byte offset.
    pub(super) at: usize,
    pub(super) reason: String,
}

impl Mistake {
    pub(super) fn new(at: usize, reason: impl Into<String>) -> Self {
        Self { at, reason: reason.into() }
    }
}

/// Longer ones first, for they begin with shorter ones.
const SYMBOLS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "+", "-", "*", "/", "%", "?", ":", ".", ",",
    "(", ")", "[", "]", "{", "}",
];

/// Splits an expression into its words; the last is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, Mistake> {
    let mut lexer = Lexer { text, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let at = lexer.at;
        let token = lexer.next()?;
        let is_end = token == Token::End;
        tokens.push((at, token));
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take_while(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let (taken, _) = rest.split_at(rest.find(|c| !fits(c)).unwrap_or(rest.len()));
        self.at += taken.len();
        taken
    }

    fn skip_blanks(&mut self) {
        loop {
            self.take_while(|c| c.is_ascii_whitespace());
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn next(&mut self) -> Result<Token<'t>, Mistake> {
        let Some(first) = self.rest().chars().next() else { return Ok(Token::End) };
        let raw = ["r\"", "r'", "R\"", "R'"].iter().any(|start| self.rest().starts_with(start));
        if raw {
            self.at += 1;
            return self.string(true);
        }
        match first {
            '"' | '\'' => self.string(false),
            'a'..='z' | 'A'..='Z' | '_' => {
                Ok(Token::Name(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')))
            }
            '0'..='9' => self.number(),
            _ => {
                let symbol = SYMBOLS.iter().find(|symbol| self.rest().starts_with(**symbol));
                let symbol = symbol.ok_or_else(|| {
                    Mistake::new(self.at, format!("{first:?} means nothing in an expression"))
                })?;
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
        }
    }

    fn number(&mut self) -> Result<Token<'t>, Mistake> {
        let start = self.at;
        if self.rest().starts_with("0x") {
            self.at += 2;
            let digits = self.take_while(|c| c.is_ascii_alphanumeric());
            let number = i64::from_str_radix(digits, 16).map(Token::Int);
            return number.map_err(|_| bad_number(start));
        }
        let mut is_double = false;
        self.take_while(|c| c.is_ascii_digit());
        let follows = |text: &str| text.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
        if self.rest().starts_with('.') && follows(self.rest()) {
            is_double = true;
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        if self.rest().starts_with(['e', 'E']) {
            is_double = true;
            self.at += 1;
            if self.rest().starts_with(['+', '-']) {
                self.at += 1;
            }
        }
        // Whatever follows without a gap belongs to the number, and spoils it.
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        let text = self.text.get(start..self.at).unwrap_or_default();
        let number = if is_double {
            text.parse().ok().filter(|n: &f64| n.is_finite()).map(Token::Double)
        } else {
            text.parse().ok().map(Token::Int)
        };
        number.ok_or_else(|| bad_number(start))
    }

    fn string(&mut self, is_raw: bool) -> Result<Token<'t>, Mistake> {
        let start = self.at;
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map_or('"', |(_, c)| c);
        let mut text = String::new();
        while let Some((place, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at = start + place + 1;
                    return Ok(Token::Text(text));
                }
                '\n' | '\r' => break,
                '\\' if !is_raw => {
                    let wrong = || {
                        Mistake::new(
                            start + place,
                            r#"this escape is not known; known are \n \r \t \\ \' \" \` \? \xHH \uHHHH \UHHHHHHHH"#,
                        )
                    };
                    let (_, escape) = chars.next().ok_or_else(wrong)?;
                    text.push(match escape {
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        '\\' | '\'' | '"' | '`' | '?' => escape,
                        'x' | 'X' => hex(&mut chars, 2).ok_or_else(wrong)?,
                        'u' => hex(&mut chars, 4).ok_or_else(wrong)?,
                        'U' => hex(&mut chars, 8).ok_or_else(wrong)?,
                        _ => return Err(wrong()),
                    });
                }
                c => text.push(c),
            }
        }
        Err(Mistake::new(start, "the text is not closed on its line"))
    }
}

fn hex(chars: &mut std::str::CharIndices<'_>, digits: usize) -> Option<char> {
    let mut code = 0;
    for _ in 0..digits {
        code = code * 16 + chars.next()?.1.to_digit(16)?;
    }
    char::from_u32(code)
}

fn bad_number(at: usize) -> Mistake {
    Mistake::new(at, "this is no number; write 64-bit whole numbers, hex as 0x1f, or 1.5")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Token<'_>> {
        tokens(text).unwrap().into_iter().map(|(_, token)| token).collect()
    }

    #[test]
    fn names_numbers_texts_and_symbols_are_told_apart() {
        use Token::{Double, End, Int, Name, Symbol, Text};
        for (text, expected) in [
            ("a<=1", vec![Name("a"), Symbol("<="), Int(1), End]),
            ("!a_b2 // why\n&&b", vec![Symbol("!"), Name("a_b2"), Symbol("&&"), Name("b"), End]),
            (
                "0x1F 1.5 2e3 1.a",
                vec![Int(31), Double(1.5), Double(2000.0), Int(1), Symbol("."), Name("a"), End],
            ),
            (
                r#""a\"b\u00e4" 'x' r'\d'"#,
                vec![Text("a\"bä".into()), Text("x".into()), Text(r"\d".into()), End],
            ),
            ("", vec![End]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_word_is_told_with_its_place() {
        for (text, at) in [
            ("a # b", 2),
            ("'open", 0),
            ("a + 'li\nne'", 4),
            (r"'a\q'", 2),
            (r"'\ud800'", 1),
            ("1 + 99999999999999999999", 4),
            ("7u", 0),
            ("1e", 0),
            ("ä", 0),
        ] {
            assert_eq!(tokens(text).unwrap_err().at, at, "{text}");
        }
    }
}
