// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! Runs a scripted flow over a real channel, in real time, to record what a receiver sees.

mod scripts;
mod tokens;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::sleep;

use crate::event::{now_ms, FlowExecutionEvent};

/// A flow as its backend will play it.
#[derive(Debug)]
pub struct Flow {
    name: &'static str,
    backend: &'static str,
    steps: &'static [Step],
    /// What breaks the flow off after its last step.
    error: Option<&'static str>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    step_type: &'static str,
    delivery: Delivery,
    thinking_ms: u64,
    tokens_input: u64,
    parts: &'static [Part],
    success: bool,
}

/// How a step's output becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    /// A token for each chunk as it arrives.
    Streamed,
    /// One token with the whole output before the step completes.
    WholeBefore,
    /// One token with the whole output right after the step completed.
    WholeAfter,
}

#[derive(Debug)]
enum Part {
    Text(&'static str),
    ToolCall {
        tool_name: &'static str,
        content: &'static str,
    },
}

/// The flow of that name, if there is one.
pub fn flow(name: &str) -> Option<&'static Flow> {
    match name {
        "report" => Some(&scripts::REPORT),
        "failed" => Some(&scripts::FAILED),
        "unstreamed" => Some(&scripts::UNSTREAMED),
        _ => None,
    }
}

/// Plays the flow and writes each event as a line of JSON when it is received.
pub fn run(flow: &'static Flow, out: &mut impl Write) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    runtime.block_on(async {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let producer = tokio::spawn(play(flow, sender));
        while let Some(event) = receiver.recv().await {
            writeln!(out, "{}", event.to_json())?;
            out.flush()?;
        }
        let played = producer.await.map_err(io::Error::other)?;
        played.map_err(io::Error::other)
    })
}

type Sent = Result<(), SendError<FlowExecutionEvent>>;

async fn play(flow: &'static Flow, sender: UnboundedSender<FlowExecutionEvent>) -> Sent {
    let started = Instant::now();
    sender.send(FlowExecutionEvent::FlowStart {
        flow_name: flow.name.to_owned(),
        backend: flow.backend.to_owned(),
        timestamp_ms: now_ms(),
    })?;

    let mut producer = Producer {
        sender,
        tokens_sent: 0,
        tokens_input: 0,
        tokens_output: 0,
    };
    for (step_index, step) in flow.steps.iter().enumerate() {
        producer.play_step(step_index, step).await?;
    }

    producer.sender.send(match flow.error {
        None => FlowExecutionEvent::FlowComplete {
            flow_name: flow.name.to_owned(),
            backend: flow.backend.to_owned(),
            success: flow.steps.iter().all(|step| step.success),
            steps_executed: flow.steps.len(),
            tokens_input: producer.tokens_input,
            tokens_output: producer.tokens_output,
            latency_ms: started.elapsed().as_millis() as u64,
            timestamp_ms: now_ms(),
        },
        Some(error) => FlowExecutionEvent::FlowError {
            flow_name: flow.name.to_owned(),
            error: error.to_owned(),
            timestamp_ms: now_ms(),
        },
    })
}

struct Producer {
    sender: UnboundedSender<FlowExecutionEvent>,
    tokens_sent: u64,
    tokens_input: u64,
    tokens_output: u64,
}

impl Producer {
    async fn play_step(&mut self, step_index: usize, step: &Step) -> Sent {
        self.sender.send(FlowExecutionEvent::StepStart {
            step_name: step.name.to_owned(),
            step_index,
            step_type: step.step_type.to_owned(),
            timestamp_ms: now_ms(),
        })?;
        sleep(Duration::from_millis(step.thinking_ms)).await;

        let mut full_output = String::new();
        let mut tokens_output = 0;
        for part in step.parts {
            match part {
                Part::Text(text) => {
                    for token in tokens::split(text) {
                        sleep(pause_before(tokens_output)).await;
                        full_output.push_str(token);
                        tokens_output += 1;
                        if step.delivery == Delivery::Streamed {
                            self.send_token(step, token)?;
                        }
                    }
                }
                Part::ToolCall { tool_name, content } => {
                    self.sender.send(FlowExecutionEvent::ToolCall {
                        step_name: step.name.to_owned(),
                        tool_name: (*tool_name).to_owned(),
                        content: (*content).to_owned(),
                        timestamp_ms: now_ms(),
                    })?;
                    sleep(Duration::from_millis(step.thinking_ms)).await;
                }
            }
        }
        self.tokens_input += step.tokens_input;
        self.tokens_output += tokens_output;

        if step.delivery == Delivery::WholeBefore {
            self.send_token(step, &full_output)?;
        }
        self.sender.send(FlowExecutionEvent::StepComplete {
            step_name: step.name.to_owned(),
            step_index,
            success: step.success,
            full_output: full_output.clone(),
            tokens_input: step.tokens_input,
            tokens_output,
            timestamp_ms: now_ms(),
        })?;
        if step.delivery == Delivery::WholeAfter {
            self.send_token(step, &full_output)?;
        }
        Ok(())
    }

    fn send_token(&mut self, step: &Step, content: &str) -> Sent {
        self.tokens_sent += 1;
        self.sender.send(FlowExecutionEvent::StepToken {
            step_name: step.name.to_owned(),
            content: content.to_owned(),
            token_index: self.tokens_sent,
            timestamp_ms: now_ms(),
        })
    }
}

/// Uneven, as the arrival of tokens is, but the same in every run.
fn pause_before(token: u64) -> Duration {
    Duration::from_millis(1 + token * token % 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(name: &str) -> Vec<FlowExecutionEvent> {
        let mut out = Vec::new();
        run(flow(name).unwrap(), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// A letter for each event: `(` and `)` for a flow, `[` and `]` for a step, `.` for a token.
    fn shape(events: &[FlowExecutionEvent]) -> String {
        let letter = |event: &FlowExecutionEvent| match event {
            FlowExecutionEvent::FlowStart { .. } => '(',
            FlowExecutionEvent::StepStart { .. } => '[',
            FlowExecutionEvent::StepToken { .. } => '.',
            FlowExecutionEvent::ToolCall { .. } => 't',
            FlowExecutionEvent::StepComplete { .. } => ']',
            FlowExecutionEvent::FlowComplete { .. } => ')',
            FlowExecutionEvent::FlowError { .. } => '!',
        };
        events.iter().map(letter).collect()
    }

    fn text_of(events: &[FlowExecutionEvent]) -> String {
        let mut text = String::new();
        let mut last = 0;
        for event in events {
            if let FlowExecutionEvent::StepToken {
                content,
                token_index,
                ..
            } = event
            {
                assert_eq!(*token_index, last + 1);
                last = *token_index;
                text.push_str(content);
            }
        }
        text
    }

    fn outputs_of(events: &[FlowExecutionEvent]) -> String {
        let output = |event: &FlowExecutionEvent| match event {
            FlowExecutionEvent::StepComplete { full_output, .. } => Some(full_output.clone()),
            _ => None,
        };
        events.iter().filter_map(output).collect()
    }

    #[test]
    fn the_report_streams_many_tokens_and_calls_a_tool() {
        let events = events("report");
        let shape = shape(&events);
        assert!(shape.matches('.').count() > 500);
        let steps = shape.replace('.', "");
        assert_eq!(steps, "([t][][][])");
        assert_eq!(text_of(&events), outputs_of(&events));
    }

    #[test]
    fn the_failed_flow_ends_in_an_error_after_its_unfinished_output() {
        let events = events("failed");
        assert_eq!(shape(&events).replace('.', ""), "([][]!");
        assert_eq!(text_of(&events), outputs_of(&events));
        let FlowExecutionEvent::StepComplete { success, .. } = events[events.len() - 2] else {
            panic!("the last step does not end before the flow");
        };
        assert!(!success);
    }

    #[test]
    fn the_unstreamed_flow_has_one_token_for_each_step() {
        let events = events("unstreamed");
        assert_eq!(shape(&events), "([].[.][].)");
        assert_eq!(text_of(&events), outputs_of(&events));
    }

    #[test]
    fn other_names_are_no_flows() {
        assert!(flow("Report").is_none());
    }
}
