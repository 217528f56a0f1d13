//! The list of parts: from a small graph, and from this workspace's own.

use serde_json::{Value, json};

use super::*;
use crate::metadata::TARGET;

/// `app` → `lib` → `deep`; a macro with `helper`, which `lib` needs too; `tester` for tests, `builder` for a build
/// script, `option` switched off.
fn graph() -> Metadata {
    let package = |name: &str, kind: &str, registry: bool| {
        json!({
            "id": format!("{name}#1.0.0"), "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0",
            "source": registry.then_some("registry"), "manifest_path": format!("/c/{name}/Cargo.toml"),
            "targets": [{"name": name, "kind": [kind]}],
        })
    };
    let node = |name: &str, needs: &[(&str, Option<&str>)]| {
        let deps: Vec<Value> = needs
            .iter()
            .map(|(name, kind)| json!({"pkg": format!("{name}#1.0.0"), "dep_kinds": [{"kind": kind}]}))
            .collect();
        json!({"id": format!("{name}#1.0.0"), "deps": deps})
    };
    serde_json::from_value(json!({
        "target_directory": "/w/target",
        "workspace_root": "/w",
        "packages": [
            package("app", "bin", false), package("lib", "lib", true), package("deep", "lib", true),
            package("derive", "proc-macro", true), package("helper", "lib", true),
            package("expander", "lib", true), package("tester", "lib", true),
            package("builder", "lib", true), package("option", "lib", true),
        ],
        "resolve": {"nodes": [
            node("app", &[("derive", None), ("lib", None), ("tester", Some("dev")), ("option", None)]),
            node("lib", &[("deep", None), ("builder", Some("build")), ("helper", None)]),
            node("deep", &[]),
            node("derive", &[("helper", None), ("expander", None)]),
            node("helper", &[("deep", None)]),
            node("expander", &[]), node("tester", &[]), node("builder", &[]), node("option", &[]),
        ]},
    }))
    .unwrap()
}

fn compiled() -> BTreeSet<String> {
    ["app", "lib", "deep", "derive", "helper", "expander", "builder"]
        .map(|name| format!("{name}#1.0.0"))
        .into()
}

fn lock() -> Lock {
    let package = |name: &&str| {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nchecksum = \"sum-of-{name}\"\n\n"
        )
    };
    let names = ["lib", "deep", "derive", "helper", "expander"];
    Lock::parse(&format!("version = 4\n\n{}", names.iter().map(package).collect::<String>()))
}

fn described() -> Value {
    let metadata = graph();
    let libraries = [library("rust-std", "1", "r", "MIT"), library("glibc", "2", "g", "LGPL")];
    let app = metadata.package_with("app").unwrap();
    let document = describe(&metadata, app, &compiled(), &lock(), b"program", libraries).unwrap();
    serde_json::to_value(document).unwrap()
}

#[test]
fn what_is_in_the_program_is_told_apart_from_what_ran_in_the_compiler() {
    let document = described();
    let components = document["components"].as_array().unwrap();
    let scopes: Vec<(&str, &str)> = components
        .iter()
        .map(|part| (part["name"].as_str().unwrap(), part["scope"].as_str().unwrap()))
        .collect();
    assert_eq!(
        scopes,
        [
            ("glibc", "required"),
            ("deep", "required"),
            ("derive", "excluded"),
            ("expander", "excluded"),
            ("helper", "required"),
            ("lib", "required"),
            ("rust-std", "required"),
        ],
        "and nothing that is for tests, for build scripts, or switched off"
    );
}

#[test]
fn a_part_is_named_with_where_it_comes_from_its_licence_and_its_checksum() {
    let document = described();
    let components = document["components"].as_array().unwrap();
    let lib = components.iter().find(|part| part["name"] == "lib").unwrap();
    assert_eq!(
        *lib,
        json!({
            "type": "library", "bom-ref": "pkg:cargo/lib@1.0.0", "name": "lib", "version": "1.0.0",
            "scope": "required", "hashes": [{"alg": "SHA-256", "content": "sum-of-lib"}],
            "licenses": [{"expression": "MIT OR Apache-2.0"}], "purl": "pkg:cargo/lib@1.0.0",
        })
    );
}

#[test]
fn the_program_itself_is_named_by_its_digest() {
    let document = described();
    assert_eq!(
        (&document["bomFormat"], &document["specVersion"]),
        (&json!("CycloneDX"), &json!("1.5"))
    );
    let own = &document["metadata"]["component"];
    assert_eq!((&own["type"], &own["name"]), (&json!("application"), &json!("app")));
    assert_eq!(own["hashes"][0]["content"], format!("{:x}", Sha256::digest(b"program")));
}

#[test]
fn every_dependency_is_between_parts_that_are_named_once() {
    let document = described();
    let own = &document["metadata"]["component"]["bom-ref"];
    let mut named: Vec<&str> = document["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["bom-ref"].as_str().unwrap())
        .chain(own.as_str())
        .collect();
    named.sort_unstable();
    let needs = document["dependencies"].as_array().unwrap();
    let from: Vec<&str> = needs.iter().map(|needs| needs["ref"].as_str().unwrap()).collect();
    assert_eq!(from, named);
    let mut to = needs.iter().flat_map(|needs| needs["dependsOn"].as_array().unwrap());
    assert!(to.all(|needed| named.contains(&needed.as_str().unwrap())));
    let app = needs.iter().find(|needs| needs["ref"] == *own).unwrap();
    assert_eq!(
        app["dependsOn"],
        json!(["g", "pkg:cargo/derive@1.0.0", "pkg:cargo/lib@1.0.0", "r"])
    );
}

#[test]
fn a_part_without_a_checksum_or_a_licence_is_an_error_and_none_of_ours_needs_a_checksum() {
    let mut metadata = graph();
    let lock = lock();
    let option = metadata.packages.iter().find(|package| package.name == "option").unwrap();
    let said = component(option, None, &lock).unwrap_err().to_string();
    assert!(said.contains("no checksum of option 1.0.0"), "{said}");
    let app = &mut metadata.packages[0];
    assert!(component(app, None, &lock).unwrap().hashes.is_empty());
    app.license = None;
    let said = component(app, None, &lock).unwrap_err().to_string();
    assert!(said.contains("app 1.0.0 names no licence"), "{said}");
}

/// What `cargo tree` says a program of this workspace consists of.
fn tree(package: &str) -> BTreeSet<(String, String)> {
    let output = run::cargo()
        .args(["tree", "--locked", "--package", package, "--edges", "normal", "--target", TARGET])
        .args(["--prefix", "none", "--format", "{p}"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let part = |line: &str| {
        let (name, rest) = line.split_once(" v").unwrap();
        (name.to_owned(), rest.split(' ').next().unwrap().to_owned())
    };
    text.lines().filter(|line| !line.is_empty()).map(part).collect()
}

#[test]
fn every_crate_of_both_programs_is_named_and_none_that_only_tests_need() {
    let metadata = Metadata::read().unwrap();
    let lock = Lock::parse(&fs::read_to_string(run::root().join("Cargo.lock")).unwrap());
    let everything: BTreeSet<String> =
        metadata.packages.iter().map(|package| package.id.clone()).collect();
    for program in ["smartops-controller", "smartops-webhook"] {
        let tree = tree(program);
        // What a build of this program compiles: its tree, and what belongs to tests and build scripts.
        let package = metadata.package_with(program).unwrap();
        let not_linked = |id: &String| {
            let package = metadata.packages.iter().find(|package| package.id == *id).unwrap();
            let needed = metadata.resolve.nodes.iter().flat_map(|node| &node.deps);
            let mut kinds =
                needed.filter(|needed| needed.pkg == *id).flat_map(|needed| &needed.dep_kinds);
            tree.contains(&(package.name.clone(), package.version.clone()))
                || kinds.any(|kind| kind.kind.is_some())
        };
        let compiled: BTreeSet<String> =
            everything.iter().filter(|id| not_linked(id)).cloned().collect();
        let libraries = [library("rust-std", "1", "r", "MIT"), library("glibc", "2", "g", "LGPL")];
        let document = describe(&metadata, package, &compiled, &lock, b"", libraries).unwrap();
        let named: BTreeSet<(String, String)> = document
            .components
            .into_iter()
            .filter(|part| part.purl.starts_with("pkg:cargo/"))
            .map(|part| (part.name, part.version))
            .chain([(program.to_owned(), package.version.clone())])
            .collect();
        assert_eq!(named, tree);
        for stranger in ["proptest", "insta", "smartops-tests", "xtask"] {
            assert!(metadata.packages.iter().any(|package| package.name == stranger), "{stranger}");
            assert!(!named.iter().any(|(name, _)| name == stranger), "{program} names {stranger}");
        }
    }
}
