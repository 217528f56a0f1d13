//! Which images a change of a pod template exchanges: over containers, init containers, ephemeral containers and
//! image volumes. A container renamed, added, removed or moved is an image change as well.

use std::collections::HashMap;

use crate::diff::{Difference, DifferenceKind, Differences};
use crate::path::{Path, Segment, starts_with};
use crate::raw::{Error, Object};

/// One image that comes, goes or moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageChange {
    /// Where: the image's path, the container's where it came or went, the list's where only the order changed.
    pub path: Path,
    /// What happened.
    pub kind: DifferenceKind,
    /// The image before.
    pub old: Option<String>,
    /// The image after.
    pub new: Option<String>,
}

/// One image that an object uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    /// Where: `spec.template.spec.containers[web].image`.
    pub path: Path,
    /// The image, as written.
    pub image: String,
}

/// The lists of a pod spec whose items are containers.
pub(crate) const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Whether a difference stands where images do: a list that holds them, an item of one, or an item's image.
pub(crate) fn may_differ(differences: &Differences<'_>, at: &[&str]) -> bool {
    let is_list = |key: &str| key == "volumes" || CONTAINERS.contains(&key);
    let stands_there = |difference: &Difference<'_>| {
        let segments = difference.path.segments();
        let keys = at.get(..segments.len()).unwrap_or(at);
        starts_with(segments, keys)
            && match segments.get(keys.len()..) {
                Some([Segment::Key(list), Segment::Item(_), Segment::Key(part), ..]) => {
                    is_list(list) && part == "image"
                }
                Some([Segment::Key(list), ..]) => is_list(list),
                _ => true,
            }
    };
    differences.touches_template()
        && (differences.is_truncated() || differences.listed().iter().any(stands_there))
}

/// One carrier of an image: its name and the image, each as far as it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Carrier {
    name: String,
    image: Option<String>,
}

/// All image changes between two pod specs, `at` being the path of the pod spec.
pub(crate) fn between(
    old: &Object<'_>,
    new: &Object<'_>,
    at: &[&str],
) -> Result<Vec<ImageChange>, Error> {
    let mut changes = Vec::new();
    for list in CONTAINERS {
        let (before, after) = (containers(old, list)?, containers(new, list)?);
        compare(&mut changes, &place(at, list), &before, &after, &["image"]);
    }
    let (before, after) = (volumes(old)?, volumes(new)?);
    compare(&mut changes, &place(at, "volumes"), &before, &after, &["image", "reference"]);
    Ok(changes)
}

/// All images a pod spec uses, `at` being its path.
pub(crate) fn all(spec: &Object<'_>, at: &[&str]) -> Result<Vec<ImageUse>, Error> {
    let mut uses = Vec::new();
    for list in CONTAINERS {
        collect(&mut uses, &place(at, list), containers(spec, list)?, &["image"]);
    }
    collect(&mut uses, &place(at, "volumes"), volumes(spec)?, &["image", "reference"]);
    Ok(uses)
}

fn collect(uses: &mut Vec<ImageUse>, list: &[Segment], carriers: Vec<Carrier>, tail: &[&str]) {
    for Carrier { name, image } in carriers {
        if let Some(image) = image {
            uses.push(ImageUse { path: item(list, &name, tail), image });
        }
    }
}

/// The path of a named item of a list, or of a part of it.
pub(crate) fn item(list: &[Segment], name: &str, tail: &[&str]) -> Path {
    let tail = tail.iter().map(|key| Segment::Key((*key).to_owned()));
    let item = Segment::Item(name.to_owned());
    Path::new(list.iter().cloned().chain([item]).chain(tail).collect())
}

/// The path of a list of the pod spec at `at`.
pub(crate) fn place(at: &[&str], list: &str) -> Vec<Segment> {
    at.iter().chain([&list]).map(|key| Segment::Key((*key).to_owned())).collect()
}

fn containers(spec: &Object<'_>, list: &str) -> Result<Vec<Carrier>, Error> {
    let mut carriers = Vec::new();
    for item in spec.list(list)? {
        let item = Object::read(item)?;
        carriers.push(Carrier { name: text(&item, "name")?, image: image(&item, "image")? });
    }
    Ok(carriers)
}

fn volumes(spec: &Object<'_>) -> Result<Vec<Carrier>, Error> {
    let mut carriers = Vec::new();
    for item in spec.list("volumes")? {
        let item = Object::read(item)?;
        if item.get("image").is_some() {
            let image = image(&item.object("image")?, "reference")?;
            carriers.push(Carrier { name: text(&item, "name")?, image });
        }
    }
    Ok(carriers)
}

fn text(object: &Object<'_>, key: &str) -> Result<String, Error> {
    Ok(object.string(key)?.unwrap_or_default().into_owned())
}

fn image(object: &Object<'_>, key: &str) -> Result<Option<String>, Error> {
    Ok(object.string(key)?.map(std::borrow::Cow::into_owned))
}

/// Where each name stands first.
fn places_of(side: &[Carrier]) -> HashMap<&str, usize> {
    let mut places = HashMap::with_capacity(side.len());
    for (place, carrier) in side.iter().enumerate() {
        places.entry(carrier.name.as_str()).or_insert(place);
    }
    places
}

fn compare(
    changes: &mut Vec<ImageChange>,
    list: &[Segment],
    old: &[Carrier],
    new: &[Carrier],
    image: &[&str],
) {
    let (in_old, in_new) = (places_of(old), places_of(new));
    let mut places = Vec::new();
    for before in old {
        match in_new.get(before.name.as_str()).copied() {
            None => changes.push(ImageChange {
                path: item(list, &before.name, &[]),
                kind: DifferenceKind::Removed,
                old: before.image.clone(),
                new: None,
            }),
            Some(i) => {
                places.push(i);
                if new[i].image != before.image {
                    changes.push(ImageChange {
                        path: item(list, &before.name, image),
                        kind: DifferenceKind::Changed,
                        old: before.image.clone(),
                        new: new[i].image.clone(),
                    });
                }
            }
        }
    }
    for after in new.iter().filter(|c| !in_old.contains_key(c.name.as_str())) {
        changes.push(ImageChange {
            path: item(list, &after.name, &[]),
            kind: DifferenceKind::Added,
            old: None,
            new: after.image.clone(),
        });
    }
    // Equal names on one side (the API server refuses them) show as a place met twice or a length that differs.
    let met_twice = places.windows(2).any(|pair| pair[0] >= pair[1]);
    let kept = new.iter().filter(|c| in_old.contains_key(c.name.as_str())).count();
    if met_twice || kept != places.len() {
        changes.push(ImageChange {
            path: Path::new(list.to_vec()),
            kind: DifferenceKind::Reordered,
            old: None,
            new: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(old: &str, new: &str) -> Vec<String> {
        let (old, new) = (Object::read(old).unwrap(), Object::read(new).unwrap());
        between(&old, &new, &[])
            .unwrap()
            .iter()
            .map(|c| {
                let side = |s: &Option<String>| s.clone().unwrap_or_else(|| "-".into());
                format!("{} {}: {} → {}", c.path, c.kind.as_str(), side(&c.old), side(&c.new))
            })
            .collect()
    }

    #[test]
    fn every_list_that_carries_images_counts() {
        for list in CONTAINERS {
            let of = |image: &str| format!(r#"{{"{list}":[{{"name":"a","image":"{image}"}}]}}"#);
            assert_eq!(
                changes(&of("x:1"), &of("x:2")),
                [format!("{list}[a].image changed: x:1 → x:2")]
            );
            assert!(changes(&of("x:1"), &of("x:1")).is_empty());
        }
        let of = |image: &str| {
            format!(r#"{{"volumes":[{{"name":"v","image":{{"reference":"{image}"}}}}]}}"#)
        };
        assert_eq!(
            changes(&of("x:1"), &of("x:2")),
            ["volumes[v].image.reference changed: x:1 → x:2"]
        );
    }

    #[test]
    fn renaming_adding_removing_and_moving_are_image_changes() {
        let a = r#"{"name":"a","image":"x"}"#;
        let b = r#"{"name":"b","image":"x"}"#;
        let of = |items: &[&str]| format!(r#"{{"containers":[{}]}}"#, items.join(","));
        assert_eq!(
            changes(&of(&[a]), &of(&[b])),
            ["containers[a] removed: x → -", "containers[b] added: - → x"]
        );
        assert_eq!(changes(&of(&[a, b]), &of(&[b, a])), ["containers reordered: - → -"]);
        assert_eq!(changes(&of(&[a, a]), &of(&[a])), ["containers reordered: - → -"]);
        assert!(changes(&of(&[a, b]), &of(&[a, b])).is_empty());
    }

    #[test]
    fn a_volume_that_is_no_image_is_none() {
        let old = r#"{"volumes":[{"name":"v","emptyDir":{}}]}"#;
        assert!(changes(old, r#"{"volumes":[]}"#).is_empty());
    }
}
