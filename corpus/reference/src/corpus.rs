// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! Writes and checks `corpus.json`, and checks the recorded flows beside it.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::FlowExecutionEvent;
use crate::{ascii_json, versions};

const FILE: &str = "corpus.json";
const RECORDED: &str = "recorded";
const FORMAT: u64 = 1;

/// What came of writing or checking.
#[derive(Debug)]
pub struct Report {
    /// What is wrong, one line each; nothing if all is well.
    pub problems: Vec<String>,
    /// How much was written or checked, in one line.
    pub summary: String,
}

/// Fills the `wire` of every entry and the versions of the reference.
///
/// A corpus with problems is left as it is.
pub fn write(dir: &Path) -> io::Result<Report> {
    let path = dir.join(FILE);
    let (mut corpus, problems) = parse(&path, &read(&path)?)?.understand();
    let summary = format!("{} entries written", corpus.entries.len());
    if problems.is_empty() {
        corpus.reference = versions::locked();
        for entry in &mut corpus.entries {
            entry.wire = Some(entry.expected_json.to_json());
        }
        replace(&path, &ascii_json::to_vec(&corpus)?)?;
    }
    Ok(Report { problems, summary })
}

/// Compares the corpus with what the reference writes.
pub fn check(dir: &Path) -> io::Result<Report> {
    let path = dir.join(FILE);
    let bytes = read(&path)?;
    let (corpus, mut problems) = parse(&path, &bytes)?.understand();
    let all_understood = problems.is_empty();

    if corpus.entries.is_empty() && all_understood {
        problems.push(format!("{FILE}: no entries"));
    }
    compare_versions(&corpus.reference, &mut problems);
    for entry in &corpus.entries {
        if let Some(difference) = entry.wire_difference() {
            problems.push(format!("{FILE}: entry {}: {difference}", entry.name));
        }
    }
    // What was not understood cannot be formatted either.
    if all_understood {
        let formatted = ascii_json::to_vec(&corpus)?;
        if let Some(at) = first_difference(&formatted, &bytes) {
            problems.push(format!(
                "{FILE}: not formatted as `write` does, from byte {at} on"
            ));
        }
    }

    let (recordings, events) = check_recorded(dir, &mut problems)?;
    let summary = format!(
        "{} entries, {recordings} recordings with {events} events",
        corpus.entries.len()
    );
    Ok(Report { problems, summary })
}

/// The file: as it is found with `Value` for an entry, to be written with [`Entry`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Corpus<E> {
    format: u64,
    description: String,
    d_letter_anchor: String,
    #[serde(default)]
    reference: BTreeMap<String, String>,
    entries: Vec<E>,
}

/// An entry whose `expected_json` the enum understands whole.
#[derive(Serialize)]
struct Entry {
    name: String,
    variant: String,
    expected_json: FlowExecutionEvent,
    #[serde(skip_serializing_if = "Option::is_none")]
    wire: Option<String>,
}

impl Corpus<Value> {
    /// Reads the entries one by one, so that each bad one can be named.
    fn understand(self) -> (Corpus<Entry>, Vec<String>) {
        let mut problems = Vec::new();
        let mut names = HashSet::new();
        let mut entries = Vec::new();
        if self.format != FORMAT {
            problems.push(format!("{FILE}: format is {}, not {FORMAT}", self.format));
        }
        for (index, found) in self.entries.iter().enumerate() {
            let name = found["name"].as_str();
            let label = name.map_or_else(|| format!("number {index}"), str::to_owned);
            if name.is_some_and(|name| !names.insert(name)) {
                problems.push(format!("{FILE}: entry {label}: the name is taken"));
            }
            match Entry::understand(found) {
                Ok(entry) => entries.push(entry),
                Err(problem) => problems.push(format!("{FILE}: entry {label}: {problem}")),
            }
        }
        let corpus = Corpus {
            format: self.format,
            description: self.description,
            d_letter_anchor: self.d_letter_anchor,
            reference: self.reference,
            entries,
        };
        (corpus, problems)
    }
}

impl Entry {
    fn understand(found: &Value) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Found {
            name: String,
            variant: String,
            expected_json: Value,
            wire: Option<String>,
        }

        let found = Found::deserialize(found).map_err(|error| error.to_string())?;
        let event = FlowExecutionEvent::deserialize(&found.expected_json)
            .map_err(|error| format!("expected_json does not decode: {error}"))?;
        if event.variant() != found.variant {
            return Err(format!(
                "variant is {:?}, but expected_json is a {}",
                found.variant,
                event.variant()
            ));
        }
        // The decoder takes arrays and ignores unknown fields, but here both are slips of the pen.
        let Some(fields) = found.expected_json.as_object() else {
            return Err("expected_json is not an object".to_owned());
        };
        let known = serde_json::to_value(&event).map_err(|error| error.to_string())?;
        if let Some(field) = fields.keys().find(|field| known.get(field).is_none()) {
            return Err(format!("expected_json has an unknown field {field:?}"));
        }
        Ok(Self {
            name: found.name,
            variant: found.variant,
            expected_json: event,
            wire: found.wire,
        })
    }

    fn wire_difference(&self) -> Option<String> {
        let expected = self.expected_json.to_json();
        let Some(found) = &self.wire else {
            return Some("wire is absent".to_owned());
        };
        let at = first_difference(expected.as_bytes(), found.as_bytes())?;
        Some(format!(
            "wire differs at byte {at}: expected {expected:?}, found {found:?}"
        ))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| naming(path, error))
}

fn parse(path: &Path, bytes: &[u8]) -> io::Result<Corpus<Value>> {
    serde_json::from_slice(bytes).map_err(|error| naming(path, error.into()))
}

/// Replaces the file at once, so that nobody ever reads half of it.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("json.tmp");
    fs::write(&draft, bytes)
        .and_then(|()| fs::rename(&draft, path))
        .map_err(|error| {
            // The first error is the one to tell.
            let _ = fs::remove_file(&draft);
            naming(path, error)
        })
}

fn naming(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// The position of the first byte in which the two differ; the shorter one's end counts.
fn first_difference(expected: &[u8], found: &[u8]) -> Option<usize> {
    let differs = expected.iter().zip(found).position(|(a, b)| a != b);
    differs.or_else(|| (expected.len() != found.len()).then(|| expected.len().min(found.len())))
}

fn compare_versions(found: &BTreeMap<String, String>, problems: &mut Vec<String>) {
    let locked = versions::locked();
    for (package, version) in &locked {
        match found.get(package) {
            Some(found) if found == version => {}
            Some(found) => problems.push(format!(
                "{FILE}: reference: {package} is {found}, but Cargo.lock has {version}"
            )),
            None => problems.push(format!("{FILE}: reference: {package} is absent")),
        }
    }
    for package in found
        .keys()
        .filter(|package| !locked.contains_key(*package))
    {
        problems.push(format!("{FILE}: reference: {package} does not belong here"));
    }
}

/// Counts the recordings and their events.
fn check_recorded(dir: &Path, problems: &mut Vec<String>) -> io::Result<(usize, usize)> {
    let paths = recordings(&dir.join(RECORDED))?;
    if paths.is_empty() {
        problems.push(format!("{RECORDED}: no recordings"));
    }
    let mut events = 0;
    for path in &paths {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let bytes = read(path)?;
        if bytes.is_empty() {
            problems.push(format!("{RECORDED}/{file}: no events"));
        }
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            events += 1;
            if let Some(difference) = line_difference(line) {
                problems.push(format!("{RECORDED}/{file}:{}: {difference}", index + 1));
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
    let expected = event.to_json() + "\n";
    let at = first_difference(expected.as_bytes(), line)?;
    Some(format!(
        "differs at byte {at}: expected {expected:?}, found {:?}",
        String::from_utf8_lossy(line)
    ))
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::process;

    use serde_json::json;

    use super::*;

    const LINE: &str = r#"{"kind":"flow_error","flow_name":"f","error":"e","timestamp_ms":7}"#;

    /// A folder with a corpus, removed at the end of its test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str, entries: Value) -> Self {
            let dir = env::temp_dir().join(format!("axon-events-{}-{test}", process::id()));
            fs::create_dir_all(dir.join(RECORDED)).unwrap();
            let folder = Self(dir);
            let corpus = json!({
                "format": 1,
                "description": "d",
                "d_letter_anchor": "D2",
                "entries": entries,
            });
            folder.put(FILE, &corpus.to_string());
            folder.put("recorded/f.jsonl", &format!("{LINE}\n"));
            folder
        }

        fn written(test: &str) -> Self {
            let folder = Self::new(test, json!([entry("a"), entry("b")]));
            assert_eq!(write(&folder.0).unwrap().problems, [""; 0]);
            folder
        }

        fn put(&self, file: &str, text: &str) {
            fs::write(self.0.join(file), text).unwrap();
        }

        fn text(&self) -> String {
            fs::read_to_string(self.0.join(FILE)).unwrap()
        }

        fn edit(&self, from: &str, to: &str) {
            let text = self.text();
            assert!(text.contains(from), "{text}");
            self.put(FILE, &text.replacen(from, to, 1));
        }

        fn problems(&self) -> Vec<String> {
            check(&self.0).unwrap().problems
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn entry(name: &str) -> Value {
        json!({
            "name": name,
            "variant": "FlowError",
            "expected_json": {"timestamp_ms": 7, "error": "\u{7f}é", "flow_name": "f", "kind": "flow_error"},
        })
    }

    #[test]
    fn what_was_written_checks_and_is_written_the_same_again() {
        let folder = Folder::written("again");
        let text = folder.text();
        assert!(text.is_ascii());
        assert!(text.contains(r#""kind": "flow_error","#));
        assert!(text.contains(r#"\"error\":\"\u007f\u00e9\""#), "{text}");
        let report = check(&folder.0).unwrap();
        assert_eq!(report.problems, [""; 0]);
        assert_eq!(report.summary, "2 entries, 1 recordings with 1 events");
        write(&folder.0).unwrap();
        assert_eq!(folder.text(), text);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2);
    }

    #[test]
    fn a_bad_entry_is_named_and_nothing_is_written() {
        let edited = |key: &str, value: Value| {
            let mut bad = entry("bad");
            bad[key] = value;
            bad
        };
        let mut unknown_field = entry("bad");
        unknown_field["expected_json"]["fresh"] = json!(1);
        let mut negative = entry("bad");
        negative["expected_json"]["timestamp_ms"] = json!(-1);
        let cases = [
            (edited("extra", json!(1)), "unknown field `extra`"),
            (unknown_field, "unknown field \"fresh\""),
            (negative, "does not decode: invalid value: integer `-1`"),
            (edited("variant", json!("FlowStart")), "is a FlowError"),
            (edited("wire", json!(1)), "expected a string"),
            (
                edited("expected_json", json!(["flow_error", "f", "e", 7])),
                "expected_json is not an object",
            ),
            (entry("a"), "entry a: the name is taken"),
            (json!("bad"), "entry number 1: invalid type"),
        ];
        for (bad, problem) in cases {
            let folder = Folder::new("bad", json!([entry("a"), bad]));
            let before = folder.text();
            let problems = write(&folder.0).unwrap().problems;
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(problem), "{problems:?}");
            assert_eq!(folder.text(), before);
            assert!(folder.problems().contains(&problems[0]));
        }
    }

    #[test]
    fn a_difference_in_a_wire_is_named_with_its_position() {
        let folder = Folder::written("wire");
        folder.edit(r#"{\"kind\":"#, r#"{\"kinD\":"#);
        let problems = folder.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("corpus.json: entry a: wire differs at byte 5: "));
    }

    #[test]
    fn an_absent_wire_is_named() {
        let folder = Folder::new("absent", json!([entry("a")]));
        let problems = folder.problems();
        assert!(problems.contains(&"corpus.json: entry a: wire is absent".to_owned()));
    }

    #[test]
    fn versions_formatting_and_an_empty_list_are_compared() {
        let folder = Folder::written("versions");
        let tokio = versions::locked()["tokio"].clone();
        folder.edit(&tokio, "0.0.1");
        folder.edit("\"serde\"", "\"other\"");
        let problems = folder.problems();
        assert!(problems.contains(&"corpus.json: reference: serde is absent".to_owned()));
        assert!(problems.contains(&"corpus.json: reference: other does not belong here".to_owned()));
        assert!(problems.contains(&format!(
            "corpus.json: reference: tokio is 0.0.1, but Cargo.lock has {tokio}"
        )));

        let folder = Folder::written("formatting");
        folder.edit("\n  \"desc", "\n \"desc");
        let problems = folder.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("not formatted as `write` does, from byte "));

        let folder = Folder::new("empty", json!([]));
        write(&folder.0).unwrap();
        assert_eq!(folder.problems(), ["corpus.json: no entries"]);
    }

    #[test]
    fn another_format_is_refused() {
        let folder = Folder::written("format");
        folder.edit("\"format\": 1", "\"format\": 2");
        let before = folder.text();
        let problem = ["corpus.json: format is 2, not 1"];
        assert_eq!(folder.problems(), problem);
        assert_eq!(write(&folder.0).unwrap().problems, problem);
        assert_eq!(folder.text(), before);
    }

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
        fs::remove_dir(folder.0.join(RECORDED)).unwrap();
        assert_eq!(folder.problems(), ["recorded: no recordings"]);
    }

    #[test]
    fn an_unreadable_file_is_an_error_with_its_path() {
        let folder = Folder::written("unreadable");
        folder.put(FILE, "{");
        let error = check(&folder.0).unwrap_err().to_string();
        assert!(error.contains("corpus.json: EOF"), "{error}");
        fs::remove_file(folder.0.join(FILE)).unwrap();
        let error = write(&folder.0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("corpus.json: "), "{error}");
    }
}
