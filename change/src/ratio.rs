//! How many times one quantity is another, exactly.

use std::cmp::Ordering;

use crate::quantity::Quantity;

/// An exact ratio of two quantities, above one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ratio {
    new: u128,
    old: u128,
}

/// One unit in billionths.
pub(crate) const NANO: u128 = 1_000_000_000;

impl Ratio {
    /// How many times `old` is `new`, both in billionths; `old` is not 0.
    pub(crate) const fn of(new: u128, old: u128) -> Self {
        Self { new, old }
    }

    /// Whether it is above `limit`, a number as policies write it (`1.9` is nineteen tenths). Exact. Everything is above
    /// what is no number or negative.
    pub fn exceeds(self, limit: f64) -> bool {
        let Some(limit) = nano(limit) else { return true };
        compare((self.new, self.old), (limit, NANO)).is_gt()
    }
}

impl std::fmt::Display for Ratio {
    /// Rounded up to hundredths, without trailing zeros: `2`, `1.5`, `1.34`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.new / self.old, self.new % self.old);
        // The rest is below the divisor: a hundredfold overflows only where both are beyond any real quantity.
        let hundredths = rest.saturating_mul(100).div_ceil(self.old).min(100);
        let (whole, hundredths) = (whole + hundredths / 100, hundredths % 100);
        match (hundredths / 10, hundredths % 10) {
            (0, 0) => write!(f, "{whole}"),
            (tenths, 0) => write!(f, "{whole}.{tenths}"),
            _ => write!(f, "{whole}.{hundredths:02}"),
        }
    }
}

/// A ratio in billionths; `None` for what is no number or negative.
pub(crate) fn nano(ratio: f64) -> Option<u128> {
    u128::try_from(Quantity::parse(&ratio.to_string())?.nano()).ok()
}

/// Compares two fractions without overflow: whole parts first, then what is left, turned over.
fn compare((a, b): (u128, u128), (c, d): (u128, u128)) -> Ordering {
    match (a / b).cmp(&(c / d)) {
        Ordering::Equal => match (a % b, c % d) {
            (0, 0) => Ordering::Equal,
            (0, _) => Ordering::Less,
            (_, 0) => Ordering::Greater,
            (left, right) => compare((d, right), (b, left)),
        },
        decided => decided,
    }
}
