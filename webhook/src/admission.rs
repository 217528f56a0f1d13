//! The wire: an AdmissionReview's bytes in, a well-formed answer out.
//!
//! Lives here: what the API server sends and reads, HTTP and its limits. Does not live here: any judgement.

pub mod envelope;
pub mod http;
pub mod reply;

/// Whose writes a registration sends, as its URL path says. Whoever comes by automation's path is automation; whoever
/// comes by the other is what the SmartOpsConfig says of the review's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Automation: fails closed.
    Automation,
    /// Everybody else: fails closed as well in mode Fail, the only one there is.
    People,
}

impl Audience {
    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automation => "automation",
            Self::People => "people",
        }
    }
}

/// Which half of admission is asked, as the URL path says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// Allow or deny.
    Validating,
    /// Change the object before it is validated.
    Mutating,
}

impl Half {
    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Mutating => "mutating",
        }
    }
}
