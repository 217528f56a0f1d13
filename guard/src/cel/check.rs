//! What an expression may consist of, and the form in which it is evaluated. Only known variables, functions and macros
//! pass. Where the library's answer is not CEL's, the part is put otherwise: fields of variables are followed in the
//! objects themselves, since the library makes `false` of a field of what is no map; other fields and some operators
//! become functions of ours.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, ListExpr, LiteralValue};
use cel::common::ast::{SelectExpr, operators};
use cel::extractors::Arguments;
use cel::{Context, ExecutionError};

use super::functions::{Called, FUNCTIONS, MATCHES, context, text};
use super::input::Root;
use super::operators::{ADD, EQUAL, FIELD, HAS, ITEMS, NEGATE, UNEQUAL, WITHIN, summands};
use super::pattern::Pattern;
use super::value::Path;

/// Most parts of an expression within each other: each takes up to 40 KiB of a thread's 2 MiB in a debug build.
const DEEPEST: usize = 20;
/// Most macros within each other: the work grows with the power of this.
const DEEPEST_LOOPS: usize = 2;
/// Most macros in one expression.
const MOST_LOOPS: usize = 8;
/// What `request` has.
const REQUEST_FIELDS: [&str; 6] =
    ["operation", "namespace", "name", "resource", "subResource", "userInfo"];
/// Operators that the library evaluates as CEL means them.
const OPERATORS: [&str; 13] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::INDEX,
];
/// Operators put as functions.
const REPLACED: [(&str, &str); 4] = [
    (operators::EQUALS, EQUAL),
    (operators::NOT_EQUALS, UNEQUAL),
    (operators::IN, WITHIN),
    (operators::NEGATE, NEGATE),
];

/// An expression as it is evaluated.
pub(super) struct Checked {
    pub(super) expression: IdedExpr,
    pub(super) paths: Vec<Path>,
    /// What it is evaluated in: the functions, its own patterns among them.
    pub(super) functions: Context<'static>,
    /// What a byte of text costs each pattern.
    pub(super) patterns: Vec<u64>,
}

/// Checks an expression and puts it in the form in which it is evaluated.
pub(super) fn checked(expression: &IdedExpr) -> Result<Checked, String> {
    let mut check = Check {
        paths: Vec::new(),
        functions: context(),
        patterns: Vec::new(),
        locals: Vec::new(),
        depth: 0,
        loops: 0,
    };
    let expression = check.expression(expression)?;
    let Check { paths, functions, patterns, .. } = check;
    Ok(Checked { expression, paths, functions, patterns })
}

struct Check<'e> {
    paths: Vec<Path>,
    functions: Context<'static>,
    patterns: Vec<u64>,
    locals: Vec<&'e str>,
    depth: usize,
    loops: usize,
}

impl<'e> Check<'e> {
    fn expression(&mut self, part: &'e IdedExpr) -> Result<IdedExpr, String> {
        if self.depth == DEEPEST {
            return Err(format!(
                "parts stand more than {DEEPEST} deep within each other; of a chain of operators but && and || and + each counts"
            ));
        }
        self.depth += 1;
        let expr = match &part.expr {
            Expr::Literal(LiteralValue::UInt(_)) => {
                return Err("unsigned numbers are not known; leave out the u".to_owned());
            }
            Expr::Literal(LiteralValue::Bytes(_)) => {
                return Err("bytes are not known; write a text without b before it".to_owned());
            }
            Expr::Literal(literal) => Expr::Literal(literal.clone()),
            Expr::Ident(_) | Expr::Select(_) => self.fields(part)?,
            Expr::List(list) => {
                let elements = self.all(&list.elements)?;
                Expr::List(ListExpr::new(elements))
            }
            Expr::Call(call) => self.call(call)?,
            Expr::Comprehension(loops) => self.comprehension(loops)?,
            Expr::Map(_) | Expr::Struct(_) => {
                return Err("maps and messages cannot be written in an expression here".to_owned());
            }
            Expr::Unspecified => return Err("the expression cannot be read".to_owned()),
        };
        self.depth -= 1;
        Ok(IdedExpr { id: part.id, expr })
    }

    fn all(&mut self, parts: &'e [IdedExpr]) -> Result<Vec<IdedExpr>, String> {
        parts.iter().map(|part| self.expression(part)).collect()
    }

    /// A variable and the fields asked of it, which are followed at once.
    fn fields(&mut self, part: &'e IdedExpr) -> Result<Expr, String> {
        let (mut at, mut fields, mut tests) = (part, Vec::new(), false);
        while let Expr::Select(SelectExpr { operand, field, test }) = &at.expr {
            if *test && !fields.is_empty() {
                return Err("has comes to a bool, which has no fields".to_owned());
            }
            tests = *test || tests;
            fields.push(field.as_str());
            at = operand;
        }
        fields.reverse();
        if let Expr::Ident(name) = &at.expr
            && !self.locals.contains(&name.as_str())
        {
            let root = self.root(name)?;
            if let (Root::Request, Some(field)) = (root, fields.first())
                && !REQUEST_FIELDS.contains(field)
            {
                let known = REQUEST_FIELDS.join(", ");
                return Err(format!("request has no {field:?}; it has {known}"));
            }
            return Ok(Expr::Ident(self.path(root, &fields, tests)));
        }
        if fields.is_empty() {
            return Ok(at.expr.clone());
        }
        let mut args = vec![self.expression(at)?];
        args.extend(fields.iter().map(|field| literal((*field).into())));
        Ok(function(if tests { HAS } else { FIELD }, args))
    }

    fn root(&self, name: &str) -> Result<Root, String> {
        let of_name = Root::NAMES.iter().find(|(known, _)| *known == name);
        of_name.map(|(_, root)| *root).ok_or_else(|| {
            let locals = self.locals.iter().filter(|local| !local.starts_with('@'));
            let known: Vec<&str> =
                Root::NAMES.iter().map(|(name, _)| *name).chain(locals.copied()).collect();
            format!("variable {name:?} is not known; known are {}", known.join(", "))
        })
    }

    fn path(&mut self, root: Root, fields: &[&str], tests: bool) -> String {
        let same = |path: &&Path| path.root == root && path.fields == fields && path.tests == tests;
        if let Some(path) = self.paths.iter().find(same) {
            return path.name.clone();
        }
        let name = format!("@{}", self.paths.len());
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        self.paths.push(Path { name: name.clone(), root, fields, tests });
        name
    }

    fn call(&mut self, call: &'e CallExpr) -> Result<Expr, String> {
        let CallExpr { func_name: name, target, args } = call;
        if target.is_none() {
            if name == operators::ADD {
                let parts = summands(args).into_iter().map(|part| self.expression(part));
                return Ok(function(ADD, parts.collect::<Result<_, _>>()?));
            }
            if let Some((_, by)) = REPLACED.iter().find(|(operator, _)| operator == name) {
                return Ok(function(by, self.all(args)?));
            }
            if OPERATORS.contains(&name.as_str()) {
                return Ok(function(name, self.all(args)?));
            }
        }
        let style = if target.is_some() { Called::Method } else { Called::Plain };
        let parts = target.as_deref().into_iter().chain(args);
        let parts = parts.map(|part| self.expression(part)).collect::<Result<Vec<_>, _>>()?;
        if name == "matches" {
            return self.matches(parts);
        }
        if name == "has" {
            return Err("has takes one field, as in has(object.spec.replicas)".to_owned());
        }
        let known = || FUNCTIONS.iter().filter(|known| known.called != Called::Inside);
        let Some(known) = known().find(|known| known.name == name) else {
            let known: Vec<&str> = known().map(|known| known.name).collect();
            return Err(format!(
                "function {name:?} is not known; known are has, all, exists, exists_one, map, filter (with the name of a variable first), matches, {}",
                known.join(", ")
            ));
        };
        if ![style, Called::Either].contains(&known.called) || !known.takes.contains(&parts.len()) {
            let is_method = known.called == Called::Method;
            let of = if is_method { "value." } else { "" };
            let most = known.takes.end() - usize::from(is_method);
            return Err(format!("{name} is called as {of}{name}(…) with at most {most} arguments"));
        }
        Ok(function(known.name, parts))
    }

    /// A pattern is compiled once, when the expression is read; so it must stand there.
    fn matches(&mut self, parts: Vec<IdedExpr>) -> Result<Expr, String> {
        let Ok([of, IdedExpr { expr: Expr::Literal(LiteralValue::String(pattern)), .. }]) =
            <[IdedExpr; 2]>::try_from(parts)
        else {
            let reason = "matches takes a pattern written as a text, as in name.matches('^web-')";
            return Err(reason.to_owned());
        };
        let Pattern { regex, cost } = Pattern::compile(pattern.inner())?;
        let name = format!("{MATCHES}{}", self.patterns.len());
        self.patterns.push(cost);
        self.functions.add_function(&name, move |Arguments(values): Arguments| {
            let matched = text(values.first()).map(|text| regex.is_match(text.as_bytes()));
            matched.map_err(|reason| ExecutionError::function_error("matches", reason))
        });
        Ok(function(&name, vec![of]))
    }

    fn comprehension(&mut self, of: &'e ComprehensionExpr) -> Result<Expr, String> {
        self.loops += 1;
        if self.locals.len() == DEEPEST_LOOPS * 2 || self.loops > MOST_LOOPS {
            return Err(format!(
                "too many macros: at most {DEEPEST_LOOPS} may stand within each other and {MOST_LOOPS} in all"
            ));
        }
        if Root::NAMES.iter().any(|(name, _)| *name == of.iter_var) {
            let name = &of.iter_var;
            return Err(format!("{name:?} is a variable already; name the macro's otherwise"));
        }
        let iter_range = plain(function(ITEMS, vec![self.expression(&of.iter_range)?]));
        let accu_init = self.expression(&of.accu_init)?;
        self.locals.extend([of.accu_var.as_str(), of.iter_var.as_str()]);
        let loop_cond = self.condition(&of.loop_cond)?;
        let loop_step = self.step(&of.loop_step, &of.accu_var)?;
        let result = self.expression(&of.result)?;
        self.locals.truncate(self.locals.len() - 2);
        Ok(Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range,
            iter_var: of.iter_var.clone(),
            iter_var2: None,
            accu_var: of.accu_var.clone(),
            accu_init,
            loop_cond,
            loop_step,
            result,
        })))
    }

    /// The condition under which a macro goes on, made by the library: of the result so far alone.
    fn condition(&mut self, part: &'e IdedExpr) -> Result<IdedExpr, String> {
        match &part.expr {
            Expr::Call(CallExpr { func_name, args, .. })
                if func_name == operators::NOT_STRICTLY_FALSE =>
            {
                Ok(plain(function(func_name, self.all(args)?)))
            }
            _ => self.expression(part),
        }
    }

    /// A step of a macro. The list it collects grows by the library's own sum.
    fn step(&mut self, part: &'e IdedExpr, collected: &str) -> Result<IdedExpr, String> {
        let Expr::Call(CallExpr { func_name, args, .. }) = &part.expr else {
            return self.expression(part);
        };
        let [first, rest @ ..] = args.as_slice() else { return self.expression(part) };
        let is_collected = matches!(&first.expr, Expr::Ident(name) if name == collected);
        let args = match (func_name.as_str(), rest) {
            (operators::ADD, _) if is_collected => self.all(args)?,
            (operators::CONDITIONAL, [then, or]) => {
                let first = self.expression(first)?;
                vec![first, self.step(then, collected)?, self.expression(or)?]
            }
            _ => return self.expression(part),
        };
        Ok(plain(function(func_name, args)))
    }
}

fn plain(expr: Expr) -> IdedExpr {
    IdedExpr { id: 0, expr }
}

fn literal(text: cel::common::types::CelString) -> IdedExpr {
    plain(Expr::Literal(LiteralValue::String(text)))
}

fn function(name: &str, args: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args })
}
