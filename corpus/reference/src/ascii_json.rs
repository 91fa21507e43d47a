// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! Indented JSON in ASCII, which no editor, terminal or diff can show wrongly.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Writes `value` with an indent of two spaces, every character from U+007F on as `\uXXXX`, and a
/// newline at the end.
pub fn to_vec<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut out = Vec::new();
    value.serialize(&mut Serializer::with_formatter(
        &mut out,
        AsciiFormatter(PrettyFormatter::new()),
    ))?;
    out.push(b'\n');
    Ok(out)
}

struct AsciiFormatter(PrettyFormatter<'static>);

impl Formatter for AsciiFormatter {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for c in fragment.chars() {
            if c < '\u{7f}' {
                writer.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text<T: Serialize>(value: &T) -> String {
        String::from_utf8(to_vec(value).unwrap()).unwrap()
    }

    #[test]
    fn characters_beyond_ascii_are_escaped() {
        assert_eq!(
            text(&"~\u{7f}\u{80}é\u{2028}\u{ffff}\u{1d11e}\u{10ffff}"),
            "\"~\\u007f\\u0080\\u00e9\\u2028\\uffff\\ud834\\udd1e\\udbff\\udfff\"\n"
        );
    }

    #[test]
    fn ascii_is_escaped_as_usual() {
        assert_eq!(text(&"\"\\/\n\u{1f}"), "\"\\\"\\\\/\\n\\u001f\"\n");
    }

    #[test]
    fn values_are_indented_by_two_spaces() {
        assert_eq!(
            text(&json!({"é": [1, {}], "b": []})),
            "{\n  \"b\": [],\n  \"\\u00e9\": [\n    1,\n    {}\n  ]\n}\n"
        );
    }
}
