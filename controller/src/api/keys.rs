//! API keys: a file of names, SHA-256 digests and what each key is for, read again when it changes. The key itself is
//! stored nowhere; a secret that signs requests has to be, and stands in the file as it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use smartops_process::BoxError;
use smartops_process::shutdown::Shutdown;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shortest secret that may sign, in bytes.
const SHORTEST_SECRET: usize = 16;
/// What a key may be limited to.
const DEEDS: [&str; 11] = [
    "scale",
    "restart",
    "patch",
    "rollback",
    "evict-pod",
    "pause",
    "resume",
    "hpa-bounds",
    "verify",
    "read",
    "closed-loop",
];

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    name: String,
    proof: Proof,
    scope: Scope,
}

/// By what a key is known.
#[derive(Clone, PartialEq, Eq)]
enum Proof {
    /// The key's digest.
    Digest([u8; 32]),
    /// What it signs with.
    Secret(Vec<u8>),
}

impl std::fmt::Debug for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Digest(_) => "Digest",
            Self::Secret(_) => "Secret",
        })
    }
}

/// What a key is for; nothing named means everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// The namespaces it is for.
    pub namespaces: Option<Vec<String>>,
    /// The actions it is for.
    pub actions: Option<Vec<String>>,
}

impl Scope {
    /// Whether it covers this action, in a namespace or everywhere.
    pub fn covers(&self, action: &str, namespace: Option<&str>) -> bool {
        let names = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|known| known == name))
        };
        let in_place = match namespace {
            Some(namespace) => names(&self.namespaces, namespace),
            None => self.namespaces.is_none(),
        };
        in_place && names(&self.actions, action)
    }
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
        "the API key file {path} has lines that are no keys ({problems}); each line is `NAME SHA256HEX` or `NAME sign:SECRETHEX`, \
         then perhaps `namespaces=A,B` and `actions=scale,restart,patch,rollback,evict-pod,pause,resume,hpa-bounds,verify,read,closed-loop`"
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

    /// Whose key this is, and what it is for. Every key is compared to its end: the time taken says nothing about how
    /// close a guess was.
    pub fn owner(&self, key: &[u8]) -> Option<(String, Scope)> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let mut owner = None;
        for known in self.keys.load().iter() {
            let Proof::Digest(of) = &known.proof else { continue };
            let difference = of.iter().zip(digest).fold(0u8, |acc, (a, b)| acc | (a ^ b));
            if std::hint::black_box(difference) == 0 {
                owner = Some((known.name.clone(), known.scope.clone()));
            }
        }
        owner
    }

    /// The scope of the signing key of this name whose secret `is_good`.
    pub fn signer(&self, name: &str, is_good: impl Fn(&[u8]) -> bool) -> Option<Scope> {
        let keys = self.keys.load();
        let mut named = keys.iter().filter(|key| key.name == name);
        let good = named.find(|key| matches!(&key.proof, Proof::Secret(secret) if is_good(secret)));
        good.map(|key| key.scope.clone())
    }

    /// Whether a key of this name signs.
    pub fn signs(&self, name: &str) -> bool {
        let keys = self.keys.load();
        keys.iter().any(|key| key.name == name && matches!(key.proof, Proof::Secret(_)))
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
        let [name, proof, options @ ..] = words.as_slice() else {
            if !words.is_empty() {
                problems.push(format!("line {}: {} words", number + 1, words.len()));
            }
            continue;
        };
        match key(name, proof, options) {
            Ok(key) => keys.push(key),
            Err(problem) => problems.push(format!("line {}: {problem}", number + 1)),
        }
    }
    if problems.is_empty() { Ok(keys) } else { Err(problems.join(", ")) }
}

fn key(name: &str, proof: &str, options: &[&str]) -> Result<Key, String> {
    let proof = match proof.strip_prefix("sign:") {
        Some(secret) => bytes(secret)
            .filter(|secret| secret.len() >= SHORTEST_SECRET)
            .map(Proof::Secret)
            .ok_or_else(|| format!("not at least {} hex digits", 2 * SHORTEST_SECRET))?,
        None => digest(proof).map(Proof::Digest).ok_or("not 64 hex digits")?,
    };
    let mut scope = Scope::default();
    for option in options {
        let (of, list) =
            option.split_once('=').ok_or_else(|| format!("{option:?} is no option"))?;
        let list: Vec<String> =
            list.split(',').filter(|entry| !entry.is_empty()).map(str::to_owned).collect();
        let slot = match of {
            "namespaces" => &mut scope.namespaces,
            "actions" => &mut scope.actions,
            _ => return Err(format!("{of:?} is no option")),
        };
        // A list that names nothing would read as everything.
        if list.is_empty() || slot.is_some() {
            return Err(format!("{of} must be given once and name something"));
        }
        if let Some(unknown) = list.iter().find(|a| of == "actions" && !DEEDS.contains(&a.as_str()))
        {
            return Err(format!("{unknown:?} is no action"));
        }
        *slot = Some(list);
    }
    Ok(Key { name: name.to_owned(), proof, scope })
}

/// The 32 bytes of 64 hex digits.
pub fn digest(hex: &str) -> Option<[u8; 32]> {
    bytes(hex)?.try_into().ok()
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> = hex
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()?;
    let is_even = nibbles.len().is_multiple_of(2);
    is_even
        .then(|| nibbles.chunks(2).map(|pair| pair.iter().fold(0, |acc, n| acc * 16 + n)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of `secret`.
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn a_key_is_known_by_its_digest_and_its_neighbour_is_not() {
        let keys = Keys::of(&format!("# keys\n\nagent {SECRET} # the agent's\n"));
        assert_eq!(keys.owner(b"secret"), Some(("agent".into(), Scope::default())));
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
        for options in ["namespaces=", "actions=explode", "namespaces=a namespaces=b", "days=2"] {
            assert!(parse(&format!("agent {SECRET} {options}")).is_err(), "{options}");
        }
        assert!(parse("agent sign:00ff").is_err(), "a short secret is soon guessed");
    }

    #[test]
    fn a_key_is_for_what_its_line_names_and_one_that_names_nothing_for_everything() {
        let keys = Keys::of(&format!("agent {SECRET} namespaces=shop,till actions=scale,verify"));
        let (_, scope) = keys.owner(b"secret").unwrap();
        for (action, namespace, covered) in [
            ("scale", Some("shop"), true),
            ("verify", Some("till"), true),
            ("restart", Some("shop"), false),
            ("scale", Some("bank"), false),
            ("scale", None, false),
        ] {
            assert_eq!(scope.covers(action, namespace), covered, "{action} {namespace:?}");
        }
        assert!(Scope::default().covers("closed-loop", None));
    }

    #[test]
    fn a_secret_signs_and_is_neither_shown_nor_good_as_a_key() {
        let secret = "5345435245545345435245545345435245";
        let keys = Keys::of(&format!("agent sign:{secret} actions=scale"));
        assert!(keys.signs("agent") && !keys.signs("other"));
        assert!(keys.signer("agent", |known| known == b"SECRETSECRETSECRE").is_some());
        assert_eq!(keys.signer("agent", |_| false), None);
        assert_eq!(keys.owner(b"SECRETSECRETSECRE"), None);
        assert!(!format!("{keys:?}").contains("83, 69"), "{keys:?}");
    }
}
