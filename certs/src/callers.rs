//! Those who call the server whose certificate is kept, as far as the keeper has to know them: what they trust by now,
//! and where they may come out. Told by whoever hands the CA to them; nothing is decided here.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

/// The callers of a server.
#[derive(Debug)]
pub struct Callers {
    /// The bundle of CA certificates, PEM, that every caller is known to trust by now: of what the keeper told, the last
    /// whose current CA (its first certificate) stands at every one of them. None while that is not known.
    pub trusted: watch::Receiver<Option<Arc<str>>>,
    /// The places at which they may come out.
    pub places: Arc<dyn Places>,
}

/// What is known of the leaves served at the places callers may come out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serving {
    /// Every place was asked and serves a leaf that the CA vouches for.
    Yes,
    /// A place serves another leaf. Which.
    No(String),
    /// Not every place could be asked. Why.
    Unknown(String),
}

/// An answer of [`Places`], on its way.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Serving> + Send + 'a>>;

/// The places at which callers may come out: an address, or every replica behind a Service.
pub trait Places: std::fmt::Debug + Send + Sync {
    /// Whether every place serves a leaf that this one CA, PEM, vouches for. Comes back within a deadline of its own.
    fn serve<'a>(&'a self, authority: &'a str) -> Answer<'a>;
}
