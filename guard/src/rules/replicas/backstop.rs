//! The rule as the API server judges it by itself, for people: [`Replicas::violation`] and the bounds of an autoscaler,
//! in CEL and in the same words.

use super::{ASK, MADE, MAXIMUM, MINIMUM, MOVED, Replicas, STEP};
use crate::vap::cel;
use crate::vap::part::{Part, is_of};
use smartops_change::Kind;

impl Replicas {
    /// The variables that end in `replicas`, a list of causes, for these writes of the policy.
    pub(crate) fn variables(&self, parts: &[Part]) -> Vec<(&'static str, String)> {
        let numbered: Vec<&Part> = parts.iter().filter(|p| keys(p).is_some()).collect();
        let scaled: Vec<&Part> =
            parts.iter().filter(|p| p.kind == Kind::HorizontalPodAutoscaler).collect();
        let mut variables = Vec::new();
        let mut causes = Vec::new();
        if !numbered.is_empty() {
            variables.extend(self.number(&numbered));
            causes.push("variables.numberCauses");
        }
        if !scaled.is_empty() {
            variables.extend(self.bounds(&scaled));
            causes.push("variables.boundCauses");
        }
        let causes = if causes.is_empty() { "[]".to_owned() } else { causes.join(" + ") };
        variables.push(("replicas", causes));
        variables
    }

    fn number(&self, parts: &[&Part]) -> Vec<(&'static str, String)> {
        let of = |side: &str| {
            let cases: Vec<(String, String)> = parts
                .iter()
                .filter_map(|part| {
                    let (keys, absent) = keys(part)?;
                    let keys: Vec<&str> = keys.split('.').collect();
                    let number = format!("int({})", cel::at(side, &keys));
                    let number = format!("({} ? {number} : {absent})", cel::is_there(side, &keys));
                    Some((is_of([*part]), number))
                })
                .collect();
            cel::choose(&cases, "0")
        };
        let paths: Vec<(String, String)> = parts
            .iter()
            .filter_map(|part| {
                let (path, _) = keys(part)?;
                let keys: Vec<&str> = path.split('.').collect();
                let path = cel::literal(path);
                // A custom resource that has it on neither side has no number.
                let path = if part.number.is_some() {
                    let there = ["variables.after", "variables.before"];
                    let [after, before] = there.map(|side| cel::is_there(side, &keys));
                    format!("({after} || (variables.isUpdate && {before}) ? {path} : '')")
                } else {
                    path
                };
                Some((is_of([*part]), path))
            })
            .collect();
        let (old, new) = ("variables.old", "variables.new");
        let was = "variables.hadNumber";
        let (min, max) = (self.min, self.max);
        let mut off = vec![
            format!("{new} > {max} && !({was} && {old} > {max} && {new} <= {old})"),
            format!("{new} < {min} && !({was} && {old} < {min} && {new} >= {old})"),
        ];
        let within = format!("[{min}, [{max}, {new}].min()].max()");
        let mut nearest = vec![(
            format!(
                "{was} && (({old} > {max} && {new} > {old}) || ({old} < {min} && {new} < {old}))"
            ),
            old.to_owned(),
        )];
        let binds = format!("{was} && {old} >= {min} && {old} <= {max}");
        if self.step < i64::MAX {
            let step = self.step;
            let inside = format!("{new} >= {min} && {new} <= {max}");
            off.push(format!(
                "{binds} && {inside} && ({new} - {old} > {step} || {old} - {new} > {step})"
            ));
            nearest
                .push((binds, format!("[{old} - {step}, [{old} + {step}, {within}].min()].max()")));
        }
        let limit = cel::choose(
            &[
                (format!("{new} > {max}"), cel::literal(&MAXIMUM.say(&[&max]))),
                (format!("{new} < {min}"), cel::literal(&MINIMUM.say(&[&min]))),
            ],
            &cel::literal(&STEP.say(&[&self.step])),
        );
        let path = "variables.path";
        let moved = MOVED.cel(&[path, &format!("string({old})"), &format!("string({new})")]);
        let made = MADE.cel(&[path, &format!("string({new})")]);
        let side = format!("({new} > variables.nearest ? 'most' : 'least')");
        let ask = ASK.cel(&["variables.moved", &limit, &side, "string(variables.nearest)"]);
        vec![
            ("path", cel::choose(&paths, "''")),
            ("new", of("variables.after")),
            ("hadNumber", "variables.isUpdate && !variables.enters".to_owned()),
            ("old", format!("{was} ? {} : {new}", of("variables.before"))),
            ("nearest", cel::choose(&nearest, &within)),
            ("moved", format!("{was} ? {moved} : {made}")),
            (
                "numberCauses",
                format!(
                    "{path} != '' && !({was} && {old} == {new}) && {} ? ['replicas\\n' + {path} + '\\n' + {ask}] : []",
                    cel::any(&off)
                ),
            ),
        ]
    }

    /// An autoscaler's bounds.
    fn bounds(&self, parts: &[&Part]) -> Vec<(&'static str, String)> {
        let bound = |side: &str, key: &str| {
            let keys = ["spec", key];
            format!("({} ? int({}) : 1)", cel::is_there(side, &keys), cel::at(side, &keys))
        };
        let cause = |path: &str, worse: String, wording: String, side: &str, limit: i64| {
            let (old, new) = match side {
                "least" => ("variables.leastBefore", "variables.least"),
                _ => ("variables.mostBefore", "variables.most"),
            };
            let path = cel::literal(path);
            let moved = MOVED.cel(&[&path, &format!("string({old})"), &format!("string({new})")]);
            let made = MADE.cel(&[&path, &format!("string({new})")]);
            let moved = format!("(variables.isUpdate ? {moved} : {made})");
            let side = cel::literal(side);
            let limit = cel::literal(&limit.to_string());
            let ask = ASK.cel(&[&moved, &cel::literal(&wording), &side, &limit]);
            format!("({worse} ? ['replicas\\n' + {path} + '\\n' + {ask}] : [])")
        };
        let (min, max) = (self.min, self.max);
        let under = format!(
            "variables.least < {min} && (!variables.isUpdate || variables.least < variables.leastBefore || variables.leastBefore >= {min})"
        );
        let over = format!(
            "variables.most > {max} && (!variables.isUpdate || variables.most > variables.mostBefore || variables.mostBefore <= {max})"
        );
        let is_one = is_of(parts.iter().copied());
        let of = |side: &str, key: &str, is_read: &str| {
            format!("{is_one} && {is_read} ? {} : 0", bound(side, key))
        };
        vec![
            ("least", of("variables.after", "minReplicas", "true")),
            ("most", of("variables.after", "maxReplicas", "true")),
            ("leastBefore", of("variables.before", "minReplicas", "variables.isUpdate")),
            ("mostBefore", of("variables.before", "maxReplicas", "variables.isUpdate")),
            (
                "boundCauses",
                format!(
                    "{is_one} ? {} + {} : []",
                    cause("spec.minReplicas", under, MINIMUM.say(&[&min]), "least", min),
                    cause("spec.maxReplicas", over, MAXIMUM.say(&[&max]), "most", max),
                ),
            ),
        ]
    }
}

/// Where a part keeps its number, and what its absence means.
fn keys(part: &Part) -> Option<(&str, i64)> {
    match &part.number {
        Some(path) => Some((path.as_str(), 0)),
        None => part.kind.number_path(),
    }
}
