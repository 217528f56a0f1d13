//! The Kubernetes client: how it is reached, without the library's own retries, and the deadline of each call.
//!
//! The library would repeat an answer of 429, 503 or 504 up to fifteen times, creates included. Here a call is made
//! once; whoever makes it decides what a failure means.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use kube::{Client, Config};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long sending a request may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a connection may stay silent; longer than a watch the server ends after 290 s.
const READ_TIMEOUT: Duration = Duration::from_secs(320);

/// Why a call to the API server brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig file cannot be used.
    #[error("the kubeconfig {path} cannot be used: {source}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// Not in a pod, and no kubeconfig was named.
    #[error("no --kubeconfig was given and this is not a pod of a cluster: {0}")]
    NotInCluster(#[from] kube::config::InClusterError),
    /// The client could not be built.
    #[error("the client for the API server could not be built: {0}")]
    Build(#[source] kube::Error),
    /// The call did not end in time; whether it took effect is not known.
    #[error("{what}: no answer within {limit:?}")]
    Deadline {
        /// What was being done.
        what: &'static str,
        /// The time it was given.
        limit: Duration,
    },
    /// The API server answered with an error, or could not be reached.
    #[error("{what}: {}", brief(.source))]
    Call {
        /// What was being done.
        what: &'static str,
        /// The answer.
        source: Box<kube::Error>,
    },
}

impl Error {
    /// The API server's own words, where it answered.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Call { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status),
                _ => None,
            },
            _ => None,
        }
    }

    /// The HTTP code of the answer, where there was one.
    pub fn code(&self) -> Option<u16> {
        self.status().map(|s| s.code)
    }

    /// The object is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Somebody else wrote in between; false for an object that exists already.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|s| s.code == 409 && s.reason != "AlreadyExists")
    }

    /// An object of that name exists already.
    pub fn is_already_exists(&self) -> bool {
        self.status().is_some_and(|s| s.code == 409 && s.reason == "AlreadyExists")
    }
}

/// An error in the API server's own words where it answered; the library's text repeats the whole status.
pub fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => {
            format!("{} ({} {})", status.message, status.code, status.reason)
        }
        other => other.to_string(),
    }
}

/// A client by the kubeconfig named, or else by the pod's own ServiceAccount. Calls are not repeated.
pub async fn connect(kubeconfig: Option<&Path>) -> Result<Client, Error> {
    let mut config = match kubeconfig {
        Some(path) => {
            let failed = |source| Error::Kubeconfig { path: path.display().to_string(), source };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(failed)?
        }
        None => Config::incluster()?,
    };
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(WRITE_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(Error::Build)
}

/// One call under a deadline. `what` says what is being done, for the error: "reading the Deployment".
pub async fn deadline<T, F>(what: &'static str, limit: Duration, call: F) -> Result<T, Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(Error::Call { what, source: Box::new(source) }),
        Err(_) => Err(Error::Deadline { what, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: u16, reason: &str) -> Error {
        let status = Status { code, reason: reason.into(), ..Status::default() };
        Error::Call { what: "writing", source: Box::new(kube::Error::Api(Box::new(status))) }
    }

    #[test]
    fn the_two_meanings_of_409_are_told_apart() {
        assert!(answered(409, "Conflict").is_conflict());
        assert!(!answered(409, "Conflict").is_already_exists());
        assert!(answered(409, "AlreadyExists").is_already_exists());
        assert!(!answered(409, "AlreadyExists").is_conflict());
        assert!(answered(404, "NotFound").is_not_found());
    }

    #[tokio::test]
    async fn a_call_that_never_ends_is_given_up_at_its_deadline() {
        let never = std::future::pending::<Result<(), kube::Error>>();
        let error = deadline("reading", Duration::from_millis(20), never).await.unwrap_err();
        assert_eq!(error.to_string(), "reading: no answer within 20ms");
    }
}
