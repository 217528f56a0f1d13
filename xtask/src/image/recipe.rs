//! That `images/Dockerfile` and [`super::image`] make the same image.

use std::collections::BTreeMap;
use std::fs;

use super::archive::Image;
use super::{PROGRAMS, Program, image};
use crate::run;

/// What the Dockerfile says of an image.
#[derive(Debug, Default, PartialEq, Eq)]
struct Stage {
    user: String,
    entrypoint: String,
    folder: String,
    labels: BTreeMap<String, String>,
    /// Path and mode.
    files: Vec<(String, String)>,
}

fn stage(dockerfile: &str, name: &str) -> Stage {
    let mut stage = Stage::default();
    let head = format!("FROM scratch AS {name}");
    let lines = dockerfile.lines().skip_while(|line| *line != head).skip(1);
    for line in lines.take_while(|line| !line.starts_with("FROM ")) {
        let Some((instruction, rest)) = line.split_once(' ') else { continue };
        match instruction {
            "USER" => rest.clone_into(&mut stage.user),
            "ENTRYPOINT" => rest.clone_into(&mut stage.entrypoint),
            "WORKDIR" => rest.clone_into(&mut stage.folder),
            "LABEL" => {
                let (key, value) = rest.split_once('=').unwrap();
                stage.labels.insert(key.to_owned(), value.trim_matches('"').to_owned());
            }
            "COPY" => {
                let mode = rest.split(' ').find_map(|word| word.strip_prefix("--chmod=")).unwrap();
                let to = rest.rsplit(' ').next().unwrap();
                stage.files.push((to.to_owned(), mode.to_owned()));
            }
            other => panic!("the archive has nothing like {other}"),
        }
    }
    stage
}

fn packed(image: &Image<'_>) -> Stage {
    Stage {
        user: image.user.to_owned(),
        entrypoint: format!("[\"{}\"]", image.entrypoint),
        folder: "/".to_owned(),
        labels: image
            .labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.clone()))
            .collect(),
        files: image
            .files
            .iter()
            .map(|file| (format!("/{}", file.path), format!("{:04o}", file.mode)))
            .collect(),
    }
}

fn dockerfile() -> String {
    fs::read_to_string(run::root().join("images/Dockerfile")).unwrap()
}

#[test]
fn the_dockerfile_and_the_archive_agree_on_user_entrypoint_labels_and_files() {
    let text = dockerfile();
    for program in PROGRAMS {
        let image = image(program, "localhost", env!("CARGO_PKG_VERSION"), b"", b"");
        assert_eq!(stage(&text, program.name), packed(&image));
    }
}

#[test]
fn a_dockerfile_with_another_user_does_not_agree() {
    let [program, _] = PROGRAMS;
    let image = image(program, "localhost", env!("CARGO_PKG_VERSION"), b"", b"");
    let text = dockerfile().replace("USER 65532:65532", "USER 0");
    assert_ne!(stage(&text, program.name), packed(&image));
}

#[test]
fn the_dockerfile_builds_with_the_toolchain_of_everybody() {
    let toolchain = fs::read_to_string(run::root().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();
    let version = channel.trim_matches('"');
    let text = dockerfile();
    for line in [format!("FROM rust:{version}-"), format!("ENV RUSTUP_TOOLCHAIN={version}\n")] {
        assert!(text.contains(&line), "no {line}");
    }
}

#[test]
fn a_name_is_the_registry_the_program_and_the_version_or_its_own_tag() {
    let [controller, _] = PROGRAMS;
    let named = |program: Program| image(program, "host/team", "1.2.3", b"", b"").name;
    assert_eq!(named(controller), "host/team/smartops-controller:1.2.3");
    assert_eq!(named(super::PAUSE), "host/team/smartops-pause:1");
}
