// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! The exact versions of the libraries that make the reference's bytes.

use std::collections::BTreeMap;

const LOCK: &str = include_str!("../Cargo.lock");

/// The versions of serde, serde_json and tokio that this program was built with, by name.
pub fn locked() -> BTreeMap<String, String> {
    ["serde", "serde_json", "tokio"]
        .into_iter()
        .map(|package| {
            let version = version_in(LOCK, package).expect("Cargo.lock names every dependency");
            (package.to_owned(), version.to_owned())
        })
        .collect()
}

fn version_in<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines
        .nth(1)?
        .strip_prefix("version = \"")?
        .strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_by_the_whole_name() {
        let lock = "[[package]]\nname = \"ab\"\nversion = \"1.2.3\"\n\n\
                    [[package]]\nname = \"a\"\nversion = \"4.5.6\"\n";
        assert_eq!(version_in(lock, "a"), Some("4.5.6"));
        assert_eq!(version_in(lock, "ab"), Some("1.2.3"));
        assert_eq!(version_in(lock, "b"), None);
    }

    #[test]
    fn every_library_has_a_version() {
        let versions = locked();
        assert_eq!(versions.len(), 3);
        assert!(versions.values().all(|version| version.starts_with("1.")));
    }
}
