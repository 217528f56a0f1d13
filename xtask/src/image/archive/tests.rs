//! The archive, read back as an importer would.

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
    let files: Vec<(&str, u32, &[u8])> =
        layer.iter().map(|file| (file.path.as_str(), file.mode, file.bytes.as_slice())).collect();
    assert_eq!(files, [("program", 0o555, &b"\x7fELF"[..]), ("sbom.cdx.json", 0o444, &b"{}"[..])]);
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
