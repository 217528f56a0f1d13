//! Flags about how long certificates live, which every program that issues them takes.

use clap::Args;
use jiff::SignedDuration;

use crate::issue::Lifetimes;

/// The shortest life of a serving certificate: it has to be renewed in good time, by replicas that look every few
/// seconds.
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
/// The longest life of a CA: dates in certificates end somewhere.
const LONGEST: SignedDuration = SignedDuration::from_hours(24 * 36_500);

/// How long certificates live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args)]
pub struct LifetimeArgs {
    /// How long a serving certificate lives that is issued here, as 90d, 12h, 30m or 60s. It is renewed when a third of
    /// that is left, and when it was issued for longer.
    #[arg(
        long,
        env = "SMARTOPS_CERTIFICATE_LIFETIME",
        default_value = "90d",
        value_parser = duration,
        value_name = "TIME"
    )]
    pub certificate_lifetime: SignedDuration,
    /// How long its CA lives; at least twice as long.
    #[arg(
        long,
        env = "SMARTOPS_CA_LIFETIME",
        default_value = "3650d",
        value_parser = duration,
        value_name = "TIME"
    )]
    pub ca_lifetime: SignedDuration,
}

impl LifetimeArgs {
    /// The lifetimes; what is wrong with them is added to `problems`.
    pub fn check(&self, problems: &mut Vec<String>) -> Lifetimes {
        let (certificate, authority) = (self.certificate_lifetime, self.ca_lifetime);
        if certificate < SHORTEST {
            problems.push(format!(
                "--certificate-lifetime {certificate:#} must be at least 60s: in less it cannot be renewed in time"
            ));
        }
        if authority < certificate * 2 || authority > LONGEST {
            problems.push(format!(
                "--ca-lifetime {authority:#} must be at least twice --certificate-lifetime, which is {certificate:#}, and at \
                 most 36500d"
            ));
        }
        Lifetimes { authority, certificate }
    }
}

/// A whole number of seconds, minutes, hours or days.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let allowed =
        || format!("{text:?} is no time: write a whole number and d, h, m or s, as in 90d");
    let unit = text.chars().next_back().ok_or_else(allowed)?;
    let seconds: i64 = match unit {
        'd' => 24 * 3600,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        _ => return Err(allowed()),
    };
    let number: u32 = text.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or_else(allowed)?;
    Ok(SignedDuration::from_secs(i64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_whole_number_with_its_unit() {
        let table = [
            ("90d", Some(90 * 24 * 3600)),
            ("12h", Some(12 * 3600)),
            ("30m", Some(1800)),
            ("60s", Some(60)),
            ("60", None),
            ("d", None),
            ("-1d", None),
            ("1.5h", None),
            ("90 d", None),
            ("4294967296d", None),
            ("", None),
            ("9é", None),
        ];
        for (text, expected) in table {
            let read = duration(text).ok().map(|d| d.as_secs());
            assert_eq!(read, expected, "{text:?}");
        }
        assert!(duration("a year").unwrap_err().contains("90d"));
    }

    #[test]
    fn lifetimes_leave_time_to_renew() {
        let problems = |certificate: &str, authority: &str| {
            let mut problems = Vec::new();
            let (certificate_lifetime, ca_lifetime) =
                (duration(certificate).unwrap(), duration(authority).unwrap());
            LifetimeArgs { certificate_lifetime, ca_lifetime }.check(&mut problems);
            problems.len()
        };
        for (certificate, authority, expected) in [
            ("90d", "3650d", 0),
            ("60s", "120s", 0),
            ("59s", "120s", 1),
            ("60s", "119s", 1),
            ("1d", "36501d", 1),
            ("1s", "1s", 2),
        ] {
            assert_eq!(problems(certificate, authority), expected, "{certificate} {authority}");
        }
    }
}
