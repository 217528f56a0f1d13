//! The list of a program's parts (SBOM), as CycloneDX 1.5: every crate that is in it, the standard library and the C
//! library. The same program always has the same list: it tells no time and has no random number.

mod closure;
mod libc;
mod lock;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::metadata::{Metadata, Package};
use crate::run;
use lock::Lock;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: &'static str,
    spec_version: &'static str,
    version: u8,
    metadata: About,
    components: Vec<Component>,
    dependencies: Vec<Needs>,
}

#[derive(Debug, Serialize)]
struct About {
    component: Component,
}

#[derive(Debug, Serialize)]
struct Component {
    r#type: &'static str,
    #[serde(rename = "bom-ref")]
    bom_ref: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<License>,
    purl: String,
}

#[derive(Debug, Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Debug, Serialize)]
struct License {
    expression: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Needs {
    r#ref: String,
    depends_on: Vec<String>,
}

/// The parts of `program`, which `package` builds. `compiled` are the packages that cargo compiled for it; what it
/// merely might have needed is no part.
pub(crate) fn document(
    metadata: &Metadata,
    package: &Package,
    compiled: &BTreeSet<String>,
    program: &[u8],
) -> Result<Vec<u8>> {
    let lock =
        fs::read_to_string(run::root().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let libraries = [rust()?, libc::installed()?];
    let document = describe(metadata, package, compiled, &Lock::parse(&lock), program, libraries)?;
    serde_json::to_vec(&document).context("cannot write JSON")
}

fn describe(
    metadata: &Metadata,
    package: &Package,
    compiled: &BTreeSet<String>,
    lock: &Lock,
    program: &[u8],
    libraries: [Component; 2],
) -> Result<Document> {
    let closure = closure::of(metadata, &package.id, compiled)?;
    let by_id: BTreeMap<&str, &Package> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package)).collect();
    let known = |id: &str| by_id.get(id).copied().with_context(|| format!("cargo knows no {id}"));
    let mut own = component(package, None, lock)?;
    own.r#type = "application";
    own.hashes = vec![hash(format!("{:x}", Sha256::digest(program)))];
    let mut components = Vec::new();
    let mut dependencies = Vec::new();
    for (id, part) in &closure {
        let needed = known(id)?;
        if *id != package.id {
            // Macros, and what only they need, run in the compiler: named, and told apart.
            let scope = if part.is_linked { "required" } else { "excluded" };
            components.push(component(needed, Some(scope), lock)?);
        }
        let mut depends_on =
            part.needs.iter().map(|id| known(id).map(purl)).collect::<Result<Vec<String>>>()?;
        if *id == package.id {
            depends_on.extend(libraries.iter().map(|library| library.bom_ref.clone()));
        }
        depends_on.sort();
        dependencies.push(Needs { r#ref: purl(needed), depends_on });
    }
    for library in libraries {
        dependencies.push(Needs { r#ref: library.bom_ref.clone(), depends_on: Vec::new() });
        components.push(library);
    }
    components.sort_by(|one, other| one.bom_ref.cmp(&other.bom_ref));
    dependencies.sort_by(|one, other| one.r#ref.cmp(&other.r#ref));
    Ok(Document {
        bom_format: "CycloneDX",
        spec_version: "1.5",
        version: 1,
        metadata: About { component: own },
        components,
        dependencies,
    })
}

fn component(package: &Package, scope: Option<&'static str>, lock: &Lock) -> Result<Component> {
    let mut hashes = Vec::new();
    if package.source.is_some() {
        let checksum = lock.checksum(&package.name, &package.version).with_context(|| {
            format!("Cargo.lock has no checksum of {} {}", package.name, package.version)
        })?;
        hashes.push(hash(checksum.to_owned()));
    }
    let Some(license) = &package.license else {
        bail!(
            "{} {} names no licence: look at it before shipping it",
            package.name,
            package.version
        );
    };
    Ok(Component {
        r#type: "library",
        bom_ref: purl(package),
        name: package.name.clone(),
        version: package.version.clone(),
        scope,
        hashes,
        // A slash was customary before SPDX expressions.
        licenses: vec![License { expression: license.replace(" / ", "/").replace('/', " OR ") }],
        purl: purl(package),
    })
}

/// The standard library, which comes with the compiler.
fn rust() -> Result<Component> {
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .arg("-vV")
        .current_dir(run::root())
        .output()
        .context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let release = text.lines().find_map(|line| line.strip_prefix("release: "));
    let version = release.context("rustc does not tell its version")?;
    Ok(library(
        "rust-std",
        version,
        &format!("pkg:generic/rust-std@{version}"),
        "MIT OR Apache-2.0",
    ))
}

/// A library that is no crate.
fn library(name: &str, version: &str, purl: &str, license: &str) -> Component {
    Component {
        r#type: "library",
        bom_ref: purl.to_owned(),
        name: name.to_owned(),
        version: version.to_owned(),
        scope: Some("required"),
        hashes: Vec::new(),
        licenses: vec![License { expression: license.to_owned() }],
        purl: purl.to_owned(),
    }
}

fn hash(content: String) -> Hash {
    Hash { alg: "SHA-256", content }
}

/// What everybody calls a package; a `+` in a version has to be written otherwise.
fn purl(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}

#[cfg(test)]
mod tests;
