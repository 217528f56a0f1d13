//! The senders: signals at their times, each to some replica, and again to another as long as no answer says 202.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;
use smartops_tests::replicas::Replica;
use smartops_tests::sample;
use smartops_tests::wait::{Seen, eventually};

use crate::dice::Dice;

/// Signals under way at once.
const SENDERS: usize = 8;
/// How long a sender tries.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is to be sent.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    /// To whom.
    pub(crate) replicas: &'a [Replica<'a>],
    /// About what: one after the other, and again from the first.
    pub(crate) targets: &'a [String],
    /// How many.
    pub(crate) signals: usize,
    /// In how much time.
    pub(crate) span: Duration,
    /// Who is asked first.
    pub(crate) seed: u64,
}

/// What became of it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The ids that were answered 202.
    pub(crate) accepted: Vec<String>,
    /// How often a signal was sent once more.
    pub(crate) repeats: usize,
    /// The ids that never were, and the last answer.
    pub(crate) refused: Vec<(String, String)>,
}

impl Load<'_> {
    /// Sends everything.
    pub(crate) fn run(&self) -> Result<Sent> {
        let (next, sent) = (AtomicUsize::new(0), Mutex::new(Sent::default()));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for sender in 0..SENDERS {
                let (next, sent) = (&next, &sent);
                let dice = Dice::new(self.seed.wrapping_add(sender as u64));
                scope.spawn(move || self.send_all(next, sent, begun, dice));
            }
        });
        let Ok(sent) = sent.into_inner() else { bail!("a sender has panicked") };
        Ok(sent)
    }

    fn send_all(&self, next: &AtomicUsize, sent: &Mutex<Sent>, begun: Instant, mut dice: Dice) {
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= self.signals {
                return;
            }
            let share = f64::from(u32::try_from(number).unwrap_or(u32::MAX))
                / f64::from(u32::try_from(self.signals).unwrap_or(u32::MAX));
            let due = begun + self.span.mul_f64(share);
            let _late = eventually(self.span, "its time comes", || {
                Ok(Seen::when(Instant::now() >= due, "not yet"))
            });
            let target = &self.targets[number % self.targets.len()];
            let id = format!("w-{number}");
            let (answer, tries) = self.send(target, &id, &mut dice);
            if let Ok(mut sent) = sent.lock() {
                sent.repeats += tries.saturating_sub(1);
                match answer {
                    Ok(()) => sent.accepted.push(id),
                    Err(error) => sent.refused.push((id, format!("{error:#}"))),
                }
            }
        }
    }

    fn send(&self, target: &str, id: &str, dice: &mut Dice) -> (Result<()>, usize) {
        let signal = json!({
            "windowId": id, "service": target, "namespace": sample::NAMESPACE, "isAnomaly": true,
            "score": 0.9, "type": "resource", "modelVersion": "soak",
        });
        let mut tries = 0;
        let sent = eventually(PATIENCE, &format!("signal {id} is accepted"), || {
            let replica = &self.replicas[dice.below(self.replicas.len())];
            tries += 1;
            Ok(match replica.api().quick().post("/v1/signals/anomaly", &signal) {
                Ok(answer) if answer.status == 202 => Seen::Done(()),
                Ok(answer) => Seen::NotYet(format!("{} {}", answer.status, answer.text)),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        });
        (sent, tries)
    }
}
