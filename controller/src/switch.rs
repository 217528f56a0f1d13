//! The kill switch of the closed loop and how much the loop may do, as every replica watches them in the SmartOpsConfig.
//! Who may turn it is `api`'s; what both mean for a Remediation is `remediation::machine`'s.

use kube::core::DeserializeGuard;
use kube::runtime::watcher;
use kube::{Api, Client};
use smartops_common::config::{ClosedLoop, Limits, SmartOpsConfig};
use smartops_common::names;
use smartops_process::BoxError;
use smartops_process::health::Handle;
use smartops_process::shutdown::Shutdown;
use smartops_process::watch::{Event, Watch, WatchMetrics};
use tokio::sync::watch;

use crate::metrics::ControllerMetrics;

/// How the switch stands, to read anywhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Switch {
    state: watch::Receiver<Option<Stands>>,
}

/// What the SmartOpsConfig says of the closed loop.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Stands {
    closed_loop: ClosedLoop,
    limits: Limits,
}

impl Switch {
    /// How it stands; `None` before that was seen for the first time.
    pub fn state(&self) -> Option<ClosedLoop> {
        self.state.borrow().as_ref().map(|stands| stands.closed_loop.clone())
    }

    /// How much the loop may do; the defaults before that was seen for the first time.
    pub fn limits(&self) -> Limits {
        self.state.borrow().as_ref().map(|stands| stands.limits).unwrap_or_default()
    }

    /// One that nobody has touched.
    #[cfg(test)]
    pub(crate) fn untouched() -> Self {
        Self { state: watch::channel(Some(Stands::default())).1 }
    }
}

/// Keeps a [`Switch`] as it is.
#[derive(Debug)]
pub struct Follower {
    state: watch::Sender<Option<Stands>>,
    /// What the list that is under way has told.
    listed: Option<Stands>,
}

/// A switch nobody has seen yet, and what keeps it.
pub fn switch() -> (Switch, Follower) {
    let (sender, receiver) = watch::channel(None);
    (Switch { state: receiver }, Follower { state: sender, listed: None })
}

impl Follower {
    /// Follows until the stop.
    pub async fn run(
        mut self,
        client: Client,
        metrics: (WatchMetrics, ControllerMetrics),
        ready: Handle,
        shutdown: Shutdown,
    ) -> Result<(), BoxError> {
        let api: Api<DeserializeGuard<SmartOpsConfig>> = Api::all(client);
        let config = watcher::Config::default();
        let (watched, ours) = metrics;
        let watch = Watch { name: "smartopsconfigs", api, config, ready, metrics: watched };
        watch
            .run(shutdown, |event| {
                self.tell(event);
                if let Some(stands) = &*self.state.borrow() {
                    ours.loop_enabled.set(stands.closed_loop.enabled.into());
                }
            })
            .await
    }

    fn tell(&mut self, event: Event<SmartOpsConfig>) {
        let is_ours = |name: Option<&str>| name == Some(names::CONFIG_NAME);
        match event {
            Event::Init => self.listed = None,
            Event::InitApply(config) if is_ours(config.metadata.name.as_deref()) => {
                self.listed = Some(stands(config));
            }
            Event::InitDone => {
                let listed = self.listed.take().unwrap_or_default();
                self.set(listed);
            }
            Event::Apply(config) if is_ours(config.metadata.name.as_deref()) => {
                self.set(stands(config));
            }
            Event::Delete(metadata) if is_ours(metadata.name.as_deref()) => {
                self.set(Stands::default());
            }
            // What cannot be read leaves the switch as it was seen last.
            Event::Unreadable { metadata, .. } if is_ours(metadata.name.as_deref()) => {
                self.listed.clone_from(&self.state.borrow());
            }
            _ => {}
        }
    }

    fn set(&self, stands: Stands) {
        self.state.send_if_modified(|known| {
            if known.as_ref() == Some(&stands) {
                return false;
            }
            let turned = &stands.closed_loop;
            if known.as_ref().is_none_or(|known| known.closed_loop.enabled != turned.enabled) {
                tracing::info!(enabled = turned.enabled, by = turned.changed_by, "the closed loop");
            }
            *known = Some(stands);
            true
        });
    }
}

fn stands(config: SmartOpsConfig) -> Stands {
    let closed_loop = config.status.and_then(|status| status.closed_loop).unwrap_or_default();
    Stands { closed_loop, limits: config.spec.closed_loop }
}

#[cfg(test)]
mod tests {
    use smartops_common::config::{SmartOpsConfigSpec, SmartOpsConfigStatus};

    use super::*;

    fn config(name: &str, enabled: bool) -> SmartOpsConfig {
        let mut config = SmartOpsConfig::new(name, SmartOpsConfigSpec::default());
        let closed_loop = Some(ClosedLoop { enabled, ..ClosedLoop::default() });
        config.status =
            Some(SmartOpsConfigStatus { closed_loop, ..SmartOpsConfigStatus::default() });
        config
    }

    #[test]
    fn the_switch_is_unknown_until_it_was_listed_and_then_follows_every_turn() {
        let (switch, mut follower) = switch();
        let enabled = || switch.state().map(|state| state.enabled);
        follower.tell(Event::Init);
        follower.tell(Event::InitApply(config("default", false)));
        assert_eq!(enabled(), None);
        follower.tell(Event::InitDone);
        assert_eq!(enabled(), Some(false));
        follower.tell(Event::Apply(config("another", true)));
        assert_eq!(enabled(), Some(false));
        follower.tell(Event::Apply(config("default", true)));
        assert_eq!(enabled(), Some(true));
        follower.tell(Event::Apply(config("default", false)));
        follower.tell(Event::Init);
        assert_eq!(enabled(), Some(false), "a new list takes nothing back before its end");
        follower.tell(Event::InitDone);
        assert_eq!(enabled(), Some(true), "without the object nobody has thrown it");
    }

    #[test]
    fn how_much_may_be_done_follows_what_is_written() {
        let (switch, mut follower) = switch();
        let mut narrow = config("default", true);
        narrow.spec.closed_loop.max_in_flight = 3;
        follower.tell(Event::Apply(narrow));
        assert_eq!(switch.limits().max_in_flight, 3);
        follower.tell(Event::Apply(config("default", true)));
        assert_eq!(switch.limits(), Limits::default());
    }
}
