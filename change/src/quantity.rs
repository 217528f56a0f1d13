//! Kubernetes quantities: `1000m` is `1`, `1Gi` is `1024Mi`. Knows the notation and nothing about where quantities
//! stand.

/// A quantity in billionths of its unit, the finest Kubernetes keeps. Finer values round away from zero, as the
/// API server rounds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(i128);

/// Longest text that is read as a quantity.
const LONGEST: usize = 64;

impl Quantity {
    /// Reads a quantity: digits with an optional sign and fraction, then a suffix (`n u m k M G T P E`,
    /// `Ki Mi Gi Ti Pi Ei`) or a decimal exponent (`e3`, `E-2`). `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, suffix) = rest.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
        let places = i32::try_from(fraction.len()).ok()?;
        let (factor, power) = scale(suffix)?;
        let nano = times_power_of_ten(digits.checked_mul(factor)?, power - places + 9)?;
        Some(Self(if negative { -nano } else { nano }))
    }

    /// The quantity in billionths.
    pub(crate) const fn nano(self) -> i128 {
        self.0
    }
}

/// In which units the API server writes a quantity back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// By powers of ten: `1500m`, `2k`.
    Decimal,
    /// By powers of two: `1Gi`.
    Binary,
    /// As an exponent: `1e3`.
    Exponent,
}

impl Format {
    /// The format of a quantity given as `text`. Below 1024 and with a fraction nothing is written in powers of two.
    pub(crate) fn of(quantity: Quantity, text: &str) -> Self {
        let is_whole = quantity.0 % ONE == 0;
        if quantity.0 == 0 {
            Self::Decimal
        } else if text.ends_with('i') {
            let is_large = quantity.0.unsigned_abs() >= 1024 * ONE.unsigned_abs();
            if is_whole && is_large { Self::Binary } else { Self::Decimal }
        } else if text.bytes().last().is_some_and(|b| b.is_ascii_digit())
            && text.contains(['e', 'E'])
        {
            Self::Exponent
        } else {
            Self::Decimal
        }
    }
}

/// One unit in billionths.
const ONE: i128 = 1_000_000_000;

/// The factor and the power of ten a suffix stands for.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            (1, digits.parse::<i32>().ok().filter(|power| power.abs() <= 64)?)
        }
    })
}

fn times_power_of_ten(value: i128, power: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    if power >= 0 {
        return if value == 0 { Some(0) } else { value.checked_mul(factor?) };
    }
    // A divisor beyond 128 bits leaves less than a billionth of any value that fits.
    let Some(divisor) = factor else { return Some(i128::from(value != 0)) };
    Some(value / divisor + i128::from(value % divisor != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_quantities_are_equal_however_they_are_written() {
        for (a, b) in [
            ("1000m", "1"),
            ("1Gi", "1024Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            (".5", "0.50"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("1E", "1e18"),
            ("-1", "-1000m"),
            ("+2", "2"),
            ("100u", "0.1m"),
            ("0", "0Gi"),
        ] {
            assert!(Quantity::parse(a).is_some(), "{a}");
            assert_eq!(Quantity::parse(a), Quantity::parse(b), "{a} {b}");
        }
    }

    #[test]
    fn different_quantities_differ() {
        for (a, b) in [("1G", "1Gi"), ("1m", "1M"), ("1", "-1"), ("1", "1.000000001")] {
            assert_ne!(Quantity::parse(a), Quantity::parse(b), "{a} {b}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", ".", "-", "1.2.3", "1 Gi", "Gi", "1ki", "0x10", "1e", "1e99", "NaN"] {
            assert_eq!(Quantity::parse(text), None, "{text}");
        }
        assert_eq!(Quantity::parse(&"9".repeat(63)), None);
    }
}
