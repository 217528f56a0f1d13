//! Checks: what Prometheus says of the target before a remedy and after its rollout, held against the limits. What is
//! missing, no number or not answered is inconclusive and never a success. Pure; asking is `prometheus`'.

use smartops_common::remediation::{CheckResult, CheckVerdict, MetricCheck};

/// Longest sentence that is kept, in characters.
const LONGEST: usize = 1024;
/// Longest number that is kept as Prometheus wrote it.
const LONGEST_NUMBER: usize = 64;

/// What came of asking one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// One number, as Prometheus wrote it.
    Number(String),
    /// None, and why.
    Nothing(String),
    /// There is nobody to be asked, and there will not be.
    Nobody(String),
}

/// The query of a check for this target. Names are all that is ever put into one, and only such as cannot end a quoted
/// text.
pub fn query(check: &MetricCheck, namespace: &str, deployment: &str) -> Result<String, String> {
    let is_plain = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    };
    for name in [namespace, deployment] {
        if !is_plain(name) {
            return Err(format!("{name:?} is no name that can stand in a query"));
        }
    }
    Ok(check.query.replace("$namespace", namespace).replace("$deployment", deployment))
}

/// What was said before the first write.
pub fn before(checks: &[MetricCheck], answers: &[Answer]) -> Vec<CheckResult> {
    let each = checks.iter().zip(answers);
    each.map(|(check, answer)| {
        let (before, message) = match answer {
            Answer::Number(number) => (Some(number.clone()), format!("{number} before the remedy")),
            Answer::Nothing(why) | Answer::Nobody(why) => {
                (None, format!("before the remedy: {why}"))
            }
        };
        let (name, message) = (check.name.clone(), bounded(&message));
        CheckResult { name, before, after: None, verdict: None, message }
    })
    .collect()
}

/// What is said after the rollout, and the verdict on it.
pub fn judge(
    checks: &[MetricCheck],
    before: &[CheckResult],
    answers: &[Answer],
) -> Vec<CheckResult> {
    let each = checks.iter().zip(answers).enumerate();
    each.map(|(place, (check, answer))| {
        let before = before.get(place).and_then(|result| result.before.clone());
        let (verdict, message) = verdict(check, before.as_deref(), answer);
        let after = match answer {
            Answer::Number(number) => Some(number.clone()),
            _ => None,
        };
        let (name, message) = (check.name.clone(), bounded(&message));
        CheckResult { name, before, after, verdict: Some(verdict), message }
    })
    .collect()
}

/// The verdict on all: one failure fails, one that nobody knows leaves all unknown. `None` before there is a verdict on
/// each.
pub fn overall(checks: &[MetricCheck], results: &[CheckResult]) -> Option<CheckVerdict> {
    let verdicts: Vec<CheckVerdict> = results.iter().filter_map(|result| result.verdict).collect();
    if verdicts.len() < checks.len() {
        return None;
    }
    let worst = [CheckVerdict::Failed, CheckVerdict::Inconclusive];
    Some(worst.into_iter().find(|v| verdicts.contains(v)).unwrap_or(CheckVerdict::Passed))
}

/// What those of one verdict say.
pub fn words(results: &[CheckResult], verdict: CheckVerdict) -> String {
    let those = results.iter().filter(|result| result.verdict == Some(verdict));
    let said: Vec<String> =
        those.map(|result| format!("{}: {}", result.name, result.message)).collect();
    bounded(&said.join("; "))
}

fn verdict(check: &MetricCheck, before: Option<&str>, answer: &Answer) -> (CheckVerdict, String) {
    let unknown = |why: String| (CheckVerdict::Inconclusive, why);
    let after = match answer {
        Answer::Number(number) => number,
        Answer::Nothing(why) | Answer::Nobody(why) => return unknown(why.clone()),
    };
    let Some(value) = number(after) else {
        return unknown(format!("{after} is no number that can be compared"));
    };
    let mut limits = Vec::new();
    for (text, word) in [(&check.max, "at most"), (&check.min, "at least")] {
        let Some(text) = text else { continue };
        let Some(limit) = number(text) else {
            return unknown(format!("the limit {text:?} is no number"));
        };
        limits.push((word, limit, text.clone()));
    }
    if let Some(text) = &check.max_ratio {
        let Some(ratio) = number(text) else {
            return unknown(format!("the limit {text:?} is no number"));
        };
        let Some(former) = before.and_then(number) else {
            let said = before.unwrap_or("nothing");
            return unknown(format!(
                "Prometheus said {said} before the remedy, so that nothing can be compared with it"
            ));
        };
        limits.push(("at most", former * ratio, format!("{text} times the {former} of before")));
    }
    let broken = limits.iter().find(|(word, limit, _)| match *word {
        "at most" => value > *limit,
        _ => value < *limit,
    });
    match broken {
        Some((word, _, limit)) => {
            (CheckVerdict::Failed, format!("{after}, and {word} {limit} was to be"))
        }
        None if limits.is_empty() => unknown("it has no limit".to_owned()),
        None => (CheckVerdict::Passed, format!("{after}, within its limits")),
    }
}

/// A number that can be compared; NaN and the infinities cannot.
fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && text.len() <= LONGEST_NUMBER)
}

fn bounded(message: &str) -> String {
    message.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(max: Option<&str>, min: Option<&str>, ratio: Option<&str>) -> MetricCheck {
        let text = |text: Option<&str>| text.map(str::to_owned);
        MetricCheck {
            name: "p95".into(),
            query: "x{namespace=\"$namespace\",pod=~\"$deployment-.*\"}".into(),
            max: text(max),
            min: text(min),
            max_ratio: text(ratio),
        }
    }

    fn said(number: &str) -> Answer {
        Answer::Number(number.into())
    }

    #[test]
    fn only_plain_names_are_put_into_a_query() {
        let check = check(Some("1"), None, None);
        assert_eq!(query(&check, "shop", "web").unwrap(), "x{namespace=\"shop\",pod=~\"web-.*\"}");
        for bad in ["a\"}", "a b", "A", "", "a\\", "a{"] {
            assert!(query(&check, bad, "web").is_err(), "{bad}");
            assert!(query(&check, "shop", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_within_every_limit_passes_and_what_is_none_is_never_a_success() {
        use CheckVerdict::{Failed, Inconclusive, Passed};
        for (max, min, ratio, before, answer, expected) in [
            (Some("0.5"), None, None, None, said("0.4"), Passed),
            (Some("0.5"), None, None, None, said("0.5"), Passed),
            (Some("0.5"), None, None, None, said("0.6"), Failed),
            (None, Some("10"), None, None, said("10"), Passed),
            (None, Some("10"), None, None, said("9"), Failed),
            (None, None, Some("0.5"), Some("1"), said("0.5"), Passed),
            (None, None, Some("0.5"), Some("1"), said("0.6"), Failed),
            (None, None, Some("0.5"), None, said("0.4"), Inconclusive),
            (None, None, Some("0.5"), Some("NaN"), said("0.4"), Inconclusive),
            (Some("1"), None, Some("0.5"), Some("1"), said("0.6"), Failed),
            (Some("0.5"), None, None, None, said("NaN"), Inconclusive),
            (None, Some("0"), None, None, said("+Inf"), Inconclusive),
            (Some("much"), None, None, None, said("1"), Inconclusive),
            (Some("1"), None, None, None, Answer::Nothing("no series".into()), Inconclusive),
            (Some("1"), None, None, None, Answer::Nobody("no address".into()), Inconclusive),
        ] {
            let checks = [check(max, min, ratio)];
            let answers: Vec<Answer> =
                vec![before.map_or_else(|| Answer::Nothing("none".into()), said)];
            let former = super::before(&checks, &answers);
            let judged = judge(&checks, &former, std::slice::from_ref(&answer));
            assert_eq!(judged[0].verdict, Some(expected), "{answer:?} {:?}", judged[0]);
            assert_eq!(overall(&checks, &judged), Some(expected));
        }
    }

    #[test]
    fn one_failure_fails_all_and_one_unknown_leaves_all_unknown() {
        let checks = [check(Some("1"), None, None), check(Some("1"), None, None)];
        let nothing = || Answer::Nothing("no series".into());
        for (answers, expected) in [
            ([said("0"), said("1")], CheckVerdict::Passed),
            ([said("0"), nothing()], CheckVerdict::Inconclusive),
            ([said("2"), nothing()], CheckVerdict::Failed),
        ] {
            let judged = judge(&checks, &[], &answers);
            assert_eq!(overall(&checks, &judged), Some(expected), "{answers:?}");
        }
        let former = before(&checks, &[said("0"), said("0")]);
        assert_eq!(overall(&checks, &former), None, "nothing was asked after the rollout yet");
        assert_eq!(overall(&[], &[]), Some(CheckVerdict::Passed));
    }
}
