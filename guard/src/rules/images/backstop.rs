//! The rule as the API server judges it by itself, for people: which images come, go or move, and where new ones are
//! from, in CEL and in the same words. Equal names in one list, which the API server refuses, are not thought of here.

use super::reference::{self, Place};
use super::{CHANGED, DIGEST, FROM, ImageRule, Images, NO_REFERENCE, TAG, WRONG};
use crate::vap::cel;
use crate::vap::part::{Part, is_of};

/// The lists of a pod spec whose items are containers, in the order in which their paths sort.
const CONTAINERS: [&str; 3] = ["containers", "ephemeralContainers", "initContainers"];
/// Longest image in a sentence, as in the judgement's. Characters.
const LONGEST: usize = 200;

impl Images {
    /// The variables that end in `images`, a list of causes, for these writes of the policy.
    ///
    /// A carrier of an image is a list of strings: the path of the item, its image, what leads from the one to the
    /// other, and the path of the list.
    pub(crate) fn variables(&self, parts: &[Part]) -> Vec<(&'static str, String)> {
        let carrying: Vec<&Part> = parts.iter().filter(|p| p.kind.has_template()).collect();
        if carrying.is_empty() {
            return vec![("images", "[]".to_owned())];
        }
        let mut variables = vec![
            ("pods", pods(&carrying, "variables.after", "true")),
            ("podsBefore", pods(&carrying, "variables.before", "variables.isUpdate")),
            ("place", place(&carrying)),
            ("carriers", carriers("variables.pods")),
            ("carriersBefore", carriers("variables.podsBefore")),
            ("exchanged", "variables.carriers.filter(a, variables.carriersBefore.exists(b, b[0] == a[0] && b[1] != a[1]))".to_owned()),
            ("added", "variables.carriers.filter(a, !variables.carriersBefore.exists(b, b[0] == a[0]))".to_owned()),
        ];
        let mut causes = Vec::new();
        if self.change == ImageRule::Deny {
            variables.push(("imageChanges", changes()));
            causes.push("variables.imageChanges");
        }
        if self.asks() {
            variables.push(("newImages", new_images().to_owned()));
            variables.push(("wrongImages", self.wrong()));
            causes.push("variables.wrongImages");
        }
        variables.push(("images", causes.join(" + ")));
        variables
    }

    /// A list of causes: what is wrong with each new image, all of it at once.
    fn wrong(&self) -> String {
        let image = "n[1]";
        let mut images = "variables.newImages".to_owned();
        let mut wrong = Vec::new();
        if !self.registries.is_empty() {
            // Once for all of them: there may be many, and each is a long text.
            images = format!("{images}.map(n, [n[0], n[1], {}])", hosted(image));
            let places = self.registries.iter().map(Place::pattern);
            let within: Vec<String> =
                places.map(|place| format!("n[2].matches({})", cel::literal(&place))).collect();
            wrong.push((cel::any(&within), cel::literal(&FROM.say(&[&self.named]))));
        }
        if self.require_digest {
            wrong.push((format!("{image}.contains('@')"), cel::literal(&DIGEST.say(&[]))));
        }
        if !self.forbid_tags.is_empty() {
            let tag = tag(image);
            wrong.push((format!("!({tag} in {})", cel::list(&self.forbid_tags)), TAG.cel(&[&tag])));
        }
        let texts: Vec<String> =
            wrong.iter().map(|(right, text)| format!("({right} ? '' : {text})")).collect();
        let texts = format!("[{}].filter(t, t != '').join('; ')", texts.join(", "));
        let is_reference = format!("{image}.matches({})", cel::literal(&reference::pattern()));
        let verdict =
            format!("({is_reference} ? {texts} : {})", cel::literal(&NO_REFERENCE.say(&[])));
        let sentence = WRONG.cel(&["w[0]", &cut("w[1]"), "w[2]"]);
        format!(
            "{images}.map(n, [n[0], n[1], {verdict}]).filter(w, w[2] != '').map(w, 'images\\n' + w[0] + '\\n' + {sentence})"
        )
    }
}

/// The pod spec of one side, empty where there is none.
fn pods(parts: &[&Part], side: &str, is_read: &str) -> String {
    let cases: Vec<(String, String)> = parts
        .iter()
        .filter_map(|part| {
            let keys = part.kind.pod_spec_keys()?;
            let of_kind = format!("{} && {is_read}", is_of([*part]));
            let spec = format!("dyn({})", cel::at_or(side, keys, "dyn({})"));
            Some((of_kind, spec))
        })
        .collect();
    cel::choose(&cases, "dyn({})")
}

/// The path of the pod spec.
fn place(parts: &[&Part]) -> String {
    let cases: Vec<(String, String)> = parts
        .iter()
        .filter_map(|part| {
            let keys = part.kind.pod_spec_keys()?;
            Some((is_of([*part]), cel::literal(&keys.join("."))))
        })
        .collect();
    cel::choose(&cases, "''")
}

/// Everything in a pod spec that has an image.
fn carriers(pods: &str) -> String {
    let containers = CONTAINERS.map(|list| {
        let list = cel::literal(list);
        let image = "('image' in c && c.image != null ? string(c.image) : '')";
        format!(
            "({list} in {pods} && {pods}[{list}] != null ? {pods}[{list}].map(c, [variables.place + '.' + {list} + '[' + string(c.name) + ']', {image}, '.image', variables.place + '.' + {list}]) : [])"
        )
    });
    let reference =
        "('reference' in v.image && v.image.reference != null ? string(v.image.reference) : '')";
    let volumes = format!(
        "('volumes' in {pods} && {pods}['volumes'] != null ? {pods}['volumes'].filter(v, 'image' in v && v.image != null).map(v, [variables.place + '.volumes[' + string(v.name) + ']', {reference}, '.image.reference', variables.place + '.volumes']) : [])"
    );
    format!("{} + {volumes}", containers.join(" + "))
}

/// A list of causes: every image that comes, goes or moves with an update.
fn changes() -> String {
    let cause = |path: &str, what: &str, exchanged: &str| {
        let sentence = CHANGED.cel(&[path, &cel::literal(what), exchanged]);
        format!("'images\\n' + {path} + '\\n' + {sentence}")
    };
    let from_to = |old: &str, new: &str| format!("' (' + {old} + ' → ' + {new} + ')'");
    let none = "'no image'";
    let before = "variables.carriersBefore.filter(b, b[0] == a[0])[0][1]";
    let exchanged = cause("(a[0] + a[2])", "changed", &from_to(&shown(before), &shown("a[1]")));
    let added = cause("a[0]", "added", &from_to(none, &shown("a[1]")));
    let removed = cause("r[0]", "removed", &from_to(&shown("r[1]"), none));
    let reordered = cause("l", "reordered", "''");
    let lists: Vec<String> = CONTAINERS
        .iter()
        .chain([&"volumes"])
        .map(|list| format!("variables.place + '.' + {}", cel::literal(list)))
        .collect();
    let kept = |of: &str, other: &str| {
        format!("{of}.filter(k, k[3] == l && {other}.exists(o, o[0] == k[0])).map(k, k[0])")
    };
    let (new, old) = ("variables.carriers", "variables.carriersBefore");
    format!(
        "variables.isUpdate ? variables.exchanged.map(a, {exchanged}) + variables.added.map(a, {added}) + \
         {old}.filter(b, !{new}.exists(a, a[0] == b[0])).map(r, {removed}) + \
         [{}].filter(l, {} != {}).map(l, {reordered}) : []",
        lists.join(", "),
        kept(old, new),
        kept(new, old),
    )
}

/// The images that are new to the object, each with its path as the judgement names it.
const fn new_images() -> &'static str {
    "(variables.isUpdate && !variables.enters ? variables.exchanged.map(a, [a[0] + a[2], a[1]]) + variables.added.map(a, [a[0], a[1]]) : variables.carriers.map(a, [a[0] + a[2], a[1]])).filter(n, n[1] != '')"
}

/// An image as it stands in a sentence.
fn shown(image: &str) -> String {
    format!("({image} == '' ? 'no image' : {})", cut(image))
}

fn cut(image: &str) -> String {
    format!("({image}.size() > {LONGEST} ? {image}.substring(0, {}) + '…' : {image})", LONGEST - 1)
}

/// The reference with the registry and folder that runtimes fill in.
fn hosted(image: &str) -> String {
    format!(
        "({image}.matches({}) ? {image} : ({image}.contains('/') ? 'docker.io/' : 'docker.io/library/') + {image})",
        cel::literal(&format!("^{}/", reference::HOST))
    )
}

/// The tag of a reference: `latest` where it has neither tag nor digest, nothing where it has a digest alone.
fn tag(image: &str) -> String {
    let rest = format!("{image}.split('@')[0]");
    let last = format!("{rest}.substring({rest}.lastIndexOf('/') + 1)");
    format!(
        "({last}.contains(':') ? {last}.substring({last}.indexOf(':') + 1) : ({image}.contains('@') ? '' : 'latest'))"
    )
}
