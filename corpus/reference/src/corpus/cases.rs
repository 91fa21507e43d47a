// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! `decode.json`: which documents are accepted, and which refused.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::ops::Not;
use std::path::Path;
use std::str;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::{text_difference, File};
use crate::decode::unhex;
use crate::event::FlowExecutionEvent;
use crate::versions;

/// The file: as it is found with `Value` for a case, to be written with [`Case`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content<C> {
    format: u64,
    description: String,
    #[serde(default)]
    reference: BTreeMap<String, String>,
    cases: Vec<C>,
}

/// A document and the verdict on it; `reason` and `exception` are by hand.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    /// Whether `axon_events` decides otherwise than the reference, as it declares.
    #[serde(default, skip_serializing_if = "Not::not")]
    exception: bool,
    /// The event as the reference writes it, if it accepts the document.
    #[serde(skip)]
    accepted: Option<String>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Accept,
    Reject,
}

/// Why `axon_events` refuses a document.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Reason {
    NotUtf8,
    NotJson,
    NotAnObject,
    MissingKind,
    UnknownKind,
    MissingField,
    DuplicateField,
    WrongType,
    OutOfRange,
}

/// `decode.json` as far as it was understood.
pub struct Cases {
    file: File,
    content: Content<Case>,
}

impl Cases {
    /// Reads the file and notes what cannot be understood.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut file = File::read(dir, "decode.json", ["case", "cases"])?;
        let found: Content<Value> = file.parse()?;
        let cases = file.understand(found.format, &found.cases, Case::understand);
        let content = Content {
            format: found.format,
            description: found.description,
            reference: found.reference,
            cases,
        };
        Ok(Self { file, content })
    }

    /// How many cases were understood.
    pub fn len(&self) -> usize {
        self.content.cases.len()
    }

    /// What is wrong with the file, one line each.
    pub fn problems(&self) -> &[String] {
        self.file.problems()
    }

    /// Fills in what the reference says.
    pub fn write(&mut self) -> io::Result<()> {
        self.content.reference = versions::locked();
        for case in &mut self.content.cases {
            case.fill();
        }
        self.file.replace(&self.content)
    }

    /// Notes the differences from what the reference says.
    pub fn check(&mut self) -> io::Result<()> {
        self.file
            .compare(&self.content, &self.content.reference, self.len())?;
        for case in &self.content.cases {
            if let Some(difference) = case.difference() {
                self.file.report_item(&case.name, &difference);
            }
        }
        Ok(())
    }
}

impl Case {
    fn understand(found: &Value) -> Result<Self, String> {
        let mut case = Self::deserialize(found).map_err(|error| error.to_string())?;
        let decoded = serde_json::from_slice::<FlowExecutionEvent>(&case.document()?);
        match (&decoded, &case.reason, case.exception) {
            (Err(error), None, false) => {
                return Err(format!("reason is absent, but the reference says: {error}"));
            }
            (Ok(_), Some(_), false) => {
                return Err("reason is given, but the reference accepts".to_owned());
            }
            (Ok(_), None, true) | (Err(_), Some(_), true) => {
                return Err("exception is true, but both sides agree".to_owned());
            }
            _ => {}
        }
        case.accepted = decoded.ok().map(|event| event.to_json());
        Ok(case)
    }

    fn document(&self) -> Result<Cow<'_, [u8]>, String> {
        match (&self.input, &self.input_hex) {
            (Some(text), None) => Ok(Cow::Borrowed(text.as_bytes())),
            (None, Some(digits)) => {
                let bytes = unhex(digits.as_bytes())
                    .filter(|_| !digits.contains(|digit: char| digit.is_ascii_uppercase()))
                    .ok_or("input_hex is not pairs of lower-case hex digits")?;
                if str::from_utf8(&bytes).is_ok() {
                    return Err("input_hex is UTF-8, which belongs in input".to_owned());
                }
                Ok(Cow::Owned(bytes))
            }
            (Some(_), Some(_)) => Err("input and input_hex are both given".to_owned()),
            (None, None) => Err("input and input_hex are both absent".to_owned()),
        }
    }

    fn fill(&mut self) {
        self.verdict = Some(match self.accepted {
            Some(_) => Verdict::Accept,
            None => Verdict::Reject,
        });
        self.canonical.clone_from(&self.accepted);
    }

    fn difference(&self) -> Option<String> {
        let difference = match (self.verdict, &self.canonical, &self.accepted) {
            (None, _, _) => "verdict is absent",
            (Some(Verdict::Accept), _, None) => "verdict is accept, but the reference refuses",
            (Some(Verdict::Reject), _, Some(_)) => "verdict is reject, but the reference accepts",
            (Some(Verdict::Reject), None, None) => return None,
            (Some(Verdict::Reject), Some(_), None) => "canonical is given, but nothing is accepted",
            (Some(Verdict::Accept), None, Some(_)) => "canonical is absent",
            (Some(Verdict::Accept), Some(found), Some(expected)) => {
                let difference = text_difference(expected, found)?;
                return Some(format!("canonical {difference}"));
            }
        };
        Some(difference.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{case, entry, refused, Folder, LINE};
    use super::*;

    const FILE: &str = "decode.json";
    const ARRAY: &str = r#"["flow_error","f","e",7]"#;
    const EDGE: &str = r#"{"kind":"flow_error","flow_name":"f","error":"e","timestamp_ms":7,"n":1.7976931348623158e308}"#;

    fn folder(test: &str, cases: Value) -> Folder {
        Folder::new(test, json!([entry("a")]), cases)
    }

    /// The cases after the reference filled them in.
    fn filled(test: &str, cases: Value) -> Value {
        let folder = folder(test, cases);
        assert_eq!(folder.write(), [""; 0]);
        assert_eq!(folder.problems(), [""; 0]);
        let mut content: Value = serde_json::from_str(&folder.text(FILE)).unwrap();
        content["cases"].take()
    }

    #[test]
    fn verdict_and_canonical_form_are_filled_in() {
        let bytes = json!({"name": "c", "input_hex": "7bff", "reason": "not-utf8"});
        let cases = filled("filled", json!([case("a"), refused("b"), bytes]));
        assert_eq!(
            cases[0],
            json!({"name": "a", "input": format!(" {LINE}"), "verdict": "accept", "canonical": LINE})
        );
        assert_eq!(
            cases[1],
            json!({"name": "b", "input": "{}", "verdict": "reject", "reason": "missing-kind"})
        );
        assert_eq!(
            cases[2],
            json!({"name": "c", "input_hex": "7bff", "verdict": "reject", "reason": "not-utf8"})
        );
    }

    #[test]
    fn what_was_filled_in_wrongly_is_replaced() {
        let mut wrong = case("a");
        wrong["verdict"] = json!("reject");
        let mut stale = refused("b");
        stale["verdict"] = json!("accept");
        stale["canonical"] = json!(LINE);
        assert_eq!(
            filled("wrongly", json!([wrong, stale])),
            filled("rightly", json!([case("a"), refused("b")]))
        );
    }

    #[test]
    fn an_exception_goes_against_the_verdict() {
        let taken = json!({
            "name": "a", "input": ARRAY, "reason": "not-an-object", "exception": true,
        });
        let refused = json!({"name": "b", "input": EDGE, "exception": true});
        let cases = filled("exception", json!([taken, refused]));
        assert_eq!(cases[0]["verdict"], "accept");
        assert_eq!(cases[0]["canonical"], LINE);
        assert_eq!(cases[0]["reason"], "not-an-object");
        assert_eq!(cases[1]["verdict"], "reject");
        assert!(cases[1].get("reason").is_none());
    }

    #[test]
    fn the_keys_of_a_case_have_one_order() {
        let folder = folder(
            "order",
            json!([{"name": "a", "input": ARRAY, "reason": "not-an-object", "exception": true}]),
        );
        folder.write();
        let text = folder.text(FILE);
        let position = |key: &str| text.find(&format!("\"{key}\": ")).unwrap();
        let keys = [
            "name",
            "input",
            "verdict",
            "canonical",
            "reason",
            "exception",
        ];
        assert!(keys.map(position).is_sorted(), "{text}");
    }

    #[test]
    fn a_bad_case_is_named_and_nothing_is_written() {
        let edited = |mut bad: Value, key: &str, value: Value| {
            bad[key] = value;
            bad
        };
        let hex = |digits: &str| json!({"name": "bad", "input_hex": digits, "reason": "not-utf8"});
        let rows = [
            (case("a"), "case a: the name is taken"),
            (
                json!({"name": "bad"}),
                "input and input_hex are both absent",
            ),
            (
                edited(case("bad"), "input_hex", json!("ff")),
                "input and input_hex are both given",
            ),
            (hex("f"), "input_hex is not pairs of lower-case hex digits"),
            (hex("FF"), "input_hex is not pairs of lower-case hex digits"),
            (hex("fg"), "input_hex is not pairs of lower-case hex digits"),
            (hex("7b7d"), "input_hex is UTF-8, which belongs in input"),
            (
                json!({"name": "bad", "input": "{}"}),
                "reason is absent, but the reference says: missing field `kind`",
            ),
            (
                json!({"name": "bad", "input": r#"{"kind":"a\nb"}"#}),
                "reason is absent, but the reference says: unknown variant `a\\nb`",
            ),
            (
                edited(case("bad"), "reason", json!("not-json")),
                "reason is given, but the reference accepts",
            ),
            (
                edited(refused("bad"), "reason", json!("not-xml")),
                "unknown variant `not-xml`",
            ),
            (
                edited(case("bad"), "exception", json!(true)),
                "exception is true, but both sides agree",
            ),
            (
                edited(refused("bad"), "exception", json!(true)),
                "exception is true, but both sides agree",
            ),
            (
                edited(case("bad"), "verdict", json!("accepted")),
                "unknown variant `accepted`",
            ),
            (
                edited(case("bad"), "accepted", json!(LINE)),
                "unknown field `accepted`",
            ),
            (json!("bad"), "case number 1: invalid type"),
        ];
        for (bad, problem) in rows {
            folder("case", json!([case("a"), bad])).assert_refused(problem);
        }
    }

    #[test]
    fn each_difference_is_named() {
        let accepts = format!("\"verdict\": \"accept\",\n      \"canonical\": {:?}", LINE);
        let refuses = "\"verdict\": \"reject\",\n      \"reason\"";
        let rows = [
            (
                accepts.as_str(),
                accepts.replace("accept", "reject"),
                "case a: verdict is reject, but the reference accepts",
            ),
            (
                refuses,
                refuses.replace("reject", "accept"),
                "case b: verdict is accept, but the reference refuses",
            ),
            (
                refuses,
                refuses.replace("\"reason\"", "\"canonical\": \"{}\",\n      \"reason\""),
                "case b: canonical is given, but nothing is accepted",
            ),
            (
                accepts.as_str(),
                "\"verdict\": \"accept\"".to_owned(),
                "case a: canonical is absent",
            ),
            (
                r#""canonical": "{\"kind\":"#,
                r#""canonical": "{\"kinD\":"#.to_owned(),
                "case a: canonical differs at byte 5: expected ",
            ),
        ];
        for (from, to, problem) in rows {
            let folder = Folder::written("difference");
            folder.edit(FILE, from, &to);
            let problems = folder.problems();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(
                problems[0].starts_with(&format!("decode.json: {problem}")),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn an_absent_verdict_is_named() {
        let problems = folder("verdict", json!([refused("a")])).problems();
        assert!(problems.contains(&"decode.json: case a: verdict is absent".to_owned()));
    }
}
