//! Reads an expression and refuses what is wrong with it or could cost too much, before it ever runs. Nesting is
//! counted while it is read, so that no text exhausts the stack. What an expression comes to is the evaluator's.

use super::input::Root;
use super::lexer::{Mistake, Token, tokens};
use super::node::{Call, Function, Loop, LoopKind, Node, Operator, Pattern};

/// Most words of an expression.
const MOST_WORDS: usize = 400;
/// Most parts of an expression within each other.
const DEEPEST: usize = 24;
/// Most macros within each other: the work grows with the power of this.
const DEEPEST_LOOPS: usize = 2;
/// Most macros in one expression.
const MOST_LOOPS: usize = 8;
/// The macros.
const MACROS: [&str; 6] = ["all", "exists", "exists_one", "existsOne", "map", "filter"];
/// Words that name neither a field nor a variable.
const KEYWORDS: [&str; 4] = ["true", "false", "null", "in"];
/// Words that name no variable.
const RESERVED: [&str; 15] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "namespace",
    "package",
    "return",
    "void",
];
/// What `request` has.
const REQUEST_FIELDS: [&str; 6] =
    ["operation", "namespace", "name", "resource", "subResource", "userInfo"];

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Node, Mistake> {
    let tokens = tokens(text)?;
    if tokens.len() > MOST_WORDS {
        let reason = format!("it has {} words; at most {MOST_WORDS} are allowed", tokens.len());
        return Err(Mistake::new(0, reason));
    }
    let mut parser = Parser { tokens, next: 0, locals: Vec::new(), depth: 0, loops: 0 };
    let node = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(node),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'t> {
    tokens: Vec<(usize, Token<'t>)>,
    next: usize,
    locals: Vec<&'t str>,
    depth: usize,
    loops: usize,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> &Token<'t> {
        self.tokens.get(self.next).map_or(&Token::End, |(_, token)| token)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(0, |(at, _)| *at)
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let takes = matches!(self.peek(), Token::Symbol(s) if *s == symbol);
        self.next += usize::from(takes);
        takes
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), Mistake> {
        if self.takes(symbol) { Ok(()) } else { Err(self.unexpected(&format!("{symbol:?}"))) }
    }

    fn name(&mut self, what: &str) -> Result<&'t str, Mistake> {
        match *self.peek() {
            Token::Name(name) if !KEYWORDS.contains(&name) => {
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(what)),
        }
    }

    fn unexpected(&self, wanted: &str) -> Mistake {
        let found = match self.peek() {
            Token::Name(name) => format!("{name:?}"),
            Token::Symbol(symbol) => format!("{symbol:?}"),
            Token::Int(_) | Token::Double(_) => "a number".to_owned(),
            Token::Text(_) => "a text".to_owned(),
            Token::End => "the end".to_owned(),
        };
        Mistake::new(self.at(), format!("here stands {found} where {wanted} is wanted"))
    }

    fn expression(&mut self) -> Result<Node, Mistake> {
        if self.depth == DEEPEST {
            let reason = format!("parts stand more than {DEEPEST} deep within each other");
            return Err(Mistake::new(self.at(), reason));
        }
        self.depth += 1;
        let mut node = self.binary(1)?;
        if self.takes("?") {
            let yes = self.binary(1)?;
            self.expect(":")?;
            let no = self.expression()?;
            node = Node::Choice(Box::new([node, yes, no]));
        }
        self.depth -= 1;
        Ok(node)
    }

    /// Operands joined by operators that bind at least so tightly.
    fn binary(&mut self, least: u8) -> Result<Node, Mistake> {
        let mut left = self.unary()?;
        loop {
            let sign = match *self.peek() {
                Token::Symbol(sign) => sign,
                Token::Name("in") => "in",
                _ => return Ok(left),
            };
            let (operator, strength) = match sign {
                "||" => (None, 1),
                "&&" => (None, 2),
                sign => match Operator::of(sign) {
                    Some((operator, strength)) => (Some(operator), strength),
                    None => return Ok(left),
                },
            };
            if strength < least {
                return Ok(left);
            }
            self.next += 1;
            let right = self.binary(strength + 1)?;
            left = match (operator, left) {
                (Some(operator), left) => Node::Binary(operator, Box::new([left, right])),
                (None, Node::Or(mut parts)) if strength == 1 => {
                    parts.push(right);
                    Node::Or(parts)
                }
                (None, left) if strength == 1 => Node::Or(vec![left, right]),
                (None, Node::And(mut parts)) => {
                    parts.push(right);
                    Node::And(parts)
                }
                (None, left) => Node::And(vec![left, right]),
            };
        }
    }

    fn unary(&mut self) -> Result<Node, Mistake> {
        let mut signs = 0;
        while self.takes("!") {
            signs += 1;
        }
        if signs > 0 {
            let not = Node::Not(Box::new(self.member()?));
            return Ok(if signs % 2 == 0 { Node::Not(Box::new(not)) } else { not });
        }
        while self.takes("-") {
            signs += 1;
        }
        let node = self.member()?;
        if signs == 0 {
            return Ok(node);
        }
        let negated = Node::Negate(Box::new(node));
        Ok(if signs % 2 == 0 { Node::Negate(Box::new(negated)) } else { negated })
    }

    fn member(&mut self) -> Result<Node, Mistake> {
        let mut node = self.primary()?;
        loop {
            if self.takes("[") {
                let index = self.expression()?;
                self.expect("]")?;
                node = Node::Index(Box::new(node), Box::new(index));
            } else if self.takes(".") {
                let at = self.at();
                let name = self.name("the name of a field or function")?;
                node = if self.takes("(") {
                    self.method(at, name, node)?
                } else {
                    if matches!(node, Node::Root(Root::Request)) && !REQUEST_FIELDS.contains(&name)
                    {
                        let fields = REQUEST_FIELDS.join(", ");
                        let reason = format!("request has no {name:?}; it has {fields}");
                        return Err(Mistake::new(at, reason));
                    }
                    Node::Field(Box::new(node), name.to_owned())
                };
            } else {
                return Ok(node);
            }
        }
    }

    fn primary(&mut self) -> Result<Node, Mistake> {
        let at = self.at();
        let token = self.peek().clone();
        self.next += 1;
        match token {
            Token::Int(n) => Ok(Node::Int(n)),
            Token::Double(n) => Ok(Node::Double(n)),
            Token::Text(text) => Ok(Node::Text(text)),
            Token::Name("true") => Ok(Node::Bool(true)),
            Token::Name("false") => Ok(Node::Bool(false)),
            Token::Name("null") => Ok(Node::Null),
            Token::Name(name) if !KEYWORDS.contains(&name) => {
                if self.takes("(") {
                    self.plain(at, name)
                } else {
                    self.variable(at, name)
                }
            }
            Token::Symbol("(") => {
                let node = self.expression()?;
                self.expect(")")?;
                Ok(node)
            }
            Token::Symbol("[") => Ok(Node::List(self.arguments("]")?)),
            Token::Symbol("{") => {
                Err(Mistake::new(at, "maps and messages cannot be written in an expression here"))
            }
            _ => {
                self.next -= 1;
                Err(self.unexpected("a value"))
            }
        }
    }

    fn variable(&self, at: usize, name: &'t str) -> Result<Node, Mistake> {
        if let Some(depth) = self.locals.iter().rposition(|local| *local == name) {
            return Ok(Node::Local(depth));
        }
        if let Some((_, root)) = Root::NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Node::Root(*root));
        }
        let known = Root::NAMES.iter().map(|(name, _)| *name).chain(self.locals.iter().copied());
        let known: Vec<&str> = known.collect();
        let reason = format!("variable {name:?} is not known; known are {}", known.join(", "));
        Err(Mistake::new(at, reason))
    }

    /// Expressions up to the closing bracket; a comma may stand before it.
    fn arguments(&mut self, close: &'static str) -> Result<Vec<Node>, Mistake> {
        let mut arguments = Vec::new();
        while !self.takes(close) {
            arguments.push(self.expression()?);
            if !self.takes(",") {
                self.expect(close)?;
                break;
            }
        }
        Ok(arguments)
    }

    fn plain(&mut self, at: usize, name: &str) -> Result<Node, Mistake> {
        let arguments = self.arguments(")")?;
        if name != "has" {
            return call(at, name, arguments, Call::Plain);
        }
        match <[Node; 1]>::try_from(arguments) {
            Ok([Node::Field(operand, field)]) => Ok(Node::Has(operand, field)),
            _ => Err(Mistake::new(at, "has takes one field, as in has(object.spec.replicas)")),
        }
    }

    fn method(&mut self, at: usize, name: &str, target: Node) -> Result<Node, Mistake> {
        if MACROS.contains(&name) {
            return self.macro_over(at, name, target);
        }
        let mut arguments = self.arguments(")")?;
        arguments.insert(0, target);
        call(at, name, arguments, Call::Method)
    }

    fn macro_over(&mut self, at: usize, name: &str, range: Node) -> Result<Node, Mistake> {
        self.loops += 1;
        if self.locals.len() == DEEPEST_LOOPS || self.loops > MOST_LOOPS {
            let reason = format!(
                "too many macros: at most {DEEPEST_LOOPS} may stand within each other and {MOST_LOOPS} in all"
            );
            return Err(Mistake::new(at, reason));
        }
        let variable_at = self.at();
        let variable = self.name(&format!("the name of {name}'s variable"))?;
        if RESERVED.contains(&variable) {
            let reason = format!("{variable:?} is reserved; name the variable otherwise");
            return Err(Mistake::new(variable_at, reason));
        }
        self.expect(",")?;
        let depth = self.locals.len();
        self.locals.push(variable);
        let first = self.expression()?;
        let second = if name == "map" && self.takes(",") { Some(self.expression()?) } else { None };
        self.locals.pop();
        self.expect(")")?;
        let (filter, body) = match (name, second) {
            ("filter", _) => (Some(first), Node::Local(depth)),
            (_, Some(second)) => (Some(first), second),
            (_, None) => (None, first),
        };
        let kind = match name {
            "all" => LoopKind::All,
            "exists" => LoopKind::Exists,
            "exists_one" | "existsOne" => LoopKind::ExistsOne,
            _ => LoopKind::Collect,
        };
        Ok(Node::Loop(Box::new(Loop { kind, range, filter, body })))
    }
}

fn call(at: usize, name: &str, arguments: Vec<Node>, style: Call) -> Result<Node, Mistake> {
    if name == "matches" {
        return matches(at, arguments);
    }
    let of_name = || Function::ALL.iter().filter(|(known, ..)| *known == name);
    let Some((_, function, wanted, count)) = of_name().next() else {
        let known: Vec<&str> = Function::ALL.iter().map(|(known, ..)| *known).collect();
        let known = known.join(", ");
        let macros = MACROS.join(", ");
        let reason =
            format!("function {name:?} is not known; known are has, {macros}, matches, {known}");
        return Err(Mistake::new(at, reason));
    };
    let given = arguments.len();
    if (*wanted != Call::Either && *wanted != style) || !count.contains(&given) {
        let of = if *wanted == Call::Method { "value." } else { "" };
        let arguments = count.end() - usize::from(*wanted == Call::Method);
        let reason =
            format!("{name} is called as {of}{name}(…) with at most {arguments} arguments");
        return Err(Mistake::new(at, reason));
    }
    Ok(Node::Call(*function, arguments))
}

/// A pattern is compiled once, when the expression is read; so it must stand there.
fn matches(at: usize, arguments: Vec<Node>) -> Result<Node, Mistake> {
    let Ok([text, Node::Text(pattern)]) = <[Node; 2]>::try_from(arguments) else {
        let reason = "matches takes a pattern written as a text, as in name.matches('^web-')";
        return Err(Mistake::new(at, reason));
    };
    let pattern = Pattern::compile(&pattern).map_err(|reason| Mistake::new(at, reason))?;
    Ok(Node::Matches(Box::new(text), Box::new(pattern)))
}
