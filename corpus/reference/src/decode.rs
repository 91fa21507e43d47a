// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! The reference's verdict on any bytes, for programs in other languages to ask.

use std::io::{self, BufRead, BufReader, Read, Write};

use crate::event::FlowExecutionEvent;

/// Room for many documents, so that a long run of them costs few system calls.
const BUFFER: usize = 1 << 16;

/// Answers each line of hex digits, the bytes of one document, with a line `ok` and the event as
/// JSON, or `err` and the reason.
///
/// Answers are flushed whenever all that came is answered, so that a peer can ask and wait.
pub fn run(input: impl Read, out: &mut impl Write) -> io::Result<()> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return out.flush();
        }
        number += 1;
        let Some(document) = unhex(line.strip_suffix(b"\n").unwrap_or(&line)) else {
            out.flush()?;
            let message = format!("line {number} of the input is not hex");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        };
        match serde_json::from_slice::<FlowExecutionEvent>(&document) {
            Ok(event) => writeln!(out, "ok {}", event.to_json())?,
            Err(error) => writeln!(out, "err {}", on_one_line(&error.to_string()))?,
        }
        if input.buffer().is_empty() {
            out.flush()?;
        }
    }
}

/// The bytes that pairs of hex digits stand for, if they are such pairs.
pub(crate) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    fn value(digit: u8) -> Option<u8> {
        char::from(digit).to_digit(16).map(|value| value as u8)
    }
    if digits.len() % 2 == 1 {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?))
        .collect()
}

/// Escapes whatever some reader takes for a line break: messages quote the document's own text.
pub(crate) fn on_one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(document: &str) -> String {
        document.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    fn answers(input: &str) -> (io::Result<()>, String) {
        let mut out = Vec::new();
        let result = run(input.as_bytes(), &mut out);
        (result, String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_line_has_its_answer() {
        let event = r#"{"kind":"flow_error","flow_name":"é","error":"","timestamp_ms":1}"#;
        let input = format!("{}\n\n{}", hex(event), hex(event).to_uppercase());
        let (result, out) = answers(&input);
        result.unwrap();
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines[0], format!("ok {event}"));
        assert!(lines[1].starts_with("err EOF while parsing"), "{out}");
        assert_eq!(lines[2], lines[0]);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn bytes_that_are_no_text_have_an_answer() {
        let (result, out) = answers("ff\n");
        result.unwrap();
        assert!(out.starts_with("err "), "{out}");
    }

    #[test]
    fn a_message_stays_on_its_line() {
        let (result, out) = answers(&hex("{\"kind\":\"a\\nb\\r\\u2028\"}"));
        result.unwrap();
        assert!(
            out.starts_with("err unknown variant `a\\nb\\r\\u{2028}`"),
            "{out}"
        );
        assert_eq!(out.matches('\n').count(), 1);
    }

    #[test]
    fn a_line_that_is_not_hex_ends_the_run_after_the_answers_before_it() {
        for bad in ["7", "zz", "7 ", "é"] {
            let (result, out) = answers(&format!("7b7d\n{bad}\n7b7d\n"));
            assert_eq!(
                result.unwrap_err().to_string(),
                "line 2 of the input is not hex"
            );
            assert_eq!(out.lines().count(), 1);
        }
    }
}
