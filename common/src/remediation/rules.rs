//! The rules at the root of a Remediation's schema, in CEL: what its status may become.

/// How far a phase is on its way, in CEL.
macro_rules! rank {
    ($object:literal) => {
        concat!(
            "(!has(",
            $object,
            ".status.phase) || ",
            $object,
            ".status.phase == 'Pending' ? 0 : ",
            $object,
            ".status.phase == 'AwaitingApproval' ? 1 : ",
            $object,
            ".status.phase == 'Executing' ? 2 : ",
            $object,
            ".status.phase == 'Verifying' ? 3 : 4)"
        )
    };
}

/// What holds of every write, whoever makes it and whether or not a webhook answers.
pub(super) const RULES: [(&str, &str); 9] = [
    (
        "has(self.spec.requestedBy) && has(self.spec.createdBy)",
        "requestedBy and createdBy are stamped when a Remediation is made: SmartOps' admission must be in service",
    ),
    ("!has(oldSelf.status) || has(self.status)", "status is the audit trail: it cannot be removed"),
    (
        "!has(oldSelf.status) || !has(self.status) || !has(oldSelf.status.attempts) || (has(self.status.attempts) \
         && size(self.status.attempts) >= size(oldSelf.status.attempts))",
        "attempts are only ever added",
    ),
    (
        "!has(oldSelf.status) || !has(self.status) || !has(oldSelf.status.attempts) || !has(self.status.attempts) || \
         [0, 1, 2, 3, 4, 5, 6, 7].all(i, i >= size(oldSelf.status.attempts) || i >= size(self.status.attempts) || \
         (self.status.attempts[i].number == oldSelf.status.attempts[i].number \
         && self.status.attempts[i].kind == oldSelf.status.attempts[i].kind \
         && self.status.attempts[i].intent == oldSelf.status.attempts[i].intent \
         && self.status.attempts[i].target.uid == oldSelf.status.attempts[i].target.uid \
         && self.status.attempts[i].target.generation == oldSelf.status.attempts[i].target.generation \
         && self.status.attempts[i].former == oldSelf.status.attempts[i].former \
         && self.status.attempts[i].leader == oldSelf.status.attempts[i].leader \
         && self.status.attempts[i].startedAt == oldSelf.status.attempts[i].startedAt \
         && self.status.attempts[i].deadline == oldSelf.status.attempts[i].deadline))",
        "what an attempt is to write, of what, by whom and until when never changes",
    ),
    (
        "!has(oldSelf.status) || !has(self.status) || !has(oldSelf.status.attempts) || !has(self.status.attempts) || \
         [0, 1, 2, 3, 4, 5, 6, 7].all(i, i >= size(oldSelf.status.attempts) || i >= size(self.status.attempts) || \
         ((!has(oldSelf.status.attempts[i].sentAt) || has(self.status.attempts[i].sentAt)) \
         && (!has(oldSelf.status.attempts[i].result) || (has(self.status.attempts[i].result) \
         && (self.status.attempts[i].result == oldSelf.status.attempts[i].result \
         || self.status.attempts[i].result == 'Written')) \
         && self.status.attempts[i].target == oldSelf.status.attempts[i].target)))",
        "an attempt that has ended stays as it ended, unless its write is found after all",
    ),
    (
        "!has(oldSelf.status) || !has(self.status) || !has(oldSelf.status.attempts) || !has(self.status.attempts) || \
         [0, 1, 2, 3, 4, 5, 6, 7].all(i, i >= size(oldSelf.status.attempts) || i >= size(self.status.attempts) || \
         ((!has(oldSelf.status.attempts[i].writtenGeneration) || (has(self.status.attempts[i].writtenGeneration) \
         && self.status.attempts[i].writtenGeneration == oldSelf.status.attempts[i].writtenGeneration)) \
         && (!has(oldSelf.status.attempts[i].writtenTemplate) || (has(self.status.attempts[i].writtenTemplate) \
         && self.status.attempts[i].writtenTemplate == oldSelf.status.attempts[i].writtenTemplate)) \
         && (!has(oldSelf.status.attempts[i].writtenAt) || (has(self.status.attempts[i].writtenAt) \
         && self.status.attempts[i].writtenAt == oldSelf.status.attempts[i].writtenAt)) \
         && (!has(oldSelf.status.attempts[i].inverse) || (has(self.status.attempts[i].inverse) \
         && self.status.attempts[i].inverse == oldSelf.status.attempts[i].inverse))))",
        "which write an attempt made, and what takes it back, is said once: writtenGeneration, writtenTemplate, writtenAt \
         and inverse stay",
    ),
    (
        "!has(self.status) || !has(self.status.attempts) || \
         [0, 1, 2, 3, 4, 5, 6].all(i, i + 1 >= size(self.status.attempts) || has(self.status.attempts[i].result))",
        "one attempt at a time: the next is added when the last has ended",
    ),
    (
        concat!(
            "!has(oldSelf.status) || !has(self.status) || ",
            rank!("self"),
            " >= ",
            rank!("oldSelf"),
            " || (oldSelf.status.phase == 'Verifying' && self.status.phase == 'Executing' \
             && size(self.status.attempts) > size(oldSelf.status.attempts))"
        ),
        "phases only move forward; a further attempt alone leads back from Verifying",
    ),
    (
        concat!(
            "!has(oldSelf.status) || !has(self.status) || ",
            rank!("oldSelf"),
            " < 4 || (self.status.phase == oldSelf.status.phase \
             && has(self.status.outcome) == has(oldSelf.status.outcome) \
             && (!has(self.status.outcome) || self.status.outcome == oldSelf.status.outcome) \
             && has(self.status.denial) == has(oldSelf.status.denial) \
             && (!has(self.status.denial) || self.status.denial == oldSelf.status.denial) \
             && has(self.status.verification) == has(oldSelf.status.verification) \
             && (!has(self.status.verification) || self.status.verification == oldSelf.status.verification) \
             && has(self.status.attempts) == has(oldSelf.status.attempts) \
             && (!has(self.status.attempts) || size(self.status.attempts) == size(oldSelf.status.attempts)))"
        ),
        "a Remediation that has ended stays as it ended",
    ),
];

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaProps, JSONSchemaPropsOrArray,
    };

    use super::super::crd;
    use super::*;

    /// The schema of every version, from its root.
    fn schema() -> JSONSchemaProps {
        let version = crd().spec.versions.remove(0);
        version.schema.and_then(|s| s.open_api_v3_schema).unwrap()
    }

    fn member<'s>(schema: &'s JSONSchemaProps, name: &str) -> &'s JSONSchemaProps {
        &schema.properties.as_ref().unwrap()[name]
    }

    #[test]
    fn each_rule_of_the_root_is_in_the_schema_and_says_itself_what_it_refuses() {
        let stored = schema().x_kubernetes_validations.unwrap();
        let stored: Vec<(&str, &str)> =
            stored.iter().map(|r| (r.rule.as_str(), r.message.as_deref().unwrap())).collect();
        assert_eq!(stored, RULES);
        for (place, (rule, message)) in RULES.iter().enumerate() {
            let before = &RULES[..place];
            assert!(before.iter().all(|(r, m)| r != rule && m != message), "{message}");
        }
    }

    #[test]
    fn the_rules_look_at_as_many_attempts_as_there_may_be() {
        let schema = schema();
        let most = member(member(&schema, "status"), "attempts").max_items.unwrap();
        let list = |end: i64| {
            let numbers: Vec<String> = (0..end).map(|n| n.to_string()).collect();
            format!("[{}].all(", numbers.join(", "))
        };
        let (each, each_but_the_last) = (list(most), list(most - 1));
        let mut counted = (0, 0);
        for (rule, _) in RULES.iter().filter(|(rule, _)| rule.contains(".all(")) {
            let all = rule.contains(&each);
            assert!(all || rule.contains(&each_but_the_last), "{rule}");
            // The one that looks at neighbours alone may leave out the last.
            assert!(all || !rule.contains("oldSelf"), "{rule}");
            counted = if all { (counted.0 + 1, counted.1) } else { (counted.0, counted.1 + 1) };
        }
        assert_eq!(counted, (3, 1));
    }

    #[test]
    fn every_member_of_an_attempt_is_held_by_a_rule_or_is_for_people() {
        let schema = schema();
        let attempts = member(member(&schema, "status"), "attempts");
        let Some(JSONSchemaPropsOrArray::Schema(attempt)) = &attempts.items else {
            panic!("attempts are no list");
        };
        for name in attempt.properties.as_ref().unwrap().keys() {
            let held = format!("oldSelf.status.attempts[i].{name}");
            let is_held = RULES.iter().any(|(rule, _)| rule.contains(&held));
            assert_eq!(is_held, name != "message", "{name}");
        }
    }

    #[test]
    fn an_intent_holds_the_values_of_its_type_by_its_schema_wherever_it_stands() {
        let schema = schema();
        let status = member(&schema, "status");
        let Some(JSONSchemaPropsOrArray::Schema(attempt)) = &member(status, "attempts").items
        else {
            panic!("attempts are no list");
        };
        for intent in [member(attempt, "intent"), member(member(status, "proposal"), "intent")] {
            let rules = intent.x_kubernetes_validations.as_ref().unwrap();
            assert!(rules.iter().any(|rule| rule.rule.contains("self.type == 'hpa-bounds'")));
        }
    }
}
