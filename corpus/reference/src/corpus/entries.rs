// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! `corpus.json`: what is written for an event.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::{text_difference, File};
use crate::event::FlowExecutionEvent;
use crate::versions;

/// The file: as it is found with `Value` for an entry, to be written with [`Entry`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content<E> {
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

/// `corpus.json` as far as it was understood.
pub struct Entries {
    file: File,
    content: Content<Entry>,
}

impl Entries {
    /// Reads the file and notes what cannot be understood.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut file = File::read(dir, "corpus.json", ["entry", "entries"])?;
        let found: Content<Value> = file.parse()?;
        let entries = file.understand(found.format, &found.entries, Entry::understand);
        let content = Content {
            format: found.format,
            description: found.description,
            d_letter_anchor: found.d_letter_anchor,
            reference: found.reference,
            entries,
        };
        Ok(Self { file, content })
    }

    /// How many entries were understood.
    pub fn len(&self) -> usize {
        self.content.entries.len()
    }

    /// What is wrong with the file, one line each.
    pub fn problems(&self) -> &[String] {
        self.file.problems()
    }

    /// Fills in what the reference says.
    pub fn write(&mut self) -> io::Result<()> {
        self.content.reference = versions::locked();
        for entry in &mut self.content.entries {
            entry.wire = Some(entry.expected_json.to_json());
        }
        self.file.replace(&self.content)
    }

    /// Notes the differences from what the reference says.
    pub fn check(&mut self) -> io::Result<()> {
        self.file
            .compare(&self.content, &self.content.reference, self.len())?;
        for entry in &self.content.entries {
            if let Some(difference) = entry.difference() {
                self.file.report_item(&entry.name, &difference);
            }
        }
        Ok(())
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

    fn difference(&self) -> Option<String> {
        let Some(found) = &self.wire else {
            return Some("wire is absent".to_owned());
        };
        let difference = text_difference(&self.expected_json.to_json(), found)?;
        Some(format!("wire {difference}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{case, entry, Folder};
    use super::*;

    const FILE: &str = "corpus.json";

    #[test]
    fn the_wire_is_filled_in() {
        let text = Folder::written("wire-text").text(FILE);
        assert!(text.is_ascii());
        assert!(text.contains(r#""kind": "flow_error","#));
        assert!(text.contains(r#"\"error\":\"\u007f\u00e9\""#), "{text}");
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
        let rows = [
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
        for (bad, problem) in rows {
            let folder = Folder::new("entry", json!([entry("a"), bad]), json!([case("a")]));
            folder.assert_refused(problem);
        }
    }

    #[test]
    fn a_difference_in_a_wire_is_named_with_its_position() {
        let folder = Folder::written("wire");
        folder.edit(FILE, r#"{\"kind\":"#, r#"{\"kinD\":"#);
        let problems = folder.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("corpus.json: entry a: wire differs at byte 5: "));
    }

    #[test]
    fn an_absent_wire_is_named() {
        let folder = Folder::new("absent", json!([entry("a")]), json!([case("a")]));
        let problems = folder.problems();
        assert!(problems.contains(&"corpus.json: entry a: wire is absent".to_owned()));
    }
}
