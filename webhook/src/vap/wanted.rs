//! What should stand: what guards SmartOps' own objects, what is written for policies while the configuration asks for a
//! backstop, and what is left alone. What it holds is worked out in `guard`; how it comes to stand is `leader`'s.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use smartops_common::config::Outage;
use smartops_guard::exception::Exception;
use smartops_guard::vap::{OWN_OBJECTS, Written, own_objects};

use super::standing::Object;
use super::{Keeper, Memory};
use crate::home::Ground;
use crate::snapshot::Snapshot;

/// What should stand.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) objects: Vec<Object>,
    /// Names under which whatever stands is left alone, because what should cannot be told.
    pub(super) kept: BTreeSet<String>,
    /// When it will be something else, because an exception ends.
    pub(super) until: Option<Timestamp>,
}

impl Keeper {
    /// Works it out.
    pub(super) fn wanted(
        &self,
        snapshot: &Snapshot,
        ground: &Ground,
        now: Timestamp,
        memory: &mut Memory,
    ) -> Wanted {
        let mut wanted = Wanted::default();
        match own_objects(&snapshot.config) {
            Ok(own) => {
                let owner = ground.owner();
                wanted.objects.extend(objects(own).map(|object| object.owned_by(owner.as_ref())));
                memory.told = None;
            }
            Err(flaw) => {
                if memory.told.as_ref() != Some(&flaw) {
                    tracing::error!(
                        field = flaw.field,
                        reason = flaw.reason,
                        "who automation is cannot be said in a condition: what guards SmartOps' own objects stays as it is"
                    );
                    memory.told = Some(flaw);
                }
                wanted.kept.insert(OWN_OBJECTS.to_owned());
            }
        }
        let asked = snapshot.config.people.outage;
        if asked != Outage::Backstop {
            // What backs the registrations goes when they say so themselves.
            if *self.backing.registered().borrow() != Some(asked) {
                wanted.kept.extend(snapshot.backstops.iter().map(|backstop| backstop.name()));
            }
            return wanted;
        }
        let exceptions = self.board.exceptions().all();
        let ends = exceptions.iter().map(|exception: &Arc<Exception>| exception.expires_at());
        wanted.until = ends.filter(|end| *end > now).min();
        for backstop in snapshot.backstops.iter() {
            if backstop.is_blind() {
                wanted.kept.insert(backstop.name());
            } else if let Some(written) = backstop.write(&snapshot.config, &exceptions, now) {
                wanted.objects.extend(objects(written));
            }
        }
        wanted
    }
}

/// What was worked out, in the order in which it is written: a binding without its policy would refuse everything.
fn objects(written: Written) -> [Object; 2] {
    [written.policy.into(), written.binding.into()]
}
