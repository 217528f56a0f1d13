//! What an action works with beside its target, read from the API server.

use k8s_openapi::api::core::v1::Pod;
use smartops_common::action::ActionType;

use super::Shell;
use crate::failure::Failure;
use crate::remediation::autoscaler::Autoscaler;
use crate::remediation::means::{self, Means, Revision};
use crate::target::Live;

impl Shell {
    /// What an action of this type has to see beside its target.
    pub(super) async fn means(
        &self,
        namespace: &str,
        live: &Live,
        type_: ActionType,
    ) -> Result<Means, Failure> {
        let mut found = Means::default();
        match type_ {
            ActionType::Rollback => {
                let sets = self.cluster.replica_sets(namespace, live).await?;
                let revisions = sets.iter().filter_map(|set| Revision::of(set, live.uid()));
                found.revisions = revisions.collect();
            }
            ActionType::EvictPod => {
                let sets = self.cluster.replica_sets(namespace, live).await?;
                let own: Vec<_> =
                    sets.iter().filter_map(|set| means::owned(set, live.uid())).collect();
                let is_own =
                    |pod: &Pod| means::controller_of(pod).is_some_and(|c| own.contains(&c));
                found.pods = self.cluster.pods(namespace, live).await?;
                found.pods.retain(is_own);
            }
            ActionType::HpaBounds => {
                let listed = self.cluster.autoscalers(namespace).await?;
                found.autoscaler = Autoscaler::of(live.name(), &listed);
            }
            ActionType::Scale
            | ActionType::Restart
            | ActionType::Patch
            | ActionType::Pause
            | ActionType::Resume => {}
        }
        Ok(found)
    }
}
