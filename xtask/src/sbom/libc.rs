//! The C library that the linker puts into a static program, found by what it says of itself.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Component, library};

/// The library on this machine: where the C compiler, which is the linker too, finds it.
pub(super) fn installed() -> Result<Component> {
    let output = Command::new("cc").arg("-print-file-name=libc.a").output();
    let output = output.context("cannot start cc, the C compiler")?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let archive = fs::read(&path).with_context(|| {
        format!("cannot read {path}, glibc's static library: install it (Debian: libc6-dev)")
    })?;
    component(&archive).with_context(|| path)
}

/// How glibc's own line begins: `GNU C Library (DISTRIBUTION) stable release version 2.36.`
const BEGIN: &[u8] = b"GNU C Library (";

/// The C library `program` was linked with.
pub(super) fn component(program: &[u8]) -> Result<Component> {
    let (distribution, version) = banner(program).context(
        "the program does not tell which C library is in it: is it static, and of glibc?",
    )?;
    // Debian's own number, by which its security notices go.
    let debian = distribution.strip_prefix("Debian GLIBC ");
    let purl = debian.map_or_else(
        || format!("pkg:generic/glibc@{version}"),
        |package| format!("pkg:deb/debian/glibc@{}", package.replace('+', "%2B")),
    );
    let version = debian.unwrap_or(version);
    Ok(library("glibc", version, &purl, "LGPL-2.1-or-later"))
}

/// The distribution and the version.
fn banner(archive: &[u8]) -> Option<(&str, &str)> {
    let start = archive.windows(BEGIN.len()).position(|window| window == BEGIN)?;
    let rest = archive.get(start + BEGIN.len()..)?;
    let line = rest.split(|byte| *byte == b'\n').next()?;
    let (distribution, rest) = std::str::from_utf8(line).ok()?.split_once(')')?;
    let (_, version) = rest.split_once(" version ")?;
    Some((distribution, version.strip_suffix('.')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_c_library_is_named_with_its_distribution_s_number() {
        let archive = b"\0\0GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright";
        let found = component(archive).unwrap();
        assert_eq!(found.version, "2.36-9+deb12u14");
        assert_eq!(found.purl, "pkg:deb/debian/glibc@2.36-9%2Bdeb12u14");
    }

    #[test]
    fn the_c_library_of_another_distribution_is_named_by_its_version() {
        let found = component(b"GNU C Library (GNU libc) stable release version 2.41.\n").unwrap();
        assert_eq!(found.purl, "pkg:generic/glibc@2.41");
    }

    #[test]
    fn a_library_that_does_not_tell_what_it_is_is_refused() {
        for archive in [&b""[..], b"GNU C Library (", b"GNU C Library (x) no number\n"] {
            assert!(component(archive).is_err());
        }
    }
}
