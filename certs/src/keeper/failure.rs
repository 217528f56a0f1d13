//! Why a look at the certificate came to nothing.

use smartops_process::client;

use crate::{issue, resolver};

/// Why no certificate, or not the one stored, is presented.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// Issuing.
    #[error(transparent)]
    Issue(#[from] issue::Error),
    /// TLS.
    #[error(transparent)]
    Resolver(#[from] resolver::Error),
    /// What is stored is somebody else's.
    #[error("{0}")]
    Foreign(String),
    /// What is stored cannot be served by.
    #[error("the Secret {name:?} holds nothing that can be served by: {why}")]
    Unusable {
        /// The Secret.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// Others kept writing in between.
    #[error("the Secret {0:?} was written by others each time: trying again")]
    Raced(String),
}

impl Error {
    /// The kinds, as a metric's label.
    pub(crate) const KINDS: [&'static str; 5] = ["store", "issue", "foreign", "verify", "raced"];

    /// Its kind.
    pub(super) const fn kind(&self) -> &'static str {
        let [store, issue, foreign, verify, raced] = Self::KINDS;
        match self {
            Self::Client(_) => store,
            Self::Issue(_) => issue,
            Self::Foreign(_) => foreign,
            Self::Resolver(_) | Self::Unusable { .. } => verify,
            Self::Raced(_) => raced,
        }
    }
}
