//! The OCI image layout in one tar archive: a pure function of the image's description, without a clock, an owner or an
//! order that the machine would decide. Also holds `manifest.json`, which `docker load` reads.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

/// An image that is going to be written.
#[derive(Debug)]
pub(super) struct Image<'a> {
    /// Its whole name, with registry and tag.
    pub(super) name: String,
    /// The tag alone.
    pub(super) tag: String,
    /// User and group, as numbers: there is no file that would give them names.
    pub(super) user: &'static str,
    /// The program that runs.
    pub(super) entrypoint: String,
    /// What the image says of itself.
    pub(super) labels: BTreeMap<&'static str, String>,
    /// Everything in it.
    pub(super) files: Vec<File<'a>>,
}

/// A file of root's that nobody can write.
#[derive(Debug)]
pub(super) struct File<'a> {
    /// Without the slash in front.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) bytes: &'a [u8],
}

/// An image, written.
#[derive(Debug)]
pub(super) struct Archive {
    /// The archive.
    pub(super) bytes: Vec<u8>,
    /// The digest of the image's manifest: what a registry or `image@sha256:…` calls it.
    pub(super) digest: String,
}

/// Every image has to be of some day; this one never changes.
const CREATED: &str = "1970-01-01T00:00:00Z";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Not compressed: whoever pushes it compresses it, and the digest depends on no compressor.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

#[derive(Debug, Clone, Copy, Serialize)]
struct Platform {
    architecture: &'static str,
    os: &'static str,
}

const PLATFORM: Platform = Platform { architecture: "amd64", os: "linux" };

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
}

impl Descriptor {
    fn of(media_type: &'static str, blob: &[u8]) -> Self {
        Self {
            media_type,
            digest: digest(blob),
            size: blob.len(),
            annotations: BTreeMap::new(),
            platform: None,
        }
    }

    /// Where the blob lies in the archive.
    fn path(&self) -> String {
        format!("blobs/{}", self.digest.replace(':', "/"))
    }
}

#[derive(Debug, Serialize)]
struct Settings<'a> {
    created: &'static str,
    #[serde(flatten)]
    platform: Platform,
    config: Run<'a>,
    rootfs: Rootfs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run<'a> {
    user: &'a str,
    entrypoint: [&'a str; 1],
    working_dir: &'static str,
    labels: &'a BTreeMap<&'static str, String>,
}

#[derive(Debug, Serialize)]
struct Rootfs {
    r#type: &'static str,
    diff_ids: [String; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u8,
    media_type: &'static str,
    config: Descriptor,
    layers: [Descriptor; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    media_type: &'static str,
    manifests: [Descriptor; 1],
}

/// Docker's own list of the images in an archive.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed<'a> {
    config: &'a str,
    repo_tags: [&'a str; 1],
    layers: [&'a str; 1],
}

/// Writes an image.
pub(super) fn pack(image: &Image<'_>) -> Result<Archive> {
    let files = image.files.iter().map(|file| (file.path.as_str(), file.mode, file.bytes));
    let layer = tar(files)?;
    let layer_descriptor = Descriptor::of(LAYER, &layer);
    let config = json(&Settings {
        created: CREATED,
        platform: PLATFORM,
        config: Run {
            user: image.user,
            entrypoint: [&image.entrypoint],
            working_dir: "/",
            labels: &image.labels,
        },
        rootfs: Rootfs { r#type: "layers", diff_ids: [layer_descriptor.digest.clone()] },
    })?;
    let config_descriptor = Descriptor::of(CONFIG, &config);
    let (layer_path, config_path) = (layer_descriptor.path(), config_descriptor.path());
    let listed =
        json(&[Listed { config: &config_path, repo_tags: [&image.name], layers: [&layer_path] }])?;
    let manifest = json(&Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: config_descriptor,
        layers: [layer_descriptor],
    })?;
    let mut manifest_descriptor = Descriptor::of(MANIFEST, &manifest);
    manifest_descriptor.platform = Some(PLATFORM);
    manifest_descriptor.annotations = BTreeMap::from([
        ("io.containerd.image.name", image.name.clone()),
        ("org.opencontainers.image.ref.name", image.tag.clone()),
    ]);
    let (digest, manifest_path) = (manifest_descriptor.digest.clone(), manifest_descriptor.path());
    let index =
        json(&Index { schema_version: 2, media_type: INDEX, manifests: [manifest_descriptor] })?;
    let bytes = tar([
        ("oci-layout", 0o444, &br#"{"imageLayoutVersion":"1.0.0"}"#[..]),
        ("index.json", 0o444, &index),
        ("manifest.json", 0o444, &listed),
        (&manifest_path, 0o444, &manifest),
        (&config_path, 0o444, &config),
        (&layer_path, 0o444, &layer),
    ])?;
    Ok(Archive { bytes, digest })
}

fn tar<'a>(files: impl IntoIterator<Item = (&'a str, u32, &'a [u8])>) -> Result<Vec<u8>> {
    let mut archive = Builder::new(Vec::new());
    for (path, mode, bytes) in files {
        let mut header = Header::new_ustar();
        header.set_size(u64::try_from(bytes.len()).context("a file is too large")?);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive
            .append_data(&mut header, path, bytes)
            .with_context(|| format!("cannot put {path} into an archive"))?;
    }
    archive.into_inner().context("cannot end an archive")
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).context("cannot write JSON")
}

/// As images write it: `sha256:…`.
fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

#[cfg(test)]
mod tests;
