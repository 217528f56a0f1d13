//! The images as `cargo xtask image` left them: what is in them, and whether their programs run with nothing else. Needs no
//! node, but the archives that nodes start with, and loopback for itself.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use smartops_tests::pki::Authority;
use smartops_tests::places;
use smartops_tests::wait::{Seen, eventually};

use crate::support;

const PROGRAMS: [&str; 2] = ["smartops-controller", "smartops-webhook"];
const LIMIT: Duration = Duration::from_secs(30);

/// An image, taken apart.
struct Image {
    config: Value,
    /// The root folder a container of it has.
    root: PathBuf,
    /// The files in it.
    files: BTreeSet<String>,
}

fn unpack(archive: &Path, folder: &Path) -> Result<BTreeSet<String>> {
    fs::create_dir_all(folder).context("cannot make a folder")?;
    let output = Command::new("tar")
        .args(["--extract", "--preserve-permissions", "--verbose", "--file"])
        .arg(archive)
        .arg("--directory")
        .arg(folder)
        .output()
        .context("cannot start tar")?;
    ensure!(output.status.success(), "tar: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn json_of(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON", path.display()))
}

/// The file of a blob, once its digest and size are found to be right.
fn blob(layout: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().context("a part without a digest")?;
    let path = layout.join("blobs").join(digest.replace(':', "/"));
    let bytes = fs::read(&path).with_context(|| format!("no blob {digest}"))?;
    ensure!(format!("sha256:{:x}", Sha256::digest(&bytes)) == digest, "{digest} is another");
    ensure!(descriptor["size"] == json!(bytes.len()), "{digest} has another size");
    Ok(path)
}

fn image(program: &str, test: &str) -> Result<Image> {
    let archive = places::root().join(format!("target/images/{program}.tar"));
    ensure!(archive.is_file(), "no {}: run `cargo xtask image`", archive.display());
    let folder = support::folder(&format!("image-{test}-{program}"));
    let layout = folder.join("layout");
    unpack(&archive, &layout)?;
    let index = json_of(&layout.join("index.json"))?;
    let named = &index["manifests"][0];
    let name = named["annotations"]["io.containerd.image.name"].as_str().unwrap_or_default();
    ensure!(name == format!("localhost/{program}:{}", env!("CARGO_PKG_VERSION")), "it is {name}");
    let manifest = json_of(&blob(&layout, named)?)?;
    let config = json_of(&blob(&layout, &manifest["config"])?)?;
    let layer = blob(&layout, &manifest["layers"][0])?;
    ensure!(config["rootfs"]["diff_ids"][0] == manifest["layers"][0]["digest"], "another layer");
    let root = folder.join("root");
    let files = unpack(&layer, &root)?;
    Ok(Image { config, root, files })
}

/// A program of an image, as the user it names, with the image's files and no others.
fn inside(image: &Image, arguments: &[&str]) -> Command {
    let user = image.config["config"]["User"].as_str().unwrap_or_default();
    let program = image.config["config"]["Entrypoint"][0].as_str().unwrap_or_default();
    let mut command = Command::new("chroot");
    command.arg(format!("--userspec={user}")).arg(&image.root).arg(program).args(arguments);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(Stdio::null());
    command
}

#[test]
#[ignore = "needs the images: cargo xtask test --node"]
fn an_image_is_a_program_and_its_list_of_parts_for_nobody_in_particular() -> Result<()> {
    for program in PROGRAMS {
        let image = image(program, "files")?;
        assert_eq!(image.files, BTreeSet::from([program.to_owned(), "sbom.cdx.json".to_owned()]));
        let config = &image.config["config"];
        assert_eq!(config["User"], "65532:65532");
        assert_eq!(config["Entrypoint"], json!([format!("/{program}")]));
        assert_eq!(config["Labels"]["org.opencontainers.image.version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(image.config["created"], "1970-01-01T00:00:00Z");
    }
    Ok(())
}

#[test]
#[ignore = "needs the images: cargo xtask test --node"]
fn a_program_starts_where_there_is_no_other_file() -> Result<()> {
    for program in PROGRAMS {
        let output = inside(&image(program, "starts")?, &["--version"]).output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), format!("{program} {}", env!("CARGO_PKG_VERSION")));
        let ldd = Command::new("ldd").arg(image(program, "linked")?.root.join(program)).output()?;
        let said = String::from_utf8_lossy(&ldd.stdout);
        assert!(said.contains("statically linked"), "{program}: {said}");
    }
    Ok(())
}

#[test]
#[ignore = "needs the images: cargo xtask test --node"]
fn no_image_tells_where_it_was_built() -> Result<()> {
    for program in PROGRAMS {
        let image = image(program, "folders")?;
        let bytes = fs::read(image.root.join(program))?;
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("/crates/"), "{program}: a panic names the file it comes from");
        let here = places::root().display().to_string();
        for folder in [&here, "/registry/src/", "/.cargo/"] {
            assert!(!holds(folder), "{program} names {folder}");
        }
    }
    Ok(())
}

/// Name and version of every package cargo says a program consists of.
fn tree(program: &str) -> Result<BTreeSet<String>> {
    let output = Command::new("cargo")
        .args(["tree", "--offline", "--locked", "--package", program, "--edges", "normal"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--prefix", "none", "--format", "{p}"])
        .current_dir(places::root())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "));
    Ok(words.filter(|line| !line.is_empty()).collect())
}

#[test]
#[ignore = "needs the images: cargo xtask test --node"]
fn the_list_of_parts_names_every_crate_of_the_program_and_no_other() -> Result<()> {
    for program in PROGRAMS {
        let image = image(program, "parts")?;
        let list = json_of(&image.root.join("sbom.cdx.json"))?;
        let own = &list["metadata"]["component"];
        let digest = format!("{:x}", Sha256::digest(fs::read(image.root.join(program))?));
        assert_eq!(own["hashes"][0]["content"], digest, "{program} is another");
        let components = list["components"].as_array().context("no components")?;
        let named = |part: &Value| {
            let text = |key: &str| part[key].as_str().unwrap_or_default().to_owned();
            format!("{} v{}", text("name"), text("version"))
        };
        let is_crate = |part: &&Value| {
            part["purl"].as_str().is_some_and(|purl| purl.starts_with("pkg:cargo/"))
        };
        let crates: BTreeSet<String> =
            components.iter().filter(is_crate).chain([own]).map(named).collect();
        assert_eq!(crates, tree(program)?, "{program}");
        let others: Vec<String> =
            components.iter().filter(|part| !is_crate(part)).map(named).collect();
        assert!(
            matches!(&others[..], [c, rust] if c.starts_with("glibc v") && rust.starts_with("rust-std v")),
            "{program}: {others:?}"
        );
    }
    Ok(())
}

/// A name server on loopback that knows one name.
fn serve_names(socket: &UdpSocket, known: &str, is_over: &AtomicBool) -> Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let mut question = [0; 512];
    while !is_over.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut question) else { continue };
        let (head, rest) = question.get(..length).unwrap_or_default().split_at(12);
        let mut labels = Vec::new();
        let mut at = 0;
        while let Some(&size) = rest.get(at).filter(|size| **size > 0) {
            let end = at + 1 + usize::from(size);
            labels.push(
                String::from_utf8_lossy(rest.get(at + 1..end).unwrap_or_default()).into_owned(),
            );
            at = end;
        }
        let asked = rest.get(..at + 5).context("a question cut off")?;
        let is_known = labels.join(".") == known;
        let has_answer = is_known && asked.get(at + 1..at + 3) == Some(&[0, 1]);
        // An answer to a recursive question: fine, or no such name.
        let code = if is_known { 0x80 } else { 0x83 };
        let mut answer =
            vec![head[0], head[1], 0x81, code, 0, 1, 0, u8::from(has_answer), 0, 0, 0, 0];
        answer.extend_from_slice(asked);
        if has_answer {
            // The same name, an address, of the Internet, for a second, four bytes.
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
        }
        socket.send_to(&answer, from)?;
    }
    Ok(())
}

/// Starts a command that speaks to the API server under a name.
fn speak_to(image: &Image, server: &str) -> Result<Child> {
    // An image has no certificates: without these the client would look for some.
    Authority::create(&image.root)?;
    fs::set_permissions(image.root.join("ca.crt"), Permissions::from_mode(0o444))?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it", "preferences": {},
        "clusters": [{"name": "it", "cluster": {"server": server, "certificate-authority": "/ca.crt"}}],
        "users": [{"name": "it", "user": {"token": "none"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    fs::write(image.root.join("kubeconfig"), kubeconfig.to_string())?;
    let arguments =
        ["remove-registrations", "--kubeconfig", "/kubeconfig", "--timeout-seconds", "5"];
    inside(image, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start chroot")
}

/// Whether the program finds the host of this name and dials it.
fn dials(image: &Image, name: &str, listener: &TcpListener) -> Result<bool> {
    let mut child = speak_to(image, &format!("https://{name}:{}", listener.local_addr()?.port()))?;
    let dialled = eventually(LIMIT, &format!("a call to {name}, or the end"), || {
        if listener.accept().is_ok() {
            return Ok(Seen::Done(true));
        }
        let ended = child.try_wait()?.is_some();
        Ok(if ended { Seen::Done(false) } else { Seen::NotYet("no call".into()) })
    });
    child.kill().ok();
    let output = child.wait_with_output()?;
    let dialled = dialled?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !dialled && !said.contains("client error (Connect)") {
        bail!("{name} was not tried: {said}");
    }
    Ok(dialled)
}

#[test]
#[ignore = "needs the images: cargo xtask test --node"]
fn names_are_found_in_the_hosts_file_and_by_dns_without_any_library_to_load() -> Result<()> {
    let image = image("smartops-webhook", "names")?;
    fs::create_dir_all(image.root.join("etc"))?;
    // What a kubelet puts into every container.
    fs::write(image.root.join("etc/hosts"), "127.0.0.1 localhost\n127.0.0.1 only-in-hosts\n")?;
    fs::write(image.root.join("etc/resolv.conf"), "nameserver 127.0.0.1\nsearch svc.example\n")?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let socket =
        UdpSocket::bind("127.0.0.1:53").context("this machine has a name server of its own")?;
    let is_over = AtomicBool::new(false);
    let found = thread::scope(|scope| {
        scope.spawn(|| serve_names(&socket, "collector.svc.example", &is_over));
        let names = ["only-in-hosts", "collector.svc.example", "collector", "nowhere.example"];
        let found: Result<Vec<bool>> =
            names.iter().map(|name| dials(&image, name, &listener)).collect();
        is_over.store(true, Ordering::Relaxed);
        found
    });
    assert_eq!(found?, [true, true, true, false]);
    Ok(())
}
