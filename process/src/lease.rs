//! Leadership by a Lease: at most one replica holds it, the others wait until it is given up or has run out.
//!
//! Whether a Lease has run out is judged by how long it has stood unchanged before one's own eyes, never by comparing
//! the clocks of two machines. A holder that cannot renew steps down well before anybody may take over. Leadership
//! spares double work; what must never happen twice is fenced by a precondition of its own at each write.

mod leadership;
mod turn;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

pub use self::leadership::Leadership;
use self::turn::{Seen, Turn, turn};
use crate::BoxError;
use crate::client::{Error, deadline};
use crate::clock::Clock;
use crate::shutdown::Shutdown;

/// How long things take. One set for production; tests are quicker.
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// For how long others must leave a Lease alone that stands unchanged.
    term: Duration,
    /// For how long after it was last renewed its holder relies on it.
    hold: Duration,
    /// How often it is renewed.
    renew: Duration,
    /// How often others look at it, and how soon a holder that failed to renew tries again.
    look: Duration,
    /// How long one call may take.
    call: Duration,
}

/// The usual term of a Lease.
pub const USUAL_TERM: Duration = Duration::from_secs(15);
/// The shortest that works: a holder has to find time for more than one call before others may come.
pub const SHORTEST_TERM: Duration = Duration::from_secs(3);
/// How long one call is given at least.
const SHORTEST_CALL: Duration = Duration::from_millis(500);

impl Timing {
    /// What fits a term: the holder relies on two thirds of it, and renews twice in that time.
    fn of(term: Duration) -> Self {
        let look = term * 2 / 15;
        Self { term, hold: term * 2 / 3, renew: term / 3, look, call: look.max(SHORTEST_CALL) }
    }
}

/// How long the last work of a leader may take, between the signal to stop and the release.
const LAST_WORK: Duration = Duration::from_secs(8);

/// One replica's part in the election.
pub struct Election {
    api: Api<Lease>,
    name: &'static str,
    identity: String,
    timing: Timing,
    leading: watch::Sender<bool>,
    /// Until when the Lease is relied on; none while it is not held.
    held: watch::Sender<Option<Instant>>,
}

impl std::fmt::Debug for Election {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Election").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Election {
    /// For the Lease of this name. `place` is where this process listens: with the machine's name it tells it from
    /// every other that lives, and a process started again at the same place goes on leading at once.
    pub fn new(client: Client, namespace: &str, name: &'static str, place: SocketAddr) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name,
            identity: format!("{}_{place}", host()),
            timing: Timing::of(USUAL_TERM),
            leading: watch::Sender::new(false),
            held: watch::Sender::new(None),
        }
    }

    /// The same with another term, of at least [`SHORTEST_TERM`].
    #[must_use]
    pub fn with_term(self, term: Duration) -> Self {
        Self { timing: Timing::of(term.max(SHORTEST_TERM)), ..self }
    }

    /// Whether this replica leads, and whenever that changes. Turns false as soon as the leadership is not certain.
    pub fn is_leader(&self) -> watch::Receiver<bool> {
        self.leading.subscribe()
    }

    /// The same, for whoever has to be certain at one moment.
    pub fn leadership(&self) -> Leadership {
        Leadership::new(self.leading.subscribe(), self.held.subscribe())
    }

    /// Stands for election until the stop. Then `last_work` may still be done as the leader, for a few seconds, and the
    /// Lease is released so that another can take it at once.
    pub async fn run(
        self,
        shutdown: Shutdown,
        last_work: impl Future<Output = ()> + Send,
    ) -> Result<(), BoxError> {
        let (mut seen, mut held_until) = (None, None);
        {
            let mut stopped = std::pin::pin!(async {
                shutdown.stopping().await;
                // Renewed while the last work goes on.
                let _late = tokio::time::timeout(LAST_WORK, last_work).await;
            });
            loop {
                let pause = self.stand(&mut seen, &mut held_until).await;
                tokio::select! {
                    () = &mut stopped => break,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
        self.tell(None);
        if let (Some(seen), Some(_)) = (&seen, held_until)
            && let Err(error) = self.write(Some(seen), Turn::Release).await
        {
            tracing::debug!(%error, "the lease was not released: it runs out by itself");
        }
        Ok(())
    }

    /// One turn: looks, takes or renews. Returns how long to pause.
    async fn stand(&self, seen: &mut Option<Seen>, held_until: &mut Option<Instant>) -> Duration {
        let started = Instant::now();
        let turned = match *held_until {
            Some(until) => timeout_at(until, self.turn(seen)).await.ok(),
            None => Some(self.turn(seen).await),
        };
        let renewed = matches!(turned, Some(Ok(true)));
        let holds = match turned {
            Some(Ok(holds)) => {
                *held_until = holds.then(|| started + self.timing.hold);
                holds
            }
            Some(Err(error)) => {
                tracing::warn!(lease = self.name, %error, "the lease is out of reach: trying again");
                *seen = seen.take().map(Seen::unsure);
                held_until.is_some_and(|until| Instant::now() < until)
            }
            None => false,
        };
        if !holds {
            *held_until = None;
        }
        self.tell(*held_until);
        jittered(if renewed { self.timing.renew } else { self.timing.look }, *held_until)
    }

    /// Whether the Lease is held after this turn.
    async fn turn(&self, seen: &mut Option<Seen>) -> Result<bool, Error> {
        if seen.as_ref().is_none_or(|seen| !seen.is_certain_of(&self.identity)) {
            let call = self.api.get_opt(self.name);
            let lease = deadline("reading the lease", self.timing.call, call).await?;
            *seen = lease.map(|lease| Seen::after(seen.take(), &lease, Instant::now()));
        }
        let turn = turn(seen.as_ref(), &self.identity, Instant::now());
        if turn == Turn::Wait {
            return Ok(false);
        }
        match self.write(seen.as_ref(), turn).await {
            Ok(written) => {
                *seen = Some(Seen::after(seen.take(), &written, Instant::now()));
                Ok(true)
            }
            // Somebody else was first, or took it away: the next turn looks again.
            Err(e) if e.is_conflict() || e.is_already_exists() || e.is_not_found() => {
                *seen = seen.take().map(Seen::unsure);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn write(&self, seen: Option<&Seen>, turn: Turn) -> Result<Lease, Error> {
        let now = MicroTime(Clock.now());
        let spec = turn.spec(seen, &self.identity, self.timing.term, now);
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.to_owned()),
                resource_version: seen.map(|seen| seen.version.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        let (what, params) = ("writing the lease", PostParams::default());
        if seen.is_none() {
            return deadline(what, self.timing.call, self.api.create(&params, &lease)).await;
        }
        let call = self.api.replace(self.name, &params, &lease);
        deadline(what, self.timing.call, call).await
    }

    fn tell(&self, held_until: Option<Instant>) {
        let leads = held_until.is_some();
        // First until when, so that nobody who is told that he leads is uncertain of it.
        self.held.send_replace(held_until);
        let changed = self.leading.send_if_modified(|leading| {
            let changed = *leading != leads;
            *leading = leads;
            changed
        });
        if changed {
            tracing::info!(lease = self.name, identity = self.identity, leads, "leadership");
        }
    }
}

/// Up to a fifth less, so that replicas do not move in step, and never beyond the end of the hold.
fn jittered(pause: Duration, held_until: Option<Instant>) -> Duration {
    let thousandths = 1000 - u32::try_from(random() % 200).unwrap_or(0);
    let pause = pause * thousandths / 1000;
    match held_until {
        Some(until) => pause.min(until.saturating_duration_since(Instant::now())),
        None => pause,
    }
}

/// This machine's name; a pod's is the pod's.
fn host() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = read.trim();
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

/// Different each time and in each process.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
