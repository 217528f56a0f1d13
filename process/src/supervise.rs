//! The life of a process: named tasks, the signal to stop, the drain, the grace, the end.
//!
//! A task that ends or panics before the stop ends the process: half a process is worse than none, and whoever
//! runs it starts it anew. Callers pay nothing for that: it ends the way it does at a signal, unless what ended is the very
//! task that answers them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::BoxError;
use crate::shutdown::Shutdown;
use crate::signals::Signals;

/// Why a process ended other than by a clean stop.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Signals cannot be listened for.
    #[error("signals cannot be listened for: {0}")]
    Signals(#[source] std::io::Error),
    /// A task ended although nobody asked it to.
    #[error("the task {0:?} ended before the process was asked to stop")]
    Ended(&'static str),
    /// A task failed.
    #[error("the task {name:?} failed: {source}")]
    Failed {
        /// Which.
        name: &'static str,
        /// Why.
        source: BoxError,
    },
    /// A task panicked.
    #[error("the task {0:?} panicked")]
    Panicked(&'static str),
    /// Tasks were still running when the grace was over.
    #[error("still running {limit:?} after the signal to stop: {}", .names.join(", "))]
    Grace {
        /// Which.
        names: Vec<&'static str>,
        /// The time they were given.
        limit: Duration,
    },
    /// A second signal came.
    #[error("a second signal to stop came: ended at once")]
    Aborted,
}

/// Tasks that belong together: when one ends, all do.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<Result<(), BoxError>>,
    names: HashMap<Id, &'static str>,
    /// The tasks that answer callers.
    answering: HashSet<&'static str>,
}

impl Supervisor {
    /// No tasks yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that is to run until the stop.
    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let id = self.tasks.spawn(task).id();
        self.names.insert(id, name);
    }

    /// Starts the task that answers callers: once it has ended there is nothing to drain.
    pub fn spawn_answering<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.answering.insert(name);
        self.spawn(name, task);
    }

    /// Runs until SIGTERM or SIGINT, then drains, stops, and waits for every task, all within `grace`. So it does when a
    /// task ends early, without the drain where that was one that answers callers; its error is returned.
    pub async fn run(
        self,
        shutdown: Shutdown,
        drain: Duration,
        grace: Duration,
    ) -> Result<(), Error> {
        let mut signals = Signals::listen().map_err(Error::Signals)?;
        let signalled = async || {
            signals.next().await;
        };
        self.run_until(signalled, shutdown, drain, grace).await
    }

    async fn run_until(
        mut self,
        mut signalled: impl AsyncFnMut(),
        shutdown: Shutdown,
        drain: Duration,
        grace: Duration,
    ) -> Result<(), Error> {
        let early = tokio::select! {
            () = signalled() => None,
            ended = self.next() => Some(ended),
        };
        let deadline = Instant::now() + grace;
        let is_answered = early.as_ref().is_none_or(|(name, _)| !self.answering.contains(name));
        let failure = early.map(|(name, result)| {
            let error = result.err().unwrap_or(Error::Ended(name));
            tracing::error!(task = name, %error, "a task ended early: the process ends");
            error
        });
        if is_answered {
            tracing::info!(drain_seconds = drain.as_secs(), "draining");
            shutdown.drain();
            // Of a process that ends by itself the first signal wants what is under way already.
            let mut heeded = if failure.is_some() { 2 } else { 1 };
            let mut drained = std::pin::pin!(tokio::time::sleep(drain));
            while heeded > 0 {
                tokio::select! {
                    () = &mut drained => break,
                    () = signalled() => heeded -= 1,
                }
            }
            if heeded == 0 {
                return Err(failure.unwrap_or(Error::Aborted));
            }
        }
        tracing::info!("stopping");
        shutdown.stop();
        let rest = self.finish(signalled, deadline, grace).await;
        failure.map_or(rest, Err)
    }

    /// Waits for the rest, keeping the first failure.
    async fn finish(
        &mut self,
        mut signalled: impl AsyncFnMut(),
        deadline: Instant,
        limit: Duration,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        while !self.names.is_empty() {
            let (name, result) = tokio::select! {
                ended = self.next() => ended,
                () = signalled() => return Err(Error::Aborted),
                () = tokio::time::sleep_until(deadline) => {
                    let mut names: Vec<_> = self.names.values().copied().collect();
                    names.sort_unstable();
                    return Err(Error::Grace { names, limit });
                }
            };
            tracing::debug!(task = name, "ended");
            outcome = outcome.and(result);
        }
        tracing::info!("stopped");
        outcome
    }

    async fn next(&mut self) -> (&'static str, Result<(), Error>) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, result))) => {
                let name = self.names.remove(&id).unwrap_or("unnamed");
                (name, result.map_err(|source| Error::Failed { name, source }))
            }
            Some(Err(error)) => {
                let name = self.names.remove(&error.id()).unwrap_or("unnamed");
                (name, Err(Error::Panicked(name)))
            }
            // Without tasks there is nothing to end early.
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(40);
    const LONG: Duration = Duration::from_secs(20);

    async fn until_stop(shutdown: Shutdown) -> Result<(), BoxError> {
        shutdown.stopping().await;
        Ok(())
    }

    /// Signals at once, then never again.
    fn once() -> impl AsyncFnMut() {
        let mut fired = false;
        async move || {
            if std::mem::replace(&mut fired, true) {
                std::future::pending::<()>().await;
            }
        }
    }

    #[tokio::test]
    async fn a_signal_drains_for_its_time_and_then_stops_cleanly() {
        let shutdown = Shutdown::new();
        let mut supervisor = Supervisor::new();
        supervisor.spawn("one", until_stop(shutdown.clone()));
        let start = Instant::now();
        supervisor.run_until(once(), shutdown.clone(), SHORT, LONG).await.unwrap();
        assert!(start.elapsed() >= SHORT);
        assert!(shutdown.is_stopping());
    }

    #[tokio::test]
    async fn a_task_that_fails_ends_the_process_and_is_named() {
        let shutdown = Shutdown::new();
        let mut supervisor = Supervisor::new();
        supervisor.spawn("good", until_stop(shutdown.clone()));
        supervisor.spawn("bad", async { Err("broken".into()) });
        let never = async || std::future::pending::<()>().await;
        let error = supervisor.run_until(never, shutdown, SHORT, LONG).await.unwrap_err();
        assert_eq!(error.to_string(), "the task \"bad\" failed: broken");
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_the_process() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("bad", async { panic!("on purpose") });
        let never = async || std::future::pending::<()>().await;
        let error = supervisor.run_until(never, Shutdown::new(), SHORT, SHORT).await.unwrap_err();
        assert!(matches!(error, Error::Panicked("bad")), "{error}");
    }

    #[tokio::test]
    async fn a_task_that_ends_early_drops_no_caller_unless_it_is_the_one_that_answers_them() {
        for (answers, is_drained) in [(false, true), (true, false)] {
            let shutdown = Shutdown::new();
            let mut supervisor = Supervisor::new();
            if answers {
                supervisor.spawn_answering("bad", async { Err("broken".into()) });
                supervisor.spawn("good", until_stop(shutdown.clone()));
            } else {
                supervisor.spawn("bad", async { Err("broken".into()) });
                supervisor.spawn_answering("good", until_stop(shutdown.clone()));
            }
            let never = async || std::future::pending::<()>().await;
            let drain = if is_drained { SHORT } else { LONG };
            let start = Instant::now();
            let error = supervisor.run_until(never, shutdown, drain, 2 * LONG).await.unwrap_err();
            assert!(matches!(error, Error::Failed { name: "bad", .. }), "{error}");
            assert!((start.elapsed() >= drain) == is_drained && start.elapsed() < LONG);
        }
    }

    #[tokio::test]
    async fn a_signal_while_a_process_ends_by_itself_cuts_nothing_short_and_a_second_one_does() {
        for (signals, drain) in [(1, SHORT), (2, LONG)] {
            let shutdown = Shutdown::new();
            let mut supervisor = Supervisor::new();
            supervisor.spawn("good", until_stop(shutdown.clone()));
            supervisor.spawn("bad", async { panic!("on purpose") });
            let is_over = shutdown.clone();
            let mut left = signals;
            let signalled = async move || {
                // Only once the process ends by itself.
                while !is_over.is_draining() {
                    tokio::task::yield_now().await;
                }
                if left == 0 {
                    std::future::pending::<()>().await;
                }
                left -= 1;
            };
            let start = Instant::now();
            let error = supervisor
                .run_until(signalled, shutdown.clone(), drain, 2 * LONG)
                .await
                .unwrap_err();
            assert!(matches!(error, Error::Panicked("bad")), "{error}");
            assert_eq!(shutdown.is_stopping(), signals == 1);
            assert!((SHORT..LONG).contains(&start.elapsed()) || signals == 2);
        }
    }

    #[tokio::test]
    async fn a_task_that_does_not_stop_is_named_when_the_grace_is_over() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("stuck", std::future::pending());
        let start = Instant::now();
        let error =
            supervisor.run_until(once(), Shutdown::new(), SHORT, 3 * SHORT).await.unwrap_err();
        assert!(error.to_string().contains("stuck"), "{error}");
        assert!(start.elapsed() >= 3 * SHORT);
    }

    #[tokio::test]
    async fn a_second_signal_ends_the_drain_at_once() {
        let shutdown = Shutdown::new();
        let mut supervisor = Supervisor::new();
        supervisor.spawn("one", until_stop(shutdown.clone()));
        let at_once = async || {};
        let error = supervisor.run_until(at_once, shutdown, LONG, 2 * LONG).await.unwrap_err();
        assert!(matches!(error, Error::Aborted), "{error}");
    }
}
