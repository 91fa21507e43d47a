// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! Writes and checks `corpus.json` and `decode.json`, and checks the recorded flows beside them.

mod cases;
mod entries;
mod file;
mod recorded;

use std::io;
use std::path::Path;

use cases::Cases;
use entries::Entries;

/// What came of writing or checking.
#[derive(Debug)]
pub struct Report {
    /// What is wrong, one line each; nothing if all is well.
    pub problems: Vec<String>,
    /// How much was written or checked, in one line.
    pub summary: String,
}

/// Fills in what the reference writes and decides, and its versions.
///
/// A corpus with problems is left as it is.
pub fn write(dir: &Path) -> io::Result<Report> {
    let mut entries = Entries::read(dir)?;
    let mut cases = Cases::read(dir)?;
    let problems = [entries.problems(), cases.problems()].concat();
    if problems.is_empty() {
        entries.write()?;
        cases.write()?;
    }
    let summary = format!("{} entries, {} cases written", entries.len(), cases.len());
    Ok(Report { problems, summary })
}

/// Compares the corpus with what the reference writes and decides.
pub fn check(dir: &Path) -> io::Result<Report> {
    let mut entries = Entries::read(dir)?;
    let mut cases = Cases::read(dir)?;
    entries.check()?;
    cases.check()?;
    let mut problems = [entries.problems(), cases.problems()].concat();
    let (recordings, events) = recorded::check(dir, &mut problems)?;
    let summary = format!(
        "{} entries, {} cases, {recordings} recordings with {events} events",
        entries.len(),
        cases.len()
    );
    Ok(Report { problems, summary })
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::fs;
    use std::path::PathBuf;
    use std::process;

    use serde_json::{json, Value};

    use super::*;
    use crate::versions;

    pub const LINE: &str = r#"{"kind":"flow_error","flow_name":"f","error":"e","timestamp_ms":7}"#;
    const FILES: [&str; 2] = ["corpus.json", "decode.json"];

    /// A folder with a corpus, removed at the end of its test.
    pub struct Folder(pub PathBuf);

    impl Folder {
        pub fn new(test: &str, entries: Value, cases: Value) -> Self {
            let dir = env::temp_dir().join(format!("axon-events-{}-{test}", process::id()));
            fs::create_dir_all(dir.join("recorded")).unwrap();
            let folder = Self(dir);
            let corpus = json!({
                "format": 1,
                "description": "d",
                "d_letter_anchor": "D2",
                "entries": entries,
            });
            folder.put("corpus.json", &corpus.to_string());
            let decode = json!({"format": 1, "description": "d", "cases": cases});
            folder.put("decode.json", &decode.to_string());
            folder.put("recorded/f.jsonl", &format!("{LINE}\n"));
            folder
        }

        pub fn written(test: &str) -> Self {
            let entries = json!([entry("a"), entry("b")]);
            let folder = Self::new(test, entries, json!([case("a"), refused("b")]));
            assert_eq!(folder.write(), [""; 0]);
            folder
        }

        pub fn put(&self, file: &str, text: &str) {
            fs::write(self.0.join(file), text).unwrap();
        }

        pub fn text(&self, file: &str) -> String {
            fs::read_to_string(self.0.join(file)).unwrap()
        }

        pub fn edit(&self, file: &str, from: &str, to: &str) {
            let text = self.text(file);
            assert!(text.contains(from), "{text}");
            self.put(file, &text.replacen(from, to, 1));
        }

        pub fn write(&self) -> Vec<String> {
            write(&self.0).unwrap().problems
        }

        pub fn problems(&self) -> Vec<String> {
            check(&self.0).unwrap().problems
        }

        /// Asserts that `write` names that one problem and writes nothing, and `check` names it too.
        pub fn assert_refused(&self, problem: &str) {
            let before = FILES.map(|file| self.text(file));
            let problems = self.write();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].contains(problem), "{problems:?}");
            assert_eq!(FILES.map(|file| self.text(file)), before);
            assert!(self.problems().contains(&problems[0]));
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    pub fn entry(name: &str) -> Value {
        json!({
            "name": name,
            "variant": "FlowError",
            "expected_json": {"timestamp_ms": 7, "error": "\u{7f}é", "flow_name": "f", "kind": "flow_error"},
        })
    }

    pub fn case(name: &str) -> Value {
        json!({"name": name, "input": format!(" {LINE}")})
    }

    pub fn refused(name: &str) -> Value {
        json!({"name": name, "input": "{}", "reason": "missing-kind"})
    }

    #[test]
    fn what_was_written_checks_and_is_written_the_same_again() {
        let folder = Folder::written("again");
        let report = check(&folder.0).unwrap();
        assert_eq!(report.problems, [""; 0]);
        assert_eq!(
            report.summary,
            "2 entries, 2 cases, 1 recordings with 1 events"
        );
        let before = FILES.map(|file| folder.text(file));
        let report = write(&folder.0).unwrap();
        assert_eq!(report.summary, "2 entries, 2 cases written");
        assert_eq!(FILES.map(|file| folder.text(file)), before);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 3);
    }

    #[test]
    fn problems_of_both_files_are_named() {
        let folder = Folder::new("both", json!([1]), json!([2]));
        let problems = folder.write();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("corpus.json: entry number 0: invalid type"));
        assert!(problems[1].starts_with("decode.json: case number 0: invalid type"));
    }

    #[test]
    fn versions_and_formatting_are_compared() {
        for file in FILES {
            let folder = Folder::written("versions");
            let tokio = versions::locked()["tokio"].clone();
            folder.edit(file, &tokio, "0.0.1");
            folder.edit(file, "\"serde\"", "\"other\"");
            let problems = folder.problems();
            assert!(problems.contains(&format!("{file}: reference: serde is absent")));
            assert!(problems.contains(&format!("{file}: reference: other does not belong here")));
            assert!(problems.contains(&format!(
                "{file}: reference: tokio is 0.0.1, but Cargo.lock has {tokio}"
            )));

            let folder = Folder::written("formatting");
            folder.edit(file, "\n  \"desc", "\n \"desc");
            assert_eq!(
                folder.problems(),
                [format!(
                    "{file}: not formatted as `write` does, from byte 18 on"
                )]
            );
        }
    }

    #[test]
    fn empty_lists_are_named() {
        let folder = Folder::new("empty", json!([]), json!([]));
        assert_eq!(folder.write(), [""; 0]);
        assert_eq!(
            folder.problems(),
            ["corpus.json: no entries", "decode.json: no cases"]
        );
    }

    #[test]
    fn another_format_is_refused() {
        for file in FILES {
            let folder = Folder::written("format");
            folder.edit(file, "\"format\": 1", "\"format\": 2");
            folder.assert_refused(&format!("{file}: format is 2, not 1"));
        }
    }

    #[test]
    fn an_unreadable_file_is_an_error_with_its_path() {
        for file in FILES {
            let folder = Folder::written("unreadable");
            folder.put(file, "{");
            let error = check(&folder.0).unwrap_err().to_string();
            assert!(error.contains(&format!("{file}: EOF")), "{error}");
            fs::remove_file(folder.0.join(file)).unwrap();
            let error = write(&folder.0).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains(&format!("{file}: ")), "{error}");
        }
    }
}
