//! What is told when somebody breaks the glass: a warning in the log, a metric, and an Event on the object, which is
//! never made of a dry run.

use smartops_guard::BreakGlass;

use crate::admission::envelope::Request;
use crate::told::{Alarm, Notice, resource};

impl Alarm {
    /// Tells that a write passes because its author broke the glass.
    pub fn ring(&self, uid: &str, request: &Request<'_>, broken: &BreakGlass) {
        let dry_run = request.is_dry_run();
        self.metrics.break_glass.with_label_values(&[if dry_run { "true" } else { "false" }]).inc();
        let policies = broken.policies.join(", ");
        tracing::warn!(
            uid,
            user = %request.user_info.username,
            operation = %request.operation,
            group = %request.resource.group,
            resource = %request.resource.resource,
            subresource = %request.sub_resource,
            namespace = request.namespace.as_deref(),
            name = broken.name,
            dry_run,
            reason = broken.reason,
            policies,
            "the glass was broken: a write passes against policies"
        );
        if !dry_run {
            let note = note(request, broken, &policies);
            let BreakGlass { kind, name, uid, .. } = broken;
            let (reason, prefix) = ("BreakGlass", "break-glass-");
            self.tell(request, Notice { reason, prefix, kind, name, uid, note: &note });
        }
    }
}

fn note(request: &Request<'_>, broken: &BreakGlass, policies: &str) -> String {
    format!(
        "{} broke the glass for {} of {} {}: {} (against {policies})",
        request.user_info.username,
        request.operation,
        resource(request),
        broken.name,
        broken.reason,
    )
}

#[cfg(test)]
mod tests {
    use smartops_process::metrics::Metrics;

    use super::*;
    use crate::admission::envelope::Envelope;
    use crate::metrics::WebhookMetrics;
    use crate::told;

    fn body(dry_run: bool) -> String {
        format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "resource":{{"group":"apps","version":"v1","resource":"deployments"}},"subResource":"scale",
            "operation":"UPDATE","namespace":"shop","name":"web","userInfo":{{"username":"alice"}},"dryRun":{dry_run}}}}}"#
        )
    }

    fn broken() -> BreakGlass {
        BreakGlass {
            reason: "the shop is down".into(),
            policies: vec!["baseline".into(), "night".into()],
            kind: "Deployment".into(),
            name: "web".into(),
            uid: "u-7".into(),
        }
    }

    #[test]
    fn a_broken_glass_is_counted_and_only_one_in_earnest_makes_an_event_that_says_who_why_and_against_what()
     {
        let metrics = WebhookMetrics::new(&Metrics::new("webhook").unwrap()).unwrap();
        let (alarm, mut events) = told::alarm(&metrics);
        let ring = |dry_run| {
            let body = body(dry_run);
            let envelope = Envelope::read(body.as_bytes()).unwrap();
            alarm.ring("u", envelope.request.as_ref().unwrap(), &broken());
        };
        ring(true);
        assert_eq!(events.waiting(), None);
        ring(false);
        let event = events.waiting().unwrap();
        assert_eq!(
            event.note.as_deref(),
            Some(
                "alice broke the glass for UPDATE of deployments/scale web: the shop is down (against baseline, night)"
            )
        );
        assert_eq!(event.reason.as_deref(), Some("BreakGlass"));
        for (dry_run, count) in [("true", 1), ("false", 1)] {
            assert_eq!(metrics.break_glass.with_label_values(&[dry_run]).get(), count);
        }
    }
}
