//! API keys: a file of names and SHA-256 digests, read again when it changes. The key itself is stored nowhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use smartops_process::BoxError;
use smartops_process::shutdown::Shutdown;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    name: String,
    digest: [u8; 32],
}

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("the API key file {path} cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Lines that are not keys; all of them, by number.
    #[error(
        "the API key file {path} has lines that are no keys ({problems}); each line is `name sha256hex`"
    )]
    Lines {
        /// Which.
        path: PathBuf,
        /// The lines and what is wrong.
        problems: String,
    },
}

/// The keys in force. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    path: Option<PathBuf>,
    keys: Arc<ArcSwap<Vec<Key>>>,
}

impl Keys {
    /// Reads the file; without one no key is good.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let keys = match path {
            Some(path) => read(path)?,
            None => Vec::new(),
        };
        Ok(Self { path: path.map(Path::to_owned), keys: Arc::new(ArcSwap::from_pointee(keys)) })
    }

    /// The keys of a text, without a file.
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        let keys = parse(text).unwrap();
        Self { path: None, keys: Arc::new(ArcSwap::from_pointee(keys)) }
    }

    /// Whose key this is. Every key is compared to its end: the time taken says nothing about how close a guess was.
    pub fn owner(&self, key: &[u8]) -> Option<String> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let mut owner = None;
        for known in self.keys.load().iter() {
            let difference = known.digest.iter().zip(digest).fold(0u8, |acc, (a, b)| acc | (a ^ b));
            if std::hint::black_box(difference) == 0 {
                owner = Some(known.name.clone());
            }
        }
        owner
    }

    /// Takes over changes of the file until the stop; a file that has become unusable leaves the last good keys.
    pub async fn follow(self, shutdown: Shutdown) -> Result<(), BoxError> {
        let Some(path) = self.path.clone() else {
            shutdown.stopping().await;
            return Ok(());
        };
        let mut tick = tokio::time::interval(LOOK_EVERY);
        let mut is_good = true;
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = shutdown.stopping() => return Ok(()),
            }
            let path = path.clone();
            match tokio::task::spawn_blocking(move || read(&path)).await? {
                Ok(keys) => {
                    is_good = true;
                    if keys != **self.keys.load() {
                        tracing::info!(keys = keys.len(), "the API keys changed");
                        self.keys.store(Arc::new(keys));
                    }
                }
                Err(error) if is_good => {
                    is_good = false;
                    tracing::warn!(%error, "the API keys stay as they were");
                }
                Err(_) => {}
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<Key>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse(&text).map_err(|problems| Error::Lines { path: path.to_owned(), problems })
}

fn parse(text: &str) -> Result<Vec<Key>, String> {
    let mut keys: Vec<Key> = Vec::new();
    let mut problems = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            [name, hex] => match digest(hex) {
                Some(digest) => keys.push(Key { name: (*name).to_owned(), digest }),
                None => problems.push(format!("line {}: not 64 hex digits", number + 1)),
            },
            _ => problems.push(format!("line {}: {} words", number + 1, words.len())),
        }
    }
    if problems.is_empty() { Ok(keys) } else { Err(problems.join(", ")) }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let nibbles: Vec<u8> = hex
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> =
        nibbles.chunks(2).map(|pair| pair.iter().fold(0, |acc, n| acc * 16 + n)).collect();
    if nibbles.len() == 64 { bytes.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of `secret`.
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn a_key_is_known_by_its_digest_and_its_neighbour_is_not() {
        let keys = Keys::of(&format!("# keys\n\nagent {SECRET} # the agent's\n"));
        assert_eq!(keys.owner(b"secret").as_deref(), Some("agent"));
        assert_eq!(keys.owner(b"secret "), None);
        assert_eq!(keys.owner(b""), None);
        assert_eq!(Keys::default().owner(b"secret"), None);
    }

    #[test]
    fn every_line_that_is_no_key_is_named() {
        let text =
            format!("agent {SECRET}\nbob 1234\ncarol\ndave {SECRET} x\neve {}", "é".repeat(64));
        let problems = parse(&text).unwrap_err();
        for line in ["line 2", "line 3", "line 4", "line 5"] {
            assert!(problems.contains(line), "{problems}");
        }
        assert!(!problems.contains("line 1"), "{problems}");
    }
}
