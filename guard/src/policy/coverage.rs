//! Which writes a policy means: the kinds it names, and the neighbours through which the same could be reached. What
//! it has to say about them is the rules', how a kind is named `named`'s, and what has to be sent for all that
//! `covered`'s.

use smartops_change::{Change, NumberPath, Operation, Owner, Resource};

use super::compile::Flaw;
use super::kind::Match;
use super::named::{self, NamedKind};
use crate::facts::Related;
use crate::rules::RulesSpec;

/// Everything a policy covers.
#[derive(Debug, Clone)]
pub(crate) struct Coverage {
    kinds: Vec<NamedKind>,
    operations: Vec<Operation>,
    pub(super) wants: Wants,
}

/// Which of the rules that reach beyond a kind a policy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a rule of its own")]
pub(crate) struct Wants {
    /// Anything at all.
    pub(super) any: bool,
    /// Bounds on numbers.
    pub(super) replicas: bool,
    /// A pause between restarts.
    pub(super) restarts: bool,
    /// What the controller may do beyond the rest.
    capabilities: bool,
}

/// How a write comes to be meant by a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The policy names it.
    Named,
    /// The scale of a kind it names.
    Scale,
    /// A ReplicaSet, or the scale of one, that a Deployment it names owns.
    ReplicaSet,
    /// An autoscaler of a kind it names.
    Autoscaler,
    /// The creation of what was deleted a while ago under the same name.
    Recreation,
    /// The end of a pod of a kind it names.
    Pod,
    /// The eviction of such a pod or an update of such an autoscaler, where only a capability has a say in it.
    Capability,
}

/// Whether a write is covered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Covers {
    /// It is not.
    No,
    /// It is.
    Yes(Reach),
    /// Only what it belongs to can tell, and that has not been asked for.
    Needs,
}

impl Wants {
    pub(crate) fn of(rules: &RulesSpec) -> Self {
        let cooldown = rules.cooldown.as_ref();
        Self {
            any: *rules != RulesSpec::default(),
            replicas: rules.replicas.is_some(),
            restarts: cooldown.is_some_and(|c| c.restart_seconds.is_some()),
            capabilities: rules.capabilities.is_some(),
        }
    }
}

impl Coverage {
    pub(super) fn compile(match_: &Match, rules: &RulesSpec, flaws: &mut Vec<Flaw>) -> Self {
        let kinds = named::read(&match_.kinds, flaws);
        if match_.operations.is_empty() {
            flaws.push(Flaw::new("spec.match.operations", "is empty; give at least one"));
        }
        Self {
            kinds,
            operations: match_.operations.iter().map(|o| (*o).into()).collect(),
            wants: Wants::of(rules),
        }
    }

    /// The same kinds by every operation, where none was given.
    pub(super) fn by_any_operation(mut self) -> Self {
        if self.operations.is_empty() {
            self.operations = Operation::ALL.to_vec();
        }
        self
    }

    /// As if every rule that reaches beyond what is named were there.
    pub(super) fn with_every_neighbour(mut self) -> Self {
        self.wants = Wants { any: true, replicas: true, restarts: true, capabilities: true };
        self
    }

    pub(super) fn kinds(&self) -> &[NamedKind] {
        &self.kinds
    }

    pub(super) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The named kind a change is of.
    pub(crate) fn named(&self, change: &Change<'_>) -> Option<&NamedKind> {
        self.kinds.iter().find(|k| k.is_same_as(change.resource()))
    }

    /// Where the object of a change keeps its number, as far as the policy has to say it; of a Scale, its object.
    pub(super) fn number(&self, change: &Change<'_>) -> Option<&NumberPath> {
        let Resource { group, resource, subresource, .. } = change.resource();
        let is_object = matches!(subresource, "" | "scale");
        let kind = self.kinds.iter().find(|k| is_object && k.is(group, resource, ""));
        kind.and_then(|kind| kind.number.as_ref())
    }

    /// Whether the policy means this write, and how.
    pub(super) fn covers(&self, change: &Change<'_>, related: Related<'_>) -> Covers {
        let operation = change.operation();
        let updates = self.operations.contains(&Operation::Update);
        if self.named(change).is_some() {
            return if self.operations.contains(&operation) {
                Covers::Yes(Reach::Named)
            } else if updates && operation == Operation::Create && self.wants.any {
                Covers::Yes(Reach::Recreation)
            } else {
                Covers::No
            };
        }
        if !updates || !self.wants.any {
            return Covers::No;
        }
        self.neighbour(change, related)
    }

    fn neighbour(&self, change: &Change<'_>, related: Related<'_>) -> Covers {
        let Resource { group, resource, subresource, .. } = change.resource();
        let operation = change.operation();
        if subresource == "scale" {
            if operation != Operation::Update {
                return Covers::No;
            }
            if self.names(group, resource) {
                return Covers::Yes(Reach::Scale);
            }
        }
        match (group, resource, subresource) {
            ("apps", "replicasets", "") if self.names("apps", "deployments") => {
                self.replica_set(change, related)
            }
            ("apps", "replicasets", "scale") if self.names("apps", "deployments") => {
                match related {
                    Related::NotAsked => Covers::Needs,
                    Related::Known { objects, .. }
                        if !objects.iter().any(|o| o.is_a("apps", "Deployment")) =>
                    {
                        Covers::No
                    }
                    Related::Known { .. } | Related::Unavailable => Covers::Yes(Reach::ReplicaSet),
                }
            }
            ("autoscaling", "horizontalpodautoscalers", "") => {
                let targets = [change.scale_target_before(), change.scale_target_after()];
                let is_ours = targets.iter().flatten().any(|t| self.names_kind(&t.group, &t.kind));
                match operation {
                    Operation::Create | Operation::Update if is_ours && self.wants.replicas => {
                        Covers::Yes(Reach::Autoscaler)
                    }
                    Operation::Update if is_ours && self.wants.capabilities => {
                        Covers::Yes(Reach::Capability)
                    }
                    _ => Covers::No,
                }
            }
            ("", "pods", _) if self.has_pods() && ends_a_pod(change) => {
                let reach = match subresource {
                    _ if self.wants.restarts => Reach::Pod,
                    "eviction" if self.wants.capabilities => Reach::Capability,
                    _ => return Covers::No,
                };
                match related {
                    Related::NotAsked => Covers::Needs,
                    Related::Known { objects, .. }
                        if !objects.iter().any(|o| self.names_kind(&o.group, &o.kind)) =>
                    {
                        Covers::No
                    }
                    Related::Known { .. } | Related::Unavailable => Covers::Yes(reach),
                }
            }
            _ => Covers::No,
        }
    }

    /// A ReplicaSet that a Deployment owns, or would adopt for its labels.
    fn replica_set(&self, change: &Change<'_>, related: Related<'_>) -> Covers {
        let operation = change.operation();
        let before = change.old().and_then(|old| old.controller.as_ref());
        let after = change.controller_after();
        let is_owned = if [before, after].into_iter().flatten().any(is_deployment) {
            true
        } else if after.is_some() || operation == Operation::Delete {
            // What another owns, or what goes, nothing adopts.
            false
        } else {
            match related {
                Related::NotAsked => return Covers::Needs,
                Related::Known { objects, .. } => {
                    objects.iter().any(|o| o.is_a("apps", "Deployment"))
                }
                Related::Unavailable => true,
            }
        };
        let is_meant = match operation {
            Operation::Create | Operation::Update => true,
            Operation::Delete => self.wants.restarts,
            Operation::Connect => false,
        };
        if is_owned && is_meant { Covers::Yes(Reach::ReplicaSet) } else { Covers::No }
    }

    /// Whether the object itself of this kind is named.
    pub(super) fn names(&self, group: &str, resource: &str) -> bool {
        self.kinds.iter().any(|k| k.is(group, resource, ""))
    }

    /// Whether the object itself of the kind of this name is named; of another's group every kind is meant, because
    /// its plural is not known.
    fn names_kind(&self, group: &str, kind: &str) -> bool {
        self.kinds
            .iter()
            .filter(|k| k.group == group && k.subresource.is_empty())
            .any(|k| k.kind().name().map_or_else(|| k.number.is_some(), |name| name == kind))
    }

    fn has_pods(&self) -> bool {
        self.kinds.iter().any(NamedKind::has_history)
    }

    /// Every kind named, or of which a subresource is: group and plural.
    pub(super) fn resources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.kinds.iter().map(|kind| (kind.group.as_str(), kind.resource.as_str()))
    }

    /// Whether objects of this resource, or something below them, are named.
    pub(super) fn means(&self, resource: Resource<'_>) -> bool {
        self.resources().any(|named| named == (resource.group, resource.resource))
    }
}

/// Whether a write ends a pod: its deletion or eviction.
pub fn ends_a_pod(change: &Change<'_>) -> bool {
    let Resource { group, resource, subresource, .. } = change.resource();
    (group, resource) == ("", "pods")
        && matches!(
            (change.operation(), subresource),
            (Operation::Delete, "") | (Operation::Create, "eviction")
        )
}

fn is_deployment(owner: &Owner<'_>) -> bool {
    owner.group == "apps" && owner.kind == "Deployment"
}
