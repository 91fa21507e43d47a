// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! The events that the runner of a flow reports.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

// On a narrower target the `usize` fields would refuse values that the wire format allows.
const _: () = assert!(usize::BITS == 64);

/// What happens while a flow runs, one value for each thing that happens.
///
/// The names and the order of the fields are the wire format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FlowExecutionEvent {
    /// The flow began: the first event of every stream.
    FlowStart {
        /// Name of the flow.
        flow_name: String,
        /// Name of the backend that runs it.
        backend: String,
        /// When, in Unix milliseconds.
        timestamp_ms: u64,
    },
    /// A step began.
    StepStart {
        /// Name of the step.
        step_name: String,
        /// Position of the step in the flow, from 0.
        step_index: usize,
        /// The step's type as the flow's source declares it.
        step_type: String,
        /// When, in Unix milliseconds.
        timestamp_ms: u64,
    },
    /// A piece of a step's output arrived.
    StepToken {
        /// Name of the step.
        step_name: String,
        /// The piece of text.
        content: String,
        /// Counter over all tokens of the flow, from 1.
        token_index: u64,
        /// When, in Unix milliseconds.
        timestamp_ms: u64,
    },
    /// A step ended.
    StepComplete {
        /// Name of the step.
        step_name: String,
        /// Position of the step in the flow, from 0.
        step_index: usize,
        /// Whether the step did what it was to do.
        success: bool,
        /// The whole output of the step.
        full_output: String,
        /// Tokens that the step read.
        tokens_input: u64,
        /// Tokens that the step wrote.
        tokens_output: u64,
        /// When, in Unix milliseconds.
        timestamp_ms: u64,
    },
    /// A step called a tool.
    ToolCall {
        /// Name of the step.
        step_name: String,
        /// Name of the tool.
        tool_name: String,
        /// The provider's payload, as text.
        content: String,
        /// When, in Unix milliseconds.
        timestamp_ms: u64,
    },
    /// The flow ran to its end: the last event of its stream.
    FlowComplete {
        /// Name of the flow.
        flow_name: String,
        /// Name of the backend that ran it.
        backend: String,
        /// Whether the result is good.
        success: bool,
        /// Number of steps that ran.
        steps_executed: usize,
        /// Tokens that all steps read.
        tokens_input: u64,
        /// Tokens that all steps wrote.
        tokens_output: u64,
        /// Duration of the flow in milliseconds.
        latency_ms: u64,
        /// When, in Unix milliseconds.
        timestamp_ms: u64,
    },
    /// The flow broke off: the last event of its stream.
    FlowError {
        /// Name of the flow.
        flow_name: String,
        /// What went wrong.
        error: String,
        /// When, in Unix milliseconds.
        timestamp_ms: u64,
    },
}

impl FlowExecutionEvent {
    /// The value of `kind` on the wire.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FlowStart { .. } => "flow_start",
            Self::StepStart { .. } => "step_start",
            Self::StepToken { .. } => "step_token",
            Self::StepComplete { .. } => "step_complete",
            Self::ToolCall { .. } => "tool_call",
            Self::FlowComplete { .. } => "flow_complete",
            Self::FlowError { .. } => "flow_error",
        }
    }

    /// The name of the variant, as in Rust so in the Python class.
    pub fn variant(&self) -> &'static str {
        match self {
            Self::FlowStart { .. } => "FlowStart",
            Self::StepStart { .. } => "StepStart",
            Self::StepToken { .. } => "StepToken",
            Self::StepComplete { .. } => "StepComplete",
            Self::ToolCall { .. } => "ToolCall",
            Self::FlowComplete { .. } => "FlowComplete",
            Self::FlowError { .. } => "FlowError",
        }
    }

    /// Whether the event ends its stream.
    pub fn is_terminator(&self) -> bool {
        match self {
            Self::FlowComplete { .. } | Self::FlowError { .. } => true,
            Self::FlowStart { .. }
            | Self::StepStart { .. }
            | Self::StepToken { .. }
            | Self::StepComplete { .. }
            | Self::ToolCall { .. } => false,
        }
    }

    /// Whether the event belongs to a step.
    pub fn is_step_scoped(&self) -> bool {
        match self {
            Self::StepStart { .. }
            | Self::StepToken { .. }
            | Self::StepComplete { .. }
            | Self::ToolCall { .. } => true,
            Self::FlowStart { .. } | Self::FlowComplete { .. } | Self::FlowError { .. } => false,
        }
    }

    /// The event as one JSON document.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an event holds only strings, integers and booleans")
    }
}

/// The time now in Unix milliseconds, rounded down; 0 before 1970.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(json: &str) -> Result<FlowExecutionEvent, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    fn token(content: &str, token_index: u64) -> FlowExecutionEvent {
        FlowExecutionEvent::StepToken {
            step_name: "s".into(),
            content: content.into(),
            token_index,
            timestamp_ms: 7,
        }
    }

    fn one_of_each() -> [(FlowExecutionEvent, &'static str); 7] {
        [
            (
                FlowExecutionEvent::FlowStart {
                    flow_name: "f".into(),
                    backend: "b".into(),
                    timestamp_ms: 1,
                },
                r#"{"kind":"flow_start","flow_name":"f","backend":"b","timestamp_ms":1}"#,
            ),
            (
                FlowExecutionEvent::StepStart {
                    step_name: "s".into(),
                    step_index: 0,
                    step_type: "t".into(),
                    timestamp_ms: 2,
                },
                r#"{"kind":"step_start","step_name":"s","step_index":0,"step_type":"t","timestamp_ms":2}"#,
            ),
            (
                FlowExecutionEvent::StepToken {
                    step_name: "s".into(),
                    content: "c".into(),
                    token_index: 1,
                    timestamp_ms: 3,
                },
                r#"{"kind":"step_token","step_name":"s","content":"c","token_index":1,"timestamp_ms":3}"#,
            ),
            (
                FlowExecutionEvent::StepComplete {
                    step_name: "s".into(),
                    step_index: 0,
                    success: true,
                    full_output: "c".into(),
                    tokens_input: 5,
                    tokens_output: 1,
                    timestamp_ms: 4,
                },
                r#"{"kind":"step_complete","step_name":"s","step_index":0,"success":true,"full_output":"c","tokens_input":5,"tokens_output":1,"timestamp_ms":4}"#,
            ),
            (
                FlowExecutionEvent::ToolCall {
                    step_name: "s".into(),
                    tool_name: "t".into(),
                    content: "{}".into(),
                    timestamp_ms: 5,
                },
                r#"{"kind":"tool_call","step_name":"s","tool_name":"t","content":"{}","timestamp_ms":5}"#,
            ),
            (
                FlowExecutionEvent::FlowComplete {
                    flow_name: "f".into(),
                    backend: "b".into(),
                    success: false,
                    steps_executed: 1,
                    tokens_input: 5,
                    tokens_output: 1,
                    latency_ms: 6,
                    timestamp_ms: 6,
                },
                r#"{"kind":"flow_complete","flow_name":"f","backend":"b","success":false,"steps_executed":1,"tokens_input":5,"tokens_output":1,"latency_ms":6,"timestamp_ms":6}"#,
            ),
            (
                FlowExecutionEvent::FlowError {
                    flow_name: "f".into(),
                    error: "e".into(),
                    timestamp_ms: 7,
                },
                r#"{"kind":"flow_error","flow_name":"f","error":"e","timestamp_ms":7}"#,
            ),
        ]
    }

    #[test]
    fn each_variant_has_its_wire_text_and_comes_back_from_it() {
        for (event, wire) in one_of_each() {
            assert_eq!(event.to_json(), wire);
            assert_eq!(decode(wire), Ok(event));
        }
    }

    #[test]
    fn kind_is_the_serialized_tag() {
        for (event, _) in one_of_each() {
            assert_eq!(serde_json::to_value(&event).unwrap()["kind"], event.kind());
        }
    }

    #[test]
    fn variant_is_the_name_that_debug_prints() {
        for (event, _) in one_of_each() {
            assert!(format!("{event:?}").starts_with(&format!("{} {{", event.variant())));
        }
    }

    #[test]
    fn predicates_divide_the_variants() {
        for (event, _) in one_of_each() {
            let kind = event.kind();
            assert_eq!(
                event.is_terminator(),
                ["flow_complete", "flow_error"].contains(&kind)
            );
            assert_eq!(event.is_step_scoped(), !kind.starts_with("flow_"));
        }
    }

    #[test]
    fn strings_are_escaped_no_more_than_json_demands() {
        let event = token("\"\\/\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}\u{2028}é😀", 1);
        let wire = r#"{"kind":"step_token","step_name":"s","content":"\"\\/\n\r\t\b\f\u0000\u001f"#
            .to_owned()
            + "\u{7f}\u{2028}é😀\",\"token_index\":1,\"timestamp_ms\":7}";
        assert_eq!(event.to_json(), wire);
        assert_eq!(decode(&wire), Ok(event));
    }

    #[test]
    fn integers_span_all_of_u64() {
        let event = token("", u64::MAX);
        let wire = event.to_json();
        assert!(wire.contains(r#""token_index":18446744073709551615,"#));
        assert_eq!(decode(&wire), Ok(event));
        for bad in ["18446744073709551616", "-1", "-0", "1.0", "1e2", "\"1\""] {
            assert!(decode(&wire.replace("18446744073709551615", bad)).is_err());
        }
    }

    #[test]
    fn keys_come_in_any_order_and_unknown_ones_are_ignored() {
        let json = r#" { "new":[{"x":null}], "timestamp_ms":7, "content":"c", "new":1,
            "token_index":1, "step_name":"s", "kind":"step_token" } "#;
        assert_eq!(decode(json), Ok(token("c", 1)));
    }

    #[test]
    fn a_field_twice_or_absent_is_refused() {
        let error = r#"{"kind":"flow_error","flow_name":"f","error":"e","timestamp_ms":7"#;
        let twice = decode(&format!(r#"{error},"error":"e"}}"#)).unwrap_err();
        assert!(twice.contains("duplicate field `error`"), "{twice}");
        let kind_twice = decode(&format!(r#"{error},"kind":"flow_error"}}"#)).unwrap_err();
        assert!(
            kind_twice.contains("duplicate field `kind`"),
            "{kind_twice}"
        );
        let absent = decode(r#"{"kind":"flow_error","flow_name":"f","error":"e"}"#).unwrap_err();
        assert!(absent.contains("missing field `timestamp_ms`"), "{absent}");
    }

    #[test]
    fn an_unknown_or_absent_kind_is_refused() {
        let unknown = decode(r#"{"kind":"FlowStart"}"#).unwrap_err();
        assert!(unknown.contains("unknown variant `FlowStart`"), "{unknown}");
        let absent = decode(r#"{"flow_name":"f"}"#).unwrap_err();
        assert!(absent.contains("missing field `kind`"), "{absent}");
    }

    #[test]
    fn now_is_in_milliseconds() {
        let year_2020 = 1_577_836_800_000;
        let year_3000 = 32_503_680_000_000;
        assert!((year_2020..year_3000).contains(&now_ms()));
    }
}
