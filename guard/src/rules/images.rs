//! Which images there may be, and whether an update may change them: over containers, init containers, ephemeral
//! containers and image volumes. Renaming, moving, adding or removing a container is a change of image too. Where images
//! come from and how they are pinned is asked only of those that are new, so that what runs already may be edited.

mod backstop;
mod reference;

use kube_derive::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smartops_change::{ImageChange, Operation};
use smartops_common::denial::Rule;

use self::reference::{Place, Reference, is_tag};
use super::Case;
use crate::findings::Finding;
use crate::policy::{Flaw, Reach};
use crate::verdict::shortened;
use crate::wording::Wording;

/// What is said of an image that may not change.
const CHANGED: Wording =
    Wording::new("{} {}{}: images may not change here; deploy the image the way people do");
/// What is said of one that is not as it should be: all that is wrong with it.
const WRONG: Wording = Wording::new("{} {}: {}");
const NO_REFERENCE: Wording =
    Wording::new("it is no image reference; write host/path:tag or host/path@sha256:…");
const FROM: Wording = Wording::new("it must come from {}");
const DIGEST: Wording = Wording::new("it must be pinned by a digest, as in name@sha256:…");
const TAG: Wording = Wording::new("the tag {} is forbidden; give one that stays what it is");

/// Which images there may be, and whether an update may change them.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Eq, Default)]
#[x_kube(
    crates(kube_core = "::kube_core"),
    validation = kube_core::Rule::new("self.change == 'Deny' || has(self.registries) || has(self.forbidTags) || (has(self.requireDigest) && self.requireDigest)").message("give change: Deny, registries, requireDigest or forbidTags")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImagesSpec {
    /// Whether an update may change them.
    #[serde(default)]
    pub change: ImageRule,
    /// New ones come from here only: `host[:port][/path]`. Absent means from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub registries: Vec<String>,
    /// New ones are pinned by a sha256 digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_digest: bool,
    /// New ones have none of these tags; an image with neither tag nor digest has `latest`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 128)))]
    pub forbid_tags: Vec<String>,
}

/// Whether images may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum ImageRule {
    /// No.
    Deny,
    /// As far as this policy is concerned.
    #[default]
    Allow,
}

/// The rule, checked.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    change: ImageRule,
    registries: Vec<Place>,
    /// The registries, for messages.
    named: String,
    require_digest: bool,
    forbid_tags: Vec<String>,
}

/// Most images one policy names in a denial.
const MOST_IMAGES: usize = 16;

impl Images {
    pub(super) fn compile(spec: &ImagesSpec, flaws: &mut Vec<Flaw>) -> Self {
        if *spec == ImagesSpec::default() {
            let reason = "says nothing; give change: Deny, registries, requireDigest or forbidTags";
            flaws.push(Flaw::new("spec.rules.images", reason));
        }
        let mut registries = Vec::with_capacity(spec.registries.len());
        for (place, text) in spec.registries.iter().enumerate() {
            match Place::parse(text) {
                Ok(registry) => registries.push(registry),
                Err(reason) => {
                    flaws.push(Flaw::new(format!("spec.rules.images.registries[{place}]"), reason));
                }
            }
        }
        for (place, tag) in spec.forbid_tags.iter().enumerate().filter(|(_, tag)| !is_tag(tag)) {
            let reason = format!("{tag:?} is no tag; write the exact word, as in latest");
            flaws.push(Flaw::new(format!("spec.rules.images.forbidTags[{place}]"), reason));
        }
        Self {
            change: spec.change,
            registries,
            named: shortened(&spec.registries.join(", "), 400),
            require_digest: spec.require_digest,
            forbid_tags: spec.forbid_tags.clone(),
        }
    }

    /// What is made anew under a name that was deleted may change its images no more than an update may.
    pub(super) fn judge_replacement(&self, case: &Case<'_>, found: &mut Vec<Finding>) {
        let Some(former) = case.predecessor().filter(|_| self.change == ImageRule::Deny) else {
            return;
        };
        if case.change.template_digest_after() != Some(former.template) {
            let message = "the object of this name was deleted with another pod template a while ago: images may not \
                           change here; make it anew as it was or deploy the image the way people do";
            found.push(finding("spec.template".to_owned(), message.to_owned()));
        }
    }

    /// `yields` where which images there are to be was said, and approved, elsewhere; where they come from and how they
    /// are pinned is asked all the same.
    pub(super) fn judge(
        &self,
        case: &Case<'_>,
        reach: Reach,
        yields: bool,
        found: &mut Vec<Finding>,
    ) {
        let change = case.change;
        if self.change == ImageRule::Deny && !yields {
            found.extend(change.images().iter().take(MOST_IMAGES).map(refusal));
        }
        if !self.asks() {
            return;
        }
        if change.operation() == Operation::Create || case.enters(reach) {
            match case.readings.images(change) {
                Ok(images) => {
                    let refused = images.iter().filter_map(|u| self.refuse(&u.path, &u.image));
                    found.extend(refused.take(MOST_IMAGES));
                }
                Err(error) => {
                    let message = format!("the images cannot be read: {error}");
                    found.push(finding(String::new(), message));
                }
            }
        } else {
            let new = change.images().iter().filter_map(|c| Some((&c.path, c.new.as_deref()?)));
            let refused = new.filter_map(|(path, image)| self.refuse(path, image));
            found.extend(refused.take(MOST_IMAGES));
        }
    }

    /// Whether it asks where new images come from and how they are pinned.
    fn asks(&self) -> bool {
        !self.registries.is_empty() || self.require_digest || !self.forbid_tags.is_empty()
    }

    /// What is wrong with a new image, all of it at once.
    fn refuse(&self, path: &smartops_change::Path, image: &str) -> Option<Finding> {
        let mut wrong = Vec::new();
        match Reference::parse(image) {
            None => wrong.push(NO_REFERENCE.say(&[])),
            Some(reference) => {
                if !self.registries.is_empty()
                    && !self.registries.iter().any(|registry| reference.is_in(registry))
                {
                    wrong.push(FROM.say(&[&self.named]));
                }
                if self.require_digest && !reference.has_digest() {
                    wrong.push(DIGEST.say(&[]));
                }
                if let Some(tag) = reference.tag()
                    && self.forbid_tags.iter().any(|forbidden| forbidden == tag)
                {
                    wrong.push(TAG.say(&[&tag]));
                }
            }
        }
        if wrong.is_empty() {
            return None;
        }
        let path = shortened(&path.to_string(), 200);
        let message = WRONG.say(&[&path, &shortened(image, 200), &wrong.join("; ")]);
        Some(finding(path, message))
    }
}

fn refusal(change: &ImageChange) -> Finding {
    let path = shortened(&change.path.to_string(), 200);
    let image = |image: &Option<String>| shortened(image.as_deref().unwrap_or("no image"), 200);
    let exchanged = match (&change.old, &change.new) {
        (None, None) => String::new(),
        (old, new) => format!(" ({} → {})", image(old), image(new)),
    };
    let message = CHANGED.say(&[&path, &change.kind.as_str(), &exchanged]);
    finding(path, message)
}

fn finding(path: String, message: String) -> Finding {
    Finding { rule: Rule::Images, path, message, retry_after: None, refuses: true }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{KindMatch, compile};
    use crate::rules::RulesSpec;
    use crate::sample::{self, Write};

    #[test]
    fn automation_never_changes_an_image_wherever_it_stands() {
        let image = |image: &str| sample::pods(&format!(r#"{{"name":"web","image":"{image}"}}"#));
        let two = |a: &str, b: &str| {
            sample::pods(&format!(r#"{{"name":"{a}","image":"i"}},{{"name":"{b}","image":"i"}}"#))
        };
        for write in [
            Write::update("", &image("shop:1"), &image("shop:2")),
            Write::update("", &two("a", "b"), &two("b", "a")),
            Write::update(
                "",
                &image("shop:1"),
                &sample::pods(r#"{"name":"other","image":"shop:1"}"#),
            ),
            sample::adds(r#""initContainers":[{"name":"i","image":"x"}]"#),
            sample::adds(r#""volumes":[{"name":"v","image":{"reference":"x"}}]"#),
        ] {
            let rules = sample::refused(&write, &sample::automation());
            assert_eq!(rules.first(), Some(&Rule::Images), "{rules:?}");
        }
    }

    fn messages(images: ImagesSpec, write: &Write) -> Vec<String> {
        let mut spec = sample::baseline();
        spec.match_.kinds = ["deployments", "daemonsets"]
            .map(|resource| KindMatch {
                group: "apps".into(),
                resource: resource.into(),
                ..KindMatch::default()
            })
            .into();
        let pods = ["pods", "pods/ephemeralcontainers"]
            .map(|resource| KindMatch { resource: resource.into(), ..KindMatch::default() });
        spec.match_.kinds.extend(pods);
        spec.rules = RulesSpec { images: Some(images), ..RulesSpec::default() };
        let policies = [sample::applied("p", &spec)];
        sample::verdict_with(write, &sample::person(), &sample::facts(&policies))
            .denial()
            .map_or_else(Vec::new, |d| d.causes.iter().map(|c| c.message.clone()).collect())
    }

    fn update(old: &str, new: &str) -> Write {
        let image = |image: &str| sample::pods(&format!(r#"{{"name":"web","image":"{image}"}}"#));
        Write::update("", &image(old), &image(new))
    }

    fn create(image: &str) -> Write {
        let mut write = Write::of(Operation::Create, "apps", "deployments");
        write.new = Some(sample::pods(&format!(r#"{{"name":"web","image":"{image}"}}"#)));
        write
    }

    fn only_from(registry: &str) -> ImagesSpec {
        ImagesSpec { registries: vec![registry.to_owned()], ..ImagesSpec::default() }
    }

    #[test]
    fn new_images_come_from_the_registries_and_old_ones_block_no_edit() {
        let rule = || only_from("ghcr.io/team");
        for (write, denied) in [
            (create("ghcr.io/team/app:1"), 0),
            (create("ghcr.io/other/app:1"), 1),
            (create("app:1"), 1),
            (create("ghcr.io/team/../evil:1"), 1),
            (update("ghcr.io/team/app:1", "ghcr.io/team/app:2"), 0),
            (update("ghcr.io/team/app:1", "evil.com/app:2"), 1),
            (update("app:1", "ghcr.io/team/app:1"), 0),
            (sample::adds(r#""hostNetwork":true"#), 0),
            (sample::adds(r#""initContainers":[{"name":"i","image":"evil.com/x"}]"#), 1),
            (sample::adds(r#""initContainers":[{"name":"i","image":"ghcr.io/team/x"}]"#), 0),
            (sample::adds(r#""volumes":[{"name":"v","image":{"reference":"x"}}]"#), 1),
        ] {
            assert_eq!(messages(rule(), &write).len(), denied, "{:?}", write.new);
        }
        assert_eq!(
            messages(rule(), &create("app:1")),
            ["spec.template.spec.containers[web].image app:1: it must come from ghcr.io/team"]
        );
    }

    #[test]
    fn an_ephemeral_container_brings_a_new_image_too() {
        let pod = |ephemeral: &str| {
            format!(
                r#"{{"metadata":{{"name":"web","uid":"u1"}},"spec":{{"containers":[{{"name":"web","image":"old"}}],"ephemeralContainers":[{ephemeral}]}}}}"#
            )
        };
        for (image, denied) in [("ghcr.io/team/debug", 0), ("busybox", 1)] {
            let new = pod(&format!(r#"{{"name":"debug","image":"{image}"}}"#));
            let write = Write {
                group: "",
                resource: "pods",
                ..Write::update("ephemeralcontainers", &pod(""), &new)
            };
            assert_eq!(messages(only_from("ghcr.io/team"), &write).len(), denied, "{image}");
        }
    }

    #[test]
    fn a_digest_is_required_and_tags_are_forbidden_where_the_policy_says_so() {
        let digest = format!("@sha256:{}", "ab".repeat(32));
        let pinned = ImagesSpec { require_digest: true, ..ImagesSpec::default() };
        let untagged = ImagesSpec {
            forbid_tags: vec!["latest".into(), "edge".into()],
            ..ImagesSpec::default()
        };
        for (rule, image, denied) in [
            (&pinned, format!("app{digest}"), false),
            (&pinned, format!("app:1{digest}"), false),
            (&pinned, "app:1".to_owned(), true),
            (&pinned, "app@sha256:abc".to_owned(), true),
            (&untagged, "app:1".to_owned(), false),
            (&untagged, "app:latest-1".to_owned(), false),
            (&untagged, "app".to_owned(), true),
            (&untagged, "app:latest".to_owned(), true),
            (&untagged, "reg.io:5000/app".to_owned(), true),
            (&untagged, "app:edge".to_owned(), true),
            (&untagged, format!("app{digest}"), false),
            (&untagged, format!("app:latest{digest}"), true),
        ] {
            assert_eq!(!messages(rule.clone(), &create(&image)).is_empty(), denied, "{image}");
            assert_eq!(
                !messages(rule.clone(), &update("x:0", &image)).is_empty(),
                denied,
                "{image}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_the_rule_is_told_with_its_field() {
        let mut spec = sample::baseline();
        spec.rules.images = Some(ImagesSpec {
            registries: vec!["ghcr.io".into(), "https://ghcr.io".into()],
            forbid_tags: vec!["latest".into(), "a:b".into()],
            ..ImagesSpec::default()
        });
        let fields = |spec: &crate::policy::GuardrailPolicySpec| {
            let flaws = compile("p", spec).unwrap_err().flaws;
            flaws.into_iter().map(|f| f.field).collect::<Vec<_>>()
        };
        assert_eq!(
            fields(&spec),
            ["spec.rules.images.registries[1]", "spec.rules.images.forbidTags[1]"]
        );
        spec.rules.images = Some(ImagesSpec::default());
        assert_eq!(fields(&spec), ["spec.rules.images"]);
    }
}
