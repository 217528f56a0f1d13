//! The judgement's sentence about a refusal, as the expression the API server says it by.

use smartops_common::config::SmartOpsConfigSpec;

use super::Backstop;
use super::cel;
use super::subjects::is_member;
use crate::break_glass::{HINT, HINT_SHORT};
use crate::findings::{FURTHER, FURTHER_AT, FURTHER_CAUSES, HEAD, LEADING, LIFTABLE, MORE};
use smartops_common::denial::Rule;
use smartops_common::names;

/// The variables the sentence is made of, after the one that holds the causes: each `rule`, path and message, on a line
/// of their own.
pub(super) fn variables(policy: &str) -> Vec<(&'static str, String)> {
    let policy = cel::literal(policy);
    let part = |of: &str, place: usize| format!("{of}.split('\\n')[{place}]");
    let leading = "variables.leading";
    let source = format!("{policy} + '/' + {}", part("c", 0));
    let further_at = FURTHER_AT.cel(&[&source, &part("c", 1)]);
    let further = FURTHER.cel(&[&source]);
    let rest = "variables.rest";
    // In order, without the library that sorts, which not every API server has.
    let rank = format!("{rest}.filter(d, d < c).size()");
    let places: Vec<String> = (0..FURTHER_CAUSES).map(|place| place.to_string()).collect();
    vec![
        // The rules in the order in which the judgement leads with them, and then paths, sort as texts do.
        ("leading", "variables.causes.size() == 0 ? '' : variables.causes.min()".to_owned()),
        ("rest", format!("variables.causes.filter(c, c != {leading})")),
        ("because", LEADING.cel(&[&policy, &part(leading, 0), &part(leading, 2)])),
        (
            "further",
            format!(
                "[{}].filter(i, {rest}.exists(c, {rank} == i)).map(i, {rest}.filter(c, {rank} == i)[0]).map(c, '; ' + ({} == '' ? {further} : {further_at})).join('')",
                places.join(", "),
                part("c", 1),
            ),
        ),
        (
            "more",
            format!(
                "{rest}.size() > {FURTHER_CAUSES} ? '; ' + {} : ''",
                MORE.cel(&[&format!("string({rest}.size() - {FURTHER_CAUSES})")])
            ),
        ),
    ]
}

/// The whole sentence.
pub(super) fn expression(backstop: &Backstop, config: &SmartOpsConfigSpec) -> String {
    format!(
        "{} + ': ' + variables.because + variables.further + variables.more{}{}",
        head(),
        liftable(backstop),
        hint(backstop, config)
    )
}

/// Who asks for what: the beginning of every refusal.
pub(super) fn head() -> String {
    HEAD.cel(&[
        "request.operation",
        "(request.resource.resource + (request.resource.group == '' ? '' : '.' + request.resource.group) + \
         (has(request.subResource) && request.subResource != '' ? '/' + request.subResource : ''))",
        "(has(request.namespace) && request.namespace != '' ? request.namespace + '/' : '')",
        "(has(request.name) ? request.name : '')",
        "request.userInfo.username",
    ])
}

/// What anybody might have done about it.
fn liftable(backstop: &Backstop) -> String {
    let allowance = backstop.policy.allowance();
    let rules = [Rule::Replicas, Rule::Images];
    if rules.into_iter().any(|rule| allowance.lifts(rule)) {
        format!(" + '; ' + {}", LIFTABLE.cel(&[]))
    } else {
        String::new()
    }
}

/// What a member of a break-glass group might do.
fn hint(backstop: &Backstop, config: &SmartOpsConfigSpec) -> String {
    let groups = &config.break_glass.groups;
    if groups.is_empty() {
        return String::new();
    }
    let keys = ["metadata", "annotations", names::BREAK_GLASS];
    let length = format!("string({}.trim().size())", cel::at("variables.after", &keys));
    let mut cases = vec![(format!("!({})", is_member(groups)), "''".to_owned())];
    if backstop.parts.iter().any(super::part::Part::is_scale) {
        let text = "; you may break the glass, and not of a Scale while the API server judges by itself: write the \
                    number of the object itself";
        let is_scale = "has(request.subResource) && request.subResource == 'scale'";
        cases.push((is_scale.to_owned(), cel::literal(text)));
    }
    cases.push((
        cel::is_there("variables.after", &keys),
        format!("'; ' + {}", HINT_SHORT.cel(&[&length])),
    ));
    format!(" + {}", cel::choose(&cases, &format!("'; ' + {}", HINT.cel(&[]))))
}
