//! The checksums in `Cargo.lock`.

use std::collections::BTreeMap;

/// Checksums of the packages' archives, by name and version.
#[derive(Debug)]
pub(super) struct Lock(BTreeMap<(String, String), String>);

impl Lock {
    /// Reads what cargo wrote: one key and its value to a line, a headline before each package.
    pub(super) fn parse(text: &str) -> Self {
        let packages = text.split("[[package]]").skip(1);
        Self(
            packages
                .filter_map(|package| {
                    let value = |key: &str| {
                        package.lines().find_map(|line| {
                            let value = line.strip_prefix(key)?.strip_prefix(" = \"")?;
                            Some(value.strip_suffix('"')?.to_owned())
                        })
                    };
                    Some(((value("name")?, value("version")?), value("checksum")?))
                })
                .collect(),
        )
    }

    /// The checksum of a package, SHA-256; nothing for a package of the workspace.
    pub(super) fn checksum(&self, name: &str, version: &str) -> Option<&str> {
        self.0.get(&(name.to_owned(), version.to_owned())).map(String::as_str)
    }
}
