//! Looking at a built program: whether it runs where there is no other file.

use anyhow::{Context, Result, bail};
use object::elf::{FileHeader64, PT_INTERP};
use object::endian::LittleEndian;
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// An error when the program needs a loader, and with it shared libraries.
pub(super) fn must_be_static(program: &[u8]) -> Result<()> {
    let header =
        FileHeader64::<LittleEndian>::parse(program).context("not a program for 64-bit Linux")?;
    let endian = header.endian().context("not a program for this kind of processor")?;
    let parts = header.program_headers(endian, program).context("a program with broken headers")?;
    if parts.iter().any(|part| part.p_type(endian) == PT_INTERP) {
        bail!(
            "it needs a loader and shared libraries, which an empty image does not have: build it with \
             `-C target-feature=+crt-static` (a `[target]` section of some cargo configuration may undo that)"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_refused() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let said = must_be_static(&own).unwrap_err().to_string();
        assert!(said.contains("+crt-static"), "{said}");
    }

    #[test]
    fn what_is_no_program_is_refused() {
        for bytes in [&b""[..], b"#!/bin/sh\n", b"\x7fELF"] {
            assert!(must_be_static(bytes).is_err());
        }
    }
}
