//! Expressions against small objects, and the worst that can be written.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use smartops_change::{Change, Operation, Request, Resource};
use smartops_common::config::SmartOpsConfigSpec;

use super::text::LONGEST;
use super::{Expression, Inputs};
use crate::subject::Subject;

const OLD: &str = r#"{"metadata":{"name":"web","labels":{"a":"1"}},"spec":{"replicas":3}}"#;
const NEW: &str = r#"{
    "metadata": {"name": "web", "labels": {"a": "1", "b": "2"}, "annotations": null},
    "spec": {
        "replicas": 5, "ratio": 0.5, "paused": false,
        "items": [
            {"name": "x", "cpu": "500m", "args": ["-v", "--all"]},
            {"name": "y", "cpu": "2"}
        ]
    }
}"#;

fn with_input<T>(new: Option<&str>, ask: impl FnOnce(&Inputs<'_>) -> T) -> T {
    let operation = if new.is_some() { Operation::Update } else { Operation::Delete };
    let resource =
        Resource { group: "apps", version: "v1", resource: "deployments", subresource: "" };
    let request =
        Request { operation, resource, namespace: Some("shop"), name: "web", old: Some(OLD), new };
    let change = Change::read(request).unwrap();
    let subject = Subject::new(&SmartOpsConfigSpec::default(), "alice", &["ops"]);
    ask(&Inputs::new(&change, &subject))
}

fn asked(text: &str, new: Option<&str>) -> Result<bool, String> {
    with_input(new, |input| Expression::compile(text).unwrap().evaluate_bool(input))
}

#[test]
fn an_expression_holds_where_it_is_true_of_the_write() {
    for text in [
        "true",
        "object.spec.replicas == 5 && oldObject.spec.replicas == 3",
        "object.spec.replicas - oldObject.spec.replicas <= 2",
        "object.spec.replicas > 4.5 && object.spec.ratio < 1",
        "object.metadata.labels['b'] == \"2\" && 'a' in object.metadata.labels",
        "object.metadata.annotations == null",
        "has(object.spec.replicas) && !has(object.spec.selector)",
        "object.spec.items.all(i, i.name.matches('^[a-z]+$'))",
        "object.spec.items.exists(i, has(i.args) && '-v' in i.args)",
        "object.spec.items.exists_one(i, i.name == 'x')",
        "object.spec.items.map(i, i.name) == ['x', 'y']",
        "object.spec.items.filter(i, i.name != 'x').size() == 1",
        "object.spec.items.map(i, i.name == 'y', i.name + '!').join(',') == 'y!'",
        "object.spec.items[0].args[1].startsWith('--')",
        "object.spec.items.all(i, object.spec.items.exists_one(j, i.name == j.name))",
        "object.metadata.labels.all(key, size(key) == 1)",
        "quantity(object.spec.items[0].cpu).isLessThan(quantity('1'))",
        "quantity('1Gi') == quantity('1024Mi') && quantity('1').compareTo(quantity('2')) == -1",
        "isQuantity('1.5Gi') && !isQuantity('big')",
        "request.operation == 'UPDATE' && request.namespace == 'shop' && request.name == 'web'",
        "request.resource.resource == 'deployments' && request.subResource == ''",
        "request.userInfo.username == 'alice' && 'ops' in request.userInfo.groups",
        "'a,b'.split(',') + ['c'] == ['a', 'b', 'c'] && ['a'] != ['b']",
        "'Web-1'.lowerAscii() == 'web-1' && ' x '.trim().upperAscii() == 'X'",
        "'web'.replace('e', 'o').endsWith('ob') && 'web'.substring(1) == 'eb'",
        "'täglich'.substring(1, 3) == 'äg' && 'täglich'.size() == 7",
        "int('7') + 1 == 8 && string(7) == '7' && double(1) / 2.0 == 0.5 && int(1.9) == 1",
        "7 % 4 * 2 - -1 == 7 && 7 / 2 == 3 && 2 + 3 * 4 == 14 && -(-1) == 1",
        "object.spec.paused ? false : object.spec.replicas in [1, 5]",
        "!false == true && !(!true) && (1 < 2) == true",
        "'a' < 'b' && false < true && 1 == 1.0 && 1 != '1' && 1.0 in [1] && [1] == [1.0]",
        "object.metadata.labels.map(key, key) == ['a', 'b']",
        // What decides makes up for what fails, on either side.
        "object.spec.no == 1 || true",
        "true || object.spec.no == 1",
        "!(false && object.spec.no == 1)",
        "object.spec.items.exists(i, i.args.size() == 2)",
    ] {
        assert_eq!(asked(text, Some(NEW)), Ok(true), "{text}");
    }
    assert_eq!(asked("object == null && oldObject != null", None), Ok(true));
}

#[test]
fn an_expression_that_does_not_fit_the_object_is_an_error_that_says_why() {
    for (text, expected) in [
        ("object.spec.no == 1", r#"there is no field "no""#),
        ("object.spec.replicas.x == 1", "an int has no field"),
        ("object.spec.items[2].name == 'x'", "a list has no such item"),
        ("object.spec.items[-1].name == 'x'", "a list has no such item"),
        ("object.metadata.labels['c'] == 'x'", "a map has no such key"),
        ("object.spec.replicas", "it comes to an int where a bool is wanted"),
        ("object.spec.replicas && true", "a type it does not take"),
        ("object.spec.replicas < 'a'", "a type it does not take"),
        ("object.spec.replicas + 'a' == ''", "cannot calculate with an int and a string"),
        ("1 / 0 == 1", "divided by 0"),
        ("9223372036854775807 + 1 > 0", "does not fit 64 bits"),
        ("-(-9223372036854775807 - 1) > 0", "does not fit 64 bits"),
        ("int('x') == 1", "the string is no int"),
        ("object.spec.replicas.all(i, true)", "a macro goes over a list or a map, not over an int"),
        ("object.spec.items.all(i, i.args.size() == 2)", r#"there is no field "args""#),
        ("'abc'.substring(4) == ''", "reaches beyond the string"),
        ("'abc'.substring(2, 1) == ''", "before it begins"),
        ("has(object.spec.replicas.x)", "an int has no field"),
        ("quantity('x') == quantity('1')", "the string is no quantity"),
    ] {
        let error = asked(text, Some(NEW)).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(asked("object.spec.replicas < 5", None).unwrap_err().contains("null has no field"));
}

#[test]
fn what_the_library_answers_without_regard_to_types_is_an_error() {
    for (text, expected) in [
        ("!object.spec.replicas.x", "an int has no field"),
        ("!object.spec.items[0].name.x", r#"a string has no field "x""#),
        ("object.spec.items.all(i, !i.name.x)", r#"a string has no field "x""#),
        ("object.spec.items.exists(i, has(i.name.x))", r#"a string has no field "x""#),
        ("object.spec.items.all(i, !i.missing)", r#"there is no field "missing""#),
        ("!'abc'.contains(5)", "a string is wanted where there is an int"),
        ("['a'] + object.metadata.labels != []", "cannot calculate with a list and a map"),
        ("(-object.spec.paused) == true", "cannot calculate with a bool"),
        ("'a' in object.metadata.name", "in asks a list or a map, not a string"),
        ("1 in object.metadata.labels", "a string is wanted where there is an int"),
        ("'täglich'.size() == 8 || 1 / 0 == 0", "divided by 0"),
    ] {
        let error = asked(text, Some(NEW)).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    for text in ["!object.spec.paused", "!has(object.spec.paused)", "object.spec == oldObject.spec"]
    {
        assert!(asked(text, None).unwrap_err().contains("null has no field"), "{text}");
    }
}

#[test]
fn the_deepest_expression_is_evaluated_on_half_of_a_threads_stack() {
    let deep = "1 != ".repeat(15) + "1";
    let text = format!("[1].all(x, [1].all(y, {deep}))");
    let expression = Expression::compile(&text).unwrap();
    let ask = move || with_input(Some(NEW), |input| expression.evaluate_bool(input));
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(ask).unwrap();
    assert_eq!(thread.join().unwrap(), Ok(true));
}

#[test]
fn a_text_is_made_and_anything_else_is_an_error() {
    let text = |text: &str| {
        with_input(Some(NEW), |input| Expression::compile(text).unwrap().evaluate_text(input))
    };
    assert_eq!(text("'at most ' + string(object.spec.replicas)"), Ok("at most 5".to_owned()));
    assert!(text("object.spec.replicas").unwrap_err().contains("a string is wanted"));
}

#[test]
fn what_is_wrong_with_an_expression_is_told_with_its_place() {
    for (text, expected) in [
        ("", "empty"),
        ("  ", "empty"),
        ("object.spec.replicas <=", "line 1, column 24: mismatched input '<EOF>'"),
        ("object.\n spec..x == 1", "line 2, column 7: no viable alternative at input '..'"),
        ("self.replicas == 1", r#"variable "self" is not known; known are object"#),
        (
            "object.spec.items.all(i, j == 1)",
            r#"variable "j" is not known; known are object, oldObject, request, i"#,
        ),
        ("object.items.all(i, true) && i == 1", r#"variable "i" is not known"#),
        ("request.user == 'x'", r#"request has no "user"; it has operation"#),
        ("object.frob() == 1", r#"function "frob" is not known; known are has"#),
        ("exec('rm')", r#"function "exec" is not known"#),
        ("object.size(1) == 1", "size is called as size"),
        ("contains('a', 'b')", "contains is called as value.contains(…) with at most 1 arguments"),
        ("has(object)", "line 1, column 5: invalid argument to has() macro"),
        ("object.name.matches(object.spec)", "a pattern written as a text"),
        ("'a'.matches('(')", "the pattern cannot be read"),
        ("'a'.matches('((a{100}){100}){100}')", "over 32 KiB"),
        ("object.items.all(true, true)", "column 18: argument must be a simple name"),
        ("object.items.all(object, true)", r#""object" is a variable already"#),
        ("object.items.all(true)", r#"function "all" is not known; known are has, all"#),
        ("{'a': 1} == object", "maps and messages cannot be written"),
        ("a b", "column 3: extraneous input 'b'"),
        ("1 2", "column 3: extraneous input '2'"),
        ("1u == 1", "unsigned numbers are not known"),
        ("b'a' == object", "bytes are not known"),
        ("object.?spec == 1", "unsupported syntax '.?'"),
        ("has(object.a).b", "has comes to a bool"),
        ("[1, 2", "column 6: mismatched input '<EOF>'"),
        ("!!true", "column 2: ! stands twice"),
        ("99999999999999999999 == 1", "column 1: invalid int literal"),
    ] {
        let error = Expression::compile(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_could_cost_too_much_is_refused_with_the_numbers() {
    let nested = "object.a.all(x, object.a.all(y, x == y))";
    assert!(Expression::compile(nested).is_ok());
    let deep = |n: usize| format!("{}true{}", "(".repeat(n), ")".repeat(n));
    assert!(Expression::compile(&deep(12)).is_ok());
    let chain = |n: usize| vec!["1"; n].join(" != ");
    assert!(Expression::compile(&chain(20)).is_ok());
    assert!(Expression::compile(&(vec!["1"; 400].join(" + ") + " == 400")).is_ok());
    assert!(Expression::compile(&vec!["true"; 250].join(" && ")).is_ok());
    for (text, expected) in [
        ("object.a.all(x, object.a.all(y, object.a.all(z, true)))".to_owned(), "at most 2 may"),
        (["object.a.all(x, true)"; 9].join(" && "), "8 in all"),
        (deep(13), "brackets stand more than 12 deep"),
        (chain(21), "parts stand more than 20 deep"),
        ("true ? true : ".repeat(17) + "true", "more than 16 choices"),
        (format!("'{}' == ''", "x".repeat(2048)), "2056 bytes; at most 2048"),
    ] {
        let error = Expression::compile(&text).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn no_text_exhausts_the_stack_or_takes_long_to_read() {
    let begun = Instant::now();
    for part in [
        "(", "[", "!", "-", "a[", "a?", "a?a:", "size(", "a.all(x,", "1+", "a.", "{", "'", "&&",
        "1==", "1 in ", "a{b:", "(1)+",
    ] {
        let text: String = part.chars().cycle().take(LONGEST).collect();
        assert!(Expression::compile(&text).is_err(), "{part}");
        let closed = format!("{}true", part.repeat(100));
        drop(Expression::compile(&closed));
    }
    // What grew with the power of its length would take years; a busy machine takes seconds.
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
}

#[test]
fn the_worst_that_can_be_written_ends_soon() {
    let items: Vec<String> = (0..10_000).map(|n| format!(r#""item-{n}""#)).collect();
    let wide = format!(r#"{{"a":[{}]}}"#, items.join(","));
    let long = format!(r#"{{"a":"{}"}}"#, "a".repeat(200_000));
    let doubling = ".map(x, x + x + x + x)".repeat(6);
    for (text, new) in [
        ("object.a.all(x, object.a.exists(y, y == 'no' || x == 'no') || true)".to_owned(), &wide),
        ("object.a.all(x, object.a.all(y, x + y != '') || true) || true".to_owned(), &wide),
        ("object.a.map(x, object.a.map(y, x + y)).size() > 0".to_owned(), &wide),
        (
            "object.a.map(x, object.a).size() > 0 && object.a.all(x, object.a == object.a)"
                .to_owned(),
            &wide,
        ),
        (format!("[object.a]{doubling}.map(x, x + x + x + x + x + x + x + x) == []"), &long),
        ("object.a.replace('', object.a) == ''".to_owned(), &long),
        ("object.a.split('').join(object.a) == ''".to_owned(), &long),
        ("object.a.split('').all(x, object.a.contains(object.a + x) || true)".to_owned(), &long),
        (
            "object.a.split('').all(x, object.a.matches('(a?){64}(a*)*b$') || true)".to_owned(),
            &long,
        ),
        ("object.a.split('').all(x, object.a.size() > 0)".to_owned(), &long),
        ("object.a.split('').exists(x, object.a.substring(1) == x)".to_owned(), &long),
        ("object.a.filter(x, x != 'no').size() > 0".to_owned(), &wide),
        ("object.a.map(x, [x, x]).map(x, x + x).size() > 0".to_owned(), &wide),
    ] {
        let begun = Instant::now();
        let error = asked(&text, Some(new)).unwrap_err();
        assert!(error.contains("it could take more than 1000000 steps"), "{text}: {error}");
        assert!(begun.elapsed() < Duration::from_mins(1), "{text}: {:?}", begun.elapsed());
    }
    let honest = "object.a.all(x, x.startsWith('item-') && x.size() < 20)";
    assert_eq!(asked(honest, Some(&wide)), Ok(true));
}

#[test]
fn objects_too_large_to_look_at_are_an_error_and_those_at_the_limit_are_not() {
    let text = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes));
    let list = |items: usize| format!(r#"{{"a":[{}]}}"#, vec!["1"; items].join(","));
    let deep = |n: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    for (new, expected) in [
        (text(262_000), None),
        (text(300_000), Some("object has 292 KiB; expressions look at objects up to 256 KiB")),
        (list(10_000), None),
        (list(10_001), Some("a list over 10000 items")),
        (deep(62), None),
        (deep(70), Some("nested over 64 deep")),
    ] {
        let result = asked("object.a != 1", Some(&new));
        match expected {
            None => assert_eq!(result, Ok(true)),
            Some(expected) => {
                let error = result.unwrap_err();
                assert!(error.contains(expected), "{error}");
            }
        }
    }
}

#[test]
fn no_value_of_an_object_stands_in_an_error() {
    let new = r#"{"spec":{"secret":"s3cret"}}"#;
    for text in [
        "object.spec.secret < 1",
        "int(object.spec.secret) == 1",
        "object.spec[object.spec.secret] == 1",
        "quantity(object.spec.secret).isLessThan(quantity('1'))",
        "object.spec.secret",
    ] {
        assert!(!asked(text, Some(new)).unwrap_err().contains("s3cret"), "{text}");
    }
}

/// Words that expressions are made of, so that many random ones can be read.
const WORDS: [&str; 40] = [
    "object",
    "oldObject",
    "request",
    ".spec",
    ".metadata.labels",
    ".items",
    ".name",
    "['a']",
    "[0]",
    "[-1]",
    "1",
    "-1",
    "9223372036854775807",
    "0.5",
    "'a'",
    "''",
    "true",
    "null",
    "[1, 'a']",
    " + ",
    " - ",
    " * ",
    " / ",
    " % ",
    " == ",
    " < ",
    " in ",
    " && ",
    " || ",
    " ? ",
    " : ",
    "!",
    "(",
    ")",
    ".all(x, x",
    ".map(x, x",
    ".filter(x, x",
    ".size()",
    ".substring(1, 2)",
    ".matches('a*')",
];

proptest! {
    #[test]
    fn no_expression_ends_the_program_and_the_same_one_comes_to_the_same(
        words in prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..16),
        any in ".{0,64}",
    ) {
        drop(Expression::compile(&any));
        if let Ok(expression) = Expression::compile(&words.concat()) {
            for new in [Some(NEW), None] {
                let asked = || with_input(new, |input| expression.evaluate_bool(input));
                prop_assert_eq!(asked(), asked());
                drop(with_input(new, |input| expression.evaluate_text(input)));
            }
        }
    }
}
