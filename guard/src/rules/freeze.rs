//! When nothing may change: windows that a cron expression opens in a time zone, and that close after a while. Whatever
//! only touches metadata and status passes, so that controllers and finalisers go on.
//!
//! Wall clocks that jump: a start that a time zone skips does not happen that day, and one that it repeats happens twice.

use cronexpr::{Crontab, MakeTimestamp};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube_derive::KubeSchema;
use serde::{Deserialize, Serialize};
use smartops_common::denial::Rule;

use super::Case;
use crate::findings::Finding;
use crate::policy::Flaw;
use crate::verdict::shortened;

/// A window in which nothing may change.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
#[x_kube(crates(kube_core = "::kube_core"))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FreezeSpec {
    /// When it opens: minute, hour, day of month, month, day of week.
    #[schemars(length(min = 9, max = 128))]
    pub cron: String,
    /// In which time zone, by its IANA name: `Europe/Berlin`, `UTC`.
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// After how many seconds it closes.
    #[schemars(range(min = 60, max = 1_209_600))]
    pub duration_seconds: i32,
    /// Why, for denials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 200))]
    pub reason: Option<String>,
}

/// The windows, checked.
#[derive(Debug, Clone)]
pub(crate) struct Freeze(Vec<Window>);

#[derive(Debug, Clone)]
struct Window {
    crontab: Crontab,
    zone: TimeZone,
    length: SignedDuration,
    /// The cron expression, its zone and the reason, for messages.
    text: String,
}

/// Most windows of one policy.
const MOST_WINDOWS: usize = 16;
/// Shortest and longest window. Seconds.
const SECONDS: std::ops::RangeInclusive<i32> = 60..=1_209_600;
/// How many windows in a row are followed to their end.
const MOST_IN_A_ROW: usize = 16;

impl Freeze {
    pub(super) fn compile(specs: &[FreezeSpec], flaws: &mut Vec<Flaw>) -> Self {
        let field = "spec.rules.freeze";
        if specs.len() > MOST_WINDOWS {
            let count = specs.len();
            let reason = format!("has {count} windows; at most {MOST_WINDOWS} are allowed");
            flaws.push(Flaw::new(field, reason));
        }
        let windows = specs
            .iter()
            .enumerate()
            .filter_map(|(place, spec)| Window::compile(&format!("{field}[{place}]"), spec, flaws));
        Self(windows.collect())
    }

    pub(super) fn judge(&self, case: &Case<'_>, found: &mut Vec<Finding>) {
        if self.0.is_empty() || case.change.only_metadata_changes() {
            return;
        }
        let open = self.0.iter().filter_map(|w| Some((w, w.close(w.last_start(case.now)?))));
        let Some((window, close)) = open.max_by_key(|(_, close)| *close) else { return };
        let until = self.end(close);
        let (ends, retry_after) = match until {
            Some(end) => {
                let seconds = end.duration_since(case.now).as_millis().max(0).unsigned_abs();
                let seconds = u32::try_from(seconds.div_ceil(1000)).unwrap_or(u32::MAX);
                let end = end.to_zoned(window.zone.clone());
                (format!("until {end}"), Some(seconds.max(1)))
            }
            None => ("and windows follow each other without end in sight".to_owned(), None),
        };
        let next = match retry_after {
            Some(seconds) => format!("retry in {seconds} s"),
            None => "ask an operator".to_owned(),
        };
        found.push(Finding {
            rule: Rule::Freeze,
            path: String::new(),
            message: format!("nothing may change {ends} ({}); {next}", window.text),
            retry_after,
            refuses: true,
        });
    }

    /// When the last of the windows ends that follow on one that closes then without a gap.
    fn end(&self, mut close: Timestamp) -> Option<Timestamp> {
        for _ in 0..MOST_IN_A_ROW {
            // A window that opens as another closes leaves no gap.
            let closes = self.0.iter().filter_map(|w| Some(w.close(w.last_start(close)?)));
            match closes.max().filter(|later| *later > close) {
                Some(later) => close = later,
                None => return Some(close),
            }
        }
        None
    }
}

impl Window {
    fn compile(field: &str, spec: &FreezeSpec, flaws: &mut Vec<Flaw>) -> Option<Self> {
        let before = flaws.len();
        if !SECONDS.contains(&spec.duration_seconds) {
            let (is, least, most) = (spec.duration_seconds, SECONDS.start(), SECONDS.end());
            let reason = format!("is {is}; it must be {least} to {most}");
            flaws.push(Flaw::new(format!("{field}.durationSeconds"), reason));
        }
        let zone = TimeZone::get(&spec.time_zone);
        if zone.is_err() || spec.time_zone.contains(char::is_whitespace) {
            let reason = format!(
                "{:?} is no time zone; write its IANA name, as in Europe/Berlin or UTC",
                spec.time_zone
            );
            flaws.push(Flaw::new(format!("{field}.timeZone"), reason));
        }
        let crontab = crontab(&spec.cron).map_err(|reason| {
            flaws.push(Flaw::new(format!("{field}.cron"), reason));
        });
        let (Ok(zone), Ok(())) = (zone, crontab) else { return None };
        if flaws.len() > before {
            return None;
        }
        let reason = spec.reason.as_deref().unwrap_or_default().trim();
        let reason = shortened(&reason.replace(|c: char| c.is_control(), " "), 200);
        let separator = if reason.is_empty() { "" } else { ": " };
        Some(Self {
            crontab: cronexpr::parse_crontab(&format!("{} {}", spec.cron, spec.time_zone)).ok()?,
            zone,
            length: SignedDuration::from_secs(i64::from(spec.duration_seconds)),
            text: format!("{} in {}{separator}{reason}", spec.cron.trim(), spec.time_zone),
        })
    }

    fn close(&self, start: Timestamp) -> Timestamp {
        start.checked_add(self.length).unwrap_or(Timestamp::MAX)
    }

    fn next_start(&self, after: Timestamp) -> Option<Timestamp> {
        self.crontab.find_next(MakeTimestamp(after)).ok().map(|start| start.timestamp())
    }

    /// The last start at or before an instant at which the window is still open.
    fn last_start(&self, at: Timestamp) -> Option<Timestamp> {
        let opens_by = |after| self.next_start(after).filter(|start| *start <= at);
        let mut start = opens_by(at.checked_sub(self.length).ok()?)?;
        // No start lies at or after this and before `at`, by as many halvings as a window has minutes.
        let mut none_from = at;
        while none_from.duration_since(start) >= SignedDuration::from_secs(60) {
            let middle = start + none_from.duration_since(start) / 2;
            match opens_by(middle) {
                Some(later) => start = later,
                None => none_from = middle,
            }
        }
        Some(start)
    }
}

/// Checks five cron fields, in UTC.
fn crontab(cron: &str) -> Result<(), String> {
    let fields = cron.split_whitespace().count();
    let wanted = "minute, hour, day of month, month and day of week, as in 0 18 * * FRI";
    if fields != 5 {
        return Err(format!("{cron:?} has {fields} fields; write five: {wanted}"));
    }
    let crontab = cronexpr::parse_crontab(&format!("{cron} UTC"))
        .map_err(|_| format!("{cron:?} is no cron expression; write {wanted}"))?;
    // Within the four years the search covers from here on lies a leap day.
    let from = MakeTimestamp(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365));
    match crontab.find_next(from) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{cron:?} names no day that there is; it would never open")),
    }
}

#[cfg(test)]
mod tests {
    use smartops_change::{Change, Operation};

    use super::*;
    use crate::policy::compile;
    use crate::rules::{Readings, RulesSpec};
    use crate::sample::{self, Write};

    fn window(cron: &str, zone: &str, seconds: i32) -> FreezeSpec {
        FreezeSpec {
            cron: cron.to_owned(),
            time_zone: zone.to_owned(),
            duration_seconds: seconds,
            reason: None,
        }
    }

    fn found(specs: &[FreezeSpec], write: &Write, now: &str) -> Option<Finding> {
        let mut flaws = Vec::new();
        let freeze = Freeze::compile(specs, &mut flaws);
        assert_eq!(flaws, []);
        let change: Change<'_> = write.change();
        let person = sample::person();
        let inputs = crate::cel::Inputs::new(&change, &person);
        let facts = sample::facts(&[]);
        let now = now.parse().unwrap();
        let case = Case {
            change: &change,
            subject: &person,
            facts: &facts,
            inputs: &inputs,
            readings: &Readings::default(),
            now,
        };
        let mut found = Vec::new();
        freeze.judge(&case, &mut found);
        assert!(found.len() < 2);
        found.pop()
    }

    fn left(specs: &[FreezeSpec], now: &str) -> Option<u32> {
        found(specs, &sample::scale(3, 4), now).map(|finding| finding.retry_after.unwrap())
    }

    #[test]
    fn a_window_opens_at_its_minute_and_closes_after_its_length() {
        let evening = [window("0 18 * * *", "UTC", 3600)];
        for (now, expected) in [
            ("2026-01-05T17:59:59Z", None),
            ("2026-01-05T18:00:00Z", Some(3600)),
            ("2026-01-05T18:00:00.5Z", Some(3600)),
            ("2026-01-05T18:30:01Z", Some(1799)),
            ("2026-01-05T18:59:59.9Z", Some(1)),
            ("2026-01-05T19:00:00Z", None),
        ] {
            assert_eq!(left(&evening, now), expected, "{now}");
        }
        let weekend = [window("0 18 * * FRI", "UTC", 208_800)];
        assert_eq!(left(&weekend, "2026-01-05T03:59:59Z"), Some(1));
        assert_eq!(left(&weekend, "2026-01-05T04:00:00Z"), None);
        let berlin = [window("0 18 * * *", "Europe/Berlin", 3600)];
        assert_eq!(left(&berlin, "2026-01-05T17:00:00Z"), Some(3600));
        assert_eq!(left(&berlin, "2026-07-05T16:00:00Z"), Some(3600));
        assert_eq!(left(&berlin, "2026-07-05T17:00:00Z"), None);
    }

    #[test]
    fn the_end_told_is_that_of_the_last_window_without_a_gap() {
        let three = [
            window("0 10 * * *", "UTC", 3600),
            window("0 11 * * *", "UTC", 3600),
            window("30 11 * * *", "UTC", 3600),
        ];
        assert_eq!(left(&three, "2026-01-05T10:00:00Z"), Some(9000));
        assert_eq!(left(&three, "2026-01-05T12:29:00Z"), Some(60));
        let gap = [window("0 10 * * *", "UTC", 3540), window("0 11 * * *", "UTC", 3600)];
        assert_eq!(left(&gap, "2026-01-05T10:00:00Z"), Some(3540));
        // A start within an open window of its own keeps it open.
        let hourly = [window("0 9-12 * * *", "UTC", 5400)];
        assert_eq!(left(&hourly, "2026-01-05T09:30:00Z"), Some(4 * 3600));
        let ever = [window("* * * * *", "UTC", 600)];
        let finding = found(&ever, &sample::scale(3, 4), "2026-01-05T10:00:00Z").unwrap();
        assert_eq!(finding.retry_after, None);
        assert!(finding.message.contains("without end in sight"));
    }

    #[test]
    fn a_start_that_the_clock_skips_does_not_happen_and_one_it_repeats_happens_twice() {
        let night = [window("30 2 * * *", "Europe/Berlin", 600)];
        // 29 March 2026: 02:00 becomes 03:00. The day before and the day after, the window opens.
        for (now, expected) in [
            ("2026-03-28T01:30:00Z", Some(600)),
            ("2026-03-29T00:30:00Z", None),
            ("2026-03-29T01:05:00Z", None),
            ("2026-03-29T01:30:00Z", None),
            ("2026-03-30T00:30:00Z", Some(600)),
            // 25 October 2026: 03:00 becomes 02:00, and 02:30 comes in summer time and again in winter time.
            ("2026-10-25T00:30:00Z", Some(600)),
            ("2026-10-25T00:45:00Z", None),
            ("2026-10-25T01:30:00Z", Some(600)),
            ("2026-10-25T01:45:00Z", None),
        ] {
            assert_eq!(left(&night, now), expected, "{now}");
        }
    }

    #[test]
    fn all_writes_wait_except_those_of_metadata_and_status() {
        let always = [window("0 0 * * *", "UTC", 86_400)];
        let with = |extra: &str| {
            format!(
                r#"{{"metadata":{{"name":"web","uid":"u1"{extra}}},"spec":{{"replicas":3}},"status":{{}}}}"#
            )
        };
        let label = Write::update("", &with(""), &with(r#","labels":{"a":"b"}"#));
        let status = Write::update("", &with(""), &with("").replace("{}}", r#"{"replicas":3}}"#));
        for (write, frozen) in [
            (sample::scale(3, 4), true),
            (sample::restart(), true),
            (Write::of(Operation::Create, "apps", "deployments"), true),
            (Write::of(Operation::Delete, "apps", "deployments"), true),
            (Write::of(Operation::Connect, "", "pods/exec"), true),
            (label, false),
            (status, false),
        ] {
            let found = found(&always, &write, "2026-01-05T12:00:00Z");
            assert_eq!(found.is_some(), frozen, "{:?} {:?}", write.operation, write.new);
        }
    }

    #[test]
    fn a_denial_says_until_when_by_which_window_and_why() {
        let mut spec = window("0 18 * * MON-FRI", "Europe/Berlin", 3600);
        spec.reason = Some("the shop\nis busy".to_owned());
        let finding = found(&[spec], &sample::scale(3, 4), "2026-01-05T17:30:00Z").unwrap();
        assert_eq!(
            finding.message,
            "nothing may change until 2026-01-05T19:00:00+01:00[Europe/Berlin] (0 18 * * MON-FRI in Europe/Berlin: the shop is busy); retry in 1800 s"
        );
    }

    #[test]
    fn a_window_that_cannot_be_or_never_opens_is_a_flaw_with_its_field() {
        for (spec, expected) in [
            (window("0 18 * * *", "UTC", 60), None),
            (window("0 0 29 2 *", "UTC", 60), None),
            (window("0 0 L * *", "UTC", 60), None),
            (window("0 0 30 2 *", "UTC", 60), Some("cron")),
            (window("0 0 31 4,6 *", "UTC", 60), Some("cron")),
            (window("60 0 * * *", "UTC", 60), Some("cron")),
            (window("0 18 * *", "UTC", 60), Some("cron")),
            (window("0 0 18 * * *", "UTC", 60), Some("cron")),
            (window("@daily", "UTC", 60), Some("cron")),
            (window("0 18 * * *", "Mars/Olympus", 60), Some("timeZone")),
            (window("0 18 * * *", "", 60), Some("timeZone")),
            (window("0 18 * * *", "+02:00", 60), Some("timeZone")),
            (window("0 18 * * *", "UTC", 59), Some("durationSeconds")),
            (window("0 18 * * *", "UTC", 1_209_600), None),
            (window("0 18 * * *", "UTC", 1_209_601), Some("durationSeconds")),
        ] {
            let mut policy = sample::baseline();
            policy.rules = RulesSpec { freeze: vec![spec.clone()], ..RulesSpec::default() };
            let flaws = compile("p", &policy).err().map_or_else(Vec::new, |e| e.flaws);
            let fields: Vec<String> = flaws.into_iter().map(|f| f.field).collect();
            let expected: Vec<String> =
                expected.iter().map(|f| format!("spec.rules.freeze[0].{f}")).collect();
            assert_eq!(fields, expected, "{spec:?}");
        }
    }

    #[test]
    fn time_zones_are_known_where_the_machine_has_none_of_its_own() {
        let bundled = jiff::tz::TimeZoneDatabase::bundled();
        for zone in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"] {
            assert!(bundled.get(zone).is_ok(), "{zone}");
        }
        assert!(bundled.get("Mars/Olympus").is_err());
    }

    #[test]
    fn windows_that_open_every_minute_are_judged_as_soon_as_any() {
        let dense: Vec<FreezeSpec> =
            (0..16).map(|_| window("* * * * *", "Europe/Berlin", 1_209_600)).collect();
        let begun = std::time::Instant::now();
        assert!(found(&dense, &sample::scale(3, 4), "2026-01-05T12:00:00Z").is_some());
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
