//! The C library in a static program, found by what it says of itself there.

use anyhow::{Context, Result};

use super::{Component, library};

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
fn banner(program: &[u8]) -> Option<(&str, &str)> {
    let start = program.windows(BEGIN.len()).position(|window| window == BEGIN)?;
    let rest = program.get(start + BEGIN.len()..)?;
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
        let program = b"\0\0GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright";
        let found = component(program).unwrap();
        assert_eq!(found.version, "2.36-9+deb12u14");
        assert_eq!(found.purl, "pkg:deb/debian/glibc@2.36-9%2Bdeb12u14");
    }

    #[test]
    fn the_c_library_of_another_distribution_is_named_by_its_version() {
        let found = component(b"GNU C Library (GNU libc) stable release version 2.41.\n").unwrap();
        assert_eq!(found.purl, "pkg:generic/glibc@2.41");
    }

    #[test]
    fn a_program_without_the_c_library_s_line_is_refused() {
        for program in [&b""[..], b"GNU C Library (", b"GNU C Library (x) no number\n"] {
            assert!(component(program).is_err());
        }
    }
}
