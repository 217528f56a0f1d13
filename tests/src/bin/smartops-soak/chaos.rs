//! What happens to the replicas meanwhile: one after the other is killed, or frozen past the end of its lease, the one
//! that leads more often than not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use smartops_tests::process::Signal;
use smartops_tests::replicas::Replica;
use smartops_tests::wait::{Seen, eventually};

use crate::dice::Dice;

/// How the replicas run: a short lease, and a cooldown that lets most signals lead to a remedy.
pub(crate) const FLAGS: &[&str] = &[
    "--lease-seconds=3",
    "--cooldown-seconds=2",
    "--max-concurrent=16",
    "--rate-per-second=1000",
    "--rate-burst=1000",
];

/// Milliseconds between two deaths, at least and beyond that at most.
const PAUSE: (usize, usize) = (3000, 7000);
/// How long one is frozen: past the end of its lease.
const FREEZE: Duration = Duration::from_secs(5);

/// Kills and freezes until it is over.
#[derive(Debug)]
pub(crate) struct Chaos<'a> {
    /// Whom.
    pub(crate) replicas: &'a [Replica<'a>],
    /// Until when.
    pub(crate) is_over: &'a AtomicBool,
    /// Whom next, and when.
    pub(crate) dice: Dice,
}

/// How often.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Deaths {
    /// Killed and started again.
    pub(crate) killed: usize,
    /// Frozen and let go on.
    pub(crate) frozen: usize,
}

impl Chaos<'_> {
    /// Until it is over; at the end all replicas run.
    pub(crate) fn run(mut self) -> Result<Deaths> {
        let mut deaths = Deaths::default();
        while !self.is_over.load(Ordering::SeqCst) {
            let pause = PAUSE.0 + self.dice.below(PAUSE.1);
            self.wait(Duration::from_millis(u64::try_from(pause).unwrap_or_default()));
            let any = self.dice.below(self.replicas.len());
            let wants_leader = self.dice.below(4) > 0;
            let freezes = self.dice.below(4) == 0;
            let leader = self.replicas.iter().find(|replica| wants_leader && replica.leads());
            let Some(victim) = leader.or_else(|| self.replicas.get(any)) else { continue };
            if freezes {
                victim.signal(Signal::Stop)?;
                self.wait(FREEZE);
                victim.signal(Signal::Continue)?;
                deaths.frozen += 1;
            } else {
                victim.kill()?;
                victim.start(FLAGS)?;
                deaths.killed += 1;
            }
        }
        Ok(deaths)
    }

    /// So long, or until it is over.
    fn wait(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let _late = eventually(pause, "the pause", || {
            let over = Instant::now() >= until || self.is_over.load(Ordering::SeqCst);
            Ok(Seen::when(over, "not yet"))
        });
    }
}
