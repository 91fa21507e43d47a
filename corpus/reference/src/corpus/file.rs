// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! What the files have in common that the reference fills in.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::Serialize;
use serde_json::Value;

use crate::decode::on_one_line;
use crate::{ascii_json, versions};

const FORMAT: u64 = 1;

/// A file of the corpus as it was read, and what is wrong with it.
pub struct File {
    name: &'static str,
    /// What one of its items is called, and many of them.
    nouns: [&'static str; 2],
    path: PathBuf,
    bytes: Vec<u8>,
    problems: Vec<String>,
}

impl File {
    /// Reads the file of that name.
    pub fn read(dir: &Path, name: &'static str, nouns: [&'static str; 2]) -> io::Result<Self> {
        let path = dir.join(name);
        let bytes = read(&path)?;
        Ok(Self {
            name,
            nouns,
            path,
            bytes,
            problems: Vec::new(),
        })
    }

    /// What the file holds, its items not yet understood.
    pub fn parse<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.bytes).map_err(|error| naming(&self.path, error.into()))
    }

    /// What is wrong with the file, one line each.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Notes a problem of the file as a whole.
    pub fn report(&mut self, problem: &str) {
        let line = on_one_line(&format!("{}: {problem}", self.name));
        self.problems.push(line);
    }

    /// Notes a problem of one of the items.
    pub fn report_item(&mut self, item: &str, problem: &str) {
        self.report(&format!("{} {item}: {problem}", self.nouns[0]));
    }

    /// Reads the items one by one, so that each bad one can be named; gives the good ones.
    pub fn understand<T>(
        &mut self,
        format: u64,
        items: &[Value],
        understand: impl Fn(&Value) -> Result<T, String>,
    ) -> Vec<T> {
        if format != FORMAT {
            self.report(&format!("format is {format}, not {FORMAT}"));
        }
        let mut names = HashSet::new();
        let mut understood = Vec::new();
        for (index, found) in items.iter().enumerate() {
            let name = found["name"].as_str();
            let label = name.map_or_else(|| format!("number {index}"), str::to_owned);
            if name.is_some_and(|name| !names.insert(name)) {
                self.report_item(&label, "the name is taken");
            }
            match understand(found) {
                Ok(item) => understood.push(item),
                Err(problem) => self.report_item(&label, &problem),
            }
        }
        understood
    }

    /// Notes how the file differs from `content`, which was understood from it.
    ///
    /// What was not understood is in neither, so then only the versions are compared.
    pub fn compare<T: Serialize>(
        &mut self,
        content: &T,
        reference: &BTreeMap<String, String>,
        items: usize,
    ) -> io::Result<()> {
        if self.problems.is_empty() {
            if items == 0 {
                self.report(&format!("no {}", self.nouns[1]));
            }
            let formatted = ascii_json::to_vec(content)?;
            if let Some(at) = first_difference(&formatted, &self.bytes) {
                self.report(&format!("not formatted as `write` does, from byte {at} on"));
            }
        }
        self.compare_versions(reference);
        Ok(())
    }

    fn compare_versions(&mut self, found: &BTreeMap<String, String>) {
        let locked = versions::locked();
        for (package, version) in &locked {
            match found.get(package) {
                Some(found) if found == version => {}
                Some(found) => self.report(&format!(
                    "reference: {package} is {found}, but Cargo.lock has {version}"
                )),
                None => self.report(&format!("reference: {package} is absent")),
            }
        }
        for package in found
            .keys()
            .filter(|package| !locked.contains_key(*package))
        {
            self.report(&format!("reference: {package} does not belong here"));
        }
    }

    /// Replaces the file at once, so that nobody ever reads half of it.
    pub fn replace<T: Serialize>(&self, content: &T) -> io::Result<()> {
        let draft = self.path.with_extension("json.tmp");
        fs::write(&draft, ascii_json::to_vec(content)?)
            .and_then(|()| fs::rename(&draft, &self.path))
            .map_err(|error| {
                // The first error is the one to tell.
                let _ = fs::remove_file(&draft);
                naming(&self.path, error)
            })
    }
}

/// The bytes of a file; an error names its path.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| naming(path, error))
}

/// The error with the path that it is about.
pub fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The position of the first byte in which the two differ; the shorter one's end counts.
fn first_difference(expected: &[u8], found: &[u8]) -> Option<usize> {
    let differs = expected.iter().zip(found).position(|(a, b)| a != b);
    differs.or_else(|| (expected.len() != found.len()).then(|| expected.len().min(found.len())))
}

/// How a text differs from the one that the reference writes.
pub fn text_difference(expected: &str, found: &str) -> Option<String> {
    let at = first_difference(expected.as_bytes(), found.as_bytes())?;
    Some(format!(
        "differs at byte {at}: expected {expected:?}, found {found:?}"
    ))
}
