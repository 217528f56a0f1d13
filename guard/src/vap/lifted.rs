//! Exceptions, as conditions the API server evaluates: whether a rule is lifted for a write. Which exceptions there are,
//! and that an expired one is none, is whoever's who writes this; the API server looks at no clock.

use smartops_change::Resource;
use smartops_common::denial::Rule;

use super::cel;
use super::part::{Part, Way, is_of};
use super::subjects::is_member;
use crate::exception::Exception;

/// Whether any of these exceptions lifts a rule for the write.
pub(super) fn lifted(exceptions: &[&Exception], parts: &[Part], rule: Rule) -> String {
    let lifting = exceptions.iter().filter(|exception| exception.lifts(rule));
    let holds: Vec<String> = lifting.map(|exception| holds(exception, parts)).collect();
    cel::any(&holds)
}

fn holds(exception: &Exception, parts: &[Part]) -> String {
    let mut conditions = vec![format!(
        "has(request.namespace) && request.namespace == {}",
        cel::literal(exception.namespace())
    )];
    let spec = exception.spec();
    if let Some(subjects) = &spec.subjects {
        let users = format!("request.userInfo.username in {}", cel::list(&subjects.users));
        conditions.push(cel::any(&[users, is_member(&subjects.groups)]));
    }
    let target = &spec.target;
    let name = cel::literal(&target.name);
    let mut ways = Vec::new();
    let direct: Vec<&Part> = parts.iter().filter(|part| is_for(exception, part)).collect();
    if !direct.is_empty() {
        let is_named = format!("has(request.name) && request.name == {name}");
        ways.push(cel::all(&[is_of(direct), is_named]));
    }
    let through = |way: fn(&Way) -> bool| parts.iter().find(|part| way(&part.way));
    if let Some(part) = through(|way| *way == Way::OwnedByDeployment)
        && (target.group.as_str(), target.kind.as_str()) == ("apps", "Deployment")
    {
        let owners = "(variables.ownersBefore + variables.ownersAfter)";
        ways.push(cel::all(&[is_of([part]), format!("{owners}.all(o, o == {name})")]));
    }
    if let Some(part) = through(|way| matches!(way, Way::Scaling(_))) {
        let wanted = format!("{}/{}/{}", target.group, target.kind, target.name);
        ways.push(cel::all(&[
            is_of([part]),
            format!("variables.scaled.all(t, t == {})", cel::literal(&wanted)),
        ]));
    }
    conditions.push(cel::any(&ways));
    cel::all(&conditions)
}

/// Whether an exception can be for a write of a part by its name. Of a kind whose name is not known here any will do:
/// what is lifted too much here is still judged by the webhook.
fn is_for(exception: &Exception, part: &Part) -> bool {
    let target = &exception.spec().target;
    let object =
        Resource { group: &part.group, version: "", resource: &part.resource, subresource: "" };
    part.way == Way::Kind
        && part.group == target.group
        && object.kind().name().is_none_or(|kind| kind == target.kind)
}
