//! Those who call the server whose certificate is kept, as far as the keeper has to know them: what they trust by now,
//! and where they may come out. Told by whoever hands the CA to them; nothing is decided here.

use std::pin::Pin;
use std::sync::Arc;

use smartops_process::client;
use tokio::sync::watch;

/// The callers of a server.
#[derive(Debug)]
pub struct Callers {
    /// Of the CA certificates the keeper told, PEM, those that stand at every one of them by now, whoever wrote what
    /// stands. None where none does, and while that is not known.
    pub trusted: watch::Receiver<Option<Arc<str>>>,
    /// What was handed to them, asked where nothing else tells.
    pub bundles: Arc<dyn Bundles>,
    /// The places at which they may come out.
    pub places: Arc<dyn Places>,
}

/// CAs that stand at callers, on their way.
pub type Held<'a> = Pin<Box<dyn Future<Output = Result<Vec<String>, client::Error>> + Send + 'a>>;

/// What was handed to callers.
pub trait Bundles: std::fmt::Debug + Send + Sync {
    /// Every CA that any of them trusts now, PEM. Comes back within a deadline of its own.
    fn authorities(&self) -> Held<'_>;
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
