// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! Checks the recorded flows, `recorded/*.jsonl`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file::{naming, read, text_difference};
use crate::event::FlowExecutionEvent;

const FOLDER: &str = "recorded";

/// Counts the recordings and their events.
pub fn check(dir: &Path, problems: &mut Vec<String>) -> io::Result<(usize, usize)> {
    let paths = recordings(&dir.join(FOLDER))?;
    if paths.is_empty() {
        problems.push(format!("{FOLDER}: no recordings"));
    }
    let mut events = 0;
    for path in &paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = read(path)?;
        if bytes.is_empty() {
            problems.push(format!("{FOLDER}/{file}: no events"));
        }
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            events += 1;
            if let Some(difference) = line_difference(line) {
                problems.push(format!("{FOLDER}/{file}:{}: {difference}", index + 1));
            }
        }
    }
    Ok((paths.len(), events))
}

/// The `.jsonl` files of a folder in the order of their names; none if there is no such folder.
fn recordings(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.map_err(|error| naming(dir, error))?,
    };
    let mut paths = Vec::new();
    for item in listing {
        let path = item.map_err(|error| naming(dir, error))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "jsonl")
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn line_difference(line: &[u8]) -> Option<String> {
    let event: FlowExecutionEvent = match serde_json::from_slice(line.trim_ascii_end()) {
        Ok(event) => event,
        Err(error) => return Some(format!("does not decode: {error}")),
    };
    // What was decoded is UTF-8, and so is the whitespace after it.
    text_difference(&(event.to_json() + "\n"), &String::from_utf8_lossy(line))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Folder, LINE};
    use super::*;

    #[test]
    fn a_bad_line_of_a_recording_is_named() {
        let folder = Folder::written("recorded");
        let spaced = LINE.replace(":7", ": 7");
        folder.put(
            "recorded/f.jsonl",
            &format!("{LINE}\n{spaced}\n\n{}\n{LINE}", &LINE[..20]),
        );
        let problems = folder.problems();
        assert_eq!(problems.len(), 4, "{problems:?}");
        assert!(problems[0].starts_with("recorded/f.jsonl:2: differs at byte 64: "));
        assert!(problems[1].starts_with("recorded/f.jsonl:3: does not decode: "));
        assert!(problems[2].starts_with("recorded/f.jsonl:4: does not decode: "));
        assert!(problems[3].starts_with("recorded/f.jsonl:5: differs at byte 66: "));
    }

    #[test]
    fn recordings_must_exist() {
        let folder = Folder::written("no-recordings");
        folder.put("recorded/f.jsonl", "");
        assert_eq!(folder.problems(), ["recorded/f.jsonl: no events"]);
        fs::remove_file(folder.0.join("recorded/f.jsonl")).unwrap();
        assert_eq!(folder.problems(), ["recorded: no recordings"]);
        fs::remove_dir(folder.0.join(FOLDER)).unwrap();
        assert_eq!(folder.problems(), ["recorded: no recordings"]);
    }
}
