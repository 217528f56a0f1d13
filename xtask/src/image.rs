//! `cargo xtask image`: container images without a container tool. Builds the programs static, and writes for each an
//! archive in the OCI image layout with the program, its list of parts (SBOM) and nothing else. Here: what is made, of
//! which programs, and under which names. The steps live below: [`compile`] runs cargo, [`elf`] looks at what came out,
//! [`archive`] lays out the image.

mod archive;
mod compile;
mod elf;
mod name;
#[cfg(test)]
mod recipe;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::metadata::Metadata;
use crate::{run, sbom};
use archive::{File, Image};

/// What is made, and where it goes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Order {
    /// Cargo's profile: `release`, or `bench`, which is built in a fraction of the time and is somewhat slower.
    #[arg(long, default_value = "release")]
    pub(crate) profile: String,
    /// The folder for the archives and the lists of parts, relative to the repository's root.
    #[arg(long, default_value = "target/images")]
    pub(crate) out: PathBuf,
    /// The first part of the images' names: a registry, with or without a path in it.
    #[arg(long, default_value = "localhost", value_parser = name::registry)]
    pub(crate) registry: String,
    /// Also the image that holds a pod's namespaces open, for nodes which can fetch none.
    #[arg(long)]
    pub(crate) pause: bool,
}

/// A program that gets an image of its own name.
#[derive(Debug, Clone, Copy)]
struct Program {
    name: &'static str,
    description: &'static str,
    /// The tag, where it is not the version of the workspace.
    tag: Option<&'static str>,
}

const PROGRAMS: [Program; 2] = [
    Program {
        name: "smartops-controller",
        description: "SmartOps: carries out remedies for workloads, within limits",
        tag: None,
    },
    Program {
        name: "smartops-webhook",
        description: "SmartOps: judges every change of guarded workloads before the API server takes it",
        tag: None,
    },
];

/// A node's configuration names it, whatever the version of SmartOps.
const PAUSE: Program = Program {
    name: "smartops-pause",
    description: "Holds a pod's namespaces open on the nodes of SmartOps' own tests",
    tag: Some("1"),
};

/// Neither root nor anybody a base image would know: the number the restricted Pod Security level asks for.
const USER: &str = "65532:65532";

/// Where the list of parts lies in an image.
const SBOM: &str = "sbom.cdx.json";

/// Builds the programs, writes `NAME.tar` and `NAME.sbom.cdx.json` for each, and tells what came out.
pub(crate) fn make(order: &Order) -> Result<()> {
    let out = run::root().join(&order.out);
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let metadata = Metadata::read()?;
    let programs: Vec<Program> = PROGRAMS.into_iter().chain(order.pause.then_some(PAUSE)).collect();
    let names: Vec<&str> = programs.iter().map(|program| program.name).collect();
    let built = compile::compile(&order.profile, &names, &metadata)?;
    for program in programs {
        let path = built.executable(program.name)?;
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        elf::must_be_static(&bytes).with_context(|| path.display().to_string())?;
        let package = metadata.package_with(program.name)?;
        let parts = sbom::document(&metadata, package, &built.packages, &bytes)?;
        let image = image(program, &order.registry, &package.version, &bytes, &parts);
        let archive = archive::pack(&image)?;
        let file = out.join(format!("{}.tar", program.name));
        write(&file, &archive.bytes)?;
        write(&out.join(format!("{}.{SBOM}", program.name)), &parts)?;
        say(&format!(
            "{}\n  digest   {}\n  program  {:.1} MB, static\n  archive  {}",
            image.name,
            archive.digest,
            megabytes(bytes.len()),
            file.display(),
        ));
    }
    Ok(())
}

fn image<'a>(
    program: Program,
    registry: &str,
    version: &str,
    executable: &'a [u8],
    parts: &'a [u8],
) -> Image<'a> {
    let tag = program.tag.unwrap_or(version);
    Image {
        name: format!("{registry}/{}:{tag}", program.name),
        tag: tag.to_owned(),
        user: USER,
        entrypoint: format!("/{}", program.name),
        // Nothing here tells a commit: the same programs are the same image, whichever commit they were built from.
        labels: BTreeMap::from([
            ("org.opencontainers.image.description", program.description.to_owned()),
            ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE").to_owned()),
            ("org.opencontainers.image.title", program.name.to_owned()),
            ("org.opencontainers.image.version", version.to_owned()),
        ]),
        files: vec![
            File { path: program.name.to_owned(), mode: 0o555, bytes: executable },
            File { path: SBOM.to_owned(), mode: 0o444, bytes: parts },
        ],
    }
}

/// Writes a file whole or not at all: a node may be importing the former one.
fn write(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, bytes).with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))
}

#[expect(clippy::cast_precision_loss, reason = "a size for people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::print_stdout, reason = "the command's product")]
fn say(text: &str) {
    println!("{text}");
}
