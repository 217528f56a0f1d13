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
mod tests {
    use std::io::Read as _;

    use serde_json::{Value, json};

    use super::*;

    fn image() -> Image<'static> {
        Image {
            name: "host:5000/team/program:1.2.3".to_owned(),
            tag: "1.2.3".to_owned(),
            user: "65532:65532",
            entrypoint: "/program".to_owned(),
            labels: BTreeMap::from([("org.opencontainers.image.title", "program".to_owned())]),
            files: vec![
                File { path: "program".to_owned(), mode: 0o555, bytes: b"\x7fELF" },
                File { path: "sbom.cdx.json".to_owned(), mode: 0o444, bytes: b"{}" },
            ],
        }
    }

    struct Entry {
        path: String,
        mode: u32,
        owner: (u64, u64),
        time: u64,
        bytes: Vec<u8>,
    }

    fn entries(archive: &[u8]) -> Vec<Entry> {
        let mut archive = tar::Archive::new(archive);
        let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            let header = entry.header();
            Entry {
                path: header.path().unwrap().to_str().unwrap().to_owned(),
                mode: header.mode().unwrap(),
                owner: (header.uid().unwrap(), header.gid().unwrap()),
                time: header.mtime().unwrap(),
                bytes,
            }
        };
        archive.entries().unwrap().map(read).collect()
    }

    /// What the archive holds under a descriptor, once its digest and size are found to be right.
    fn blob(entries: &[Entry], descriptor: &Value) -> Vec<u8> {
        let named = descriptor["digest"].as_str().unwrap();
        let path = format!("blobs/sha256/{}", named.strip_prefix("sha256:").unwrap());
        let entry = entries.iter().find(|entry| entry.path == path).unwrap();
        assert_eq!(digest(&entry.bytes), named);
        assert_eq!(descriptor["size"], entry.bytes.len());
        entry.bytes.clone()
    }

    fn parse(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn every_part_is_found_from_the_index_by_digest_and_size() {
        let archive = pack(&image()).unwrap();
        let entries = entries(&archive.bytes);
        assert_eq!(entries[0].path, "oci-layout");
        assert_eq!(parse(&entries[0].bytes), json!({"imageLayoutVersion": "1.0.0"}));
        assert_eq!(entries[1].path, "index.json");
        let index = parse(&entries[1].bytes);
        assert_eq!(index["manifests"][0]["digest"], archive.digest);
        let manifest = parse(&blob(&entries, &index["manifests"][0]));
        assert_eq!(manifest["mediaType"], index["manifests"][0]["mediaType"]);
        let config = parse(&blob(&entries, &manifest["config"]));
        let layer = blob(&entries, &manifest["layers"][0]);
        assert_eq!(config["rootfs"]["diff_ids"], json!([digest(&layer)]));
        assert_eq!(manifest["layers"].as_array().unwrap().len(), 1);
        assert_eq!(entries.len(), 6, "the layout, two lists and three blobs");
    }

    #[test]
    fn the_index_carries_the_names_that_an_import_gives_the_image() {
        let entries = entries(&pack(&image()).unwrap().bytes);
        let index = parse(&entries[1].bytes);
        let annotations = &index["manifests"][0]["annotations"];
        assert_eq!(annotations["io.containerd.image.name"], "host:5000/team/program:1.2.3");
        assert_eq!(annotations["org.opencontainers.image.ref.name"], "1.2.3");
        let listed = parse(&entries[2].bytes);
        assert_eq!(listed[0]["RepoTags"], json!(["host:5000/team/program:1.2.3"]));
        for path in [&listed[0]["Config"], &listed[0]["Layers"][0]] {
            assert!(entries.iter().any(|entry| entry.path == path.as_str().unwrap()), "{path}");
        }
    }

    #[test]
    fn the_config_names_the_platform_the_user_and_what_runs() {
        let entries = entries(&pack(&image()).unwrap().bytes);
        let manifest = parse(&blob(&entries, &parse(&entries[1].bytes)["manifests"][0]));
        let config = parse(&blob(&entries, &manifest["config"]));
        assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!("amd64")));
        assert_eq!(
            config["config"],
            json!({
                "User": "65532:65532",
                "Entrypoint": ["/program"],
                "WorkingDir": "/",
                "Labels": {"org.opencontainers.image.title": "program"},
            })
        );
    }

    #[test]
    fn the_layer_holds_the_files_and_nothing_else_all_of_root_s_and_of_no_day() {
        let outer = entries(&pack(&image()).unwrap().bytes);
        let manifest = parse(&blob(&outer, &parse(&outer[1].bytes)["manifests"][0]));
        let layer = entries(&blob(&outer, &manifest["layers"][0]));
        let files: Vec<(&str, u32, &[u8])> = layer
            .iter()
            .map(|file| (file.path.as_str(), file.mode, file.bytes.as_slice()))
            .collect();
        assert_eq!(
            files,
            [("program", 0o555, &b"\x7fELF"[..]), ("sbom.cdx.json", 0o444, &b"{}"[..])]
        );
        for entry in outer.iter().chain(&layer) {
            assert_eq!((entry.owner, entry.time), ((0, 0), 0), "{}", entry.path);
        }
    }

    #[test]
    fn the_same_programs_make_the_same_bytes_and_others_do_not() {
        let first = pack(&image()).unwrap();
        let again = pack(&image()).unwrap();
        assert_eq!((first.digest.as_str(), &first.bytes), (again.digest.as_str(), &again.bytes));
        let mut other = image();
        other.files[0].bytes = b"\x7fELG";
        assert_ne!(first.digest, pack(&other).unwrap().digest);
    }
}
