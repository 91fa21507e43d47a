// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! The command line of the reference.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use axon_events_reference::corpus::{self, Report};
use axon_events_reference::{decode, record};

const USAGE: &str = "\
usage: axon-events-reference write CORPUS_DIR
           fill in what the reference says in corpus.json and decode.json: the wire texts, the
           verdicts with the canonical forms, and the versions
       axon-events-reference check CORPUS_DIR
           compare corpus.json, decode.json and recorded/*.jsonl with the reference
       axon-events-reference decode
           answer each line of hex, a document's bytes, with `ok JSON` or `err REASON`
       axon-events-reference record report|failed|unstreamed
           run that flow and print its events

exit status: 0 good, 1 differences or a corpus that cannot be written,
             2 wrong usage or unreadable input
";

fn main() -> ExitCode {
    match run() {
        Ok(status) => status,
        // Whoever closes the pipe has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "axon-events-reference: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> io::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut args = env::args_os().skip(1);
    let (command, operand, excess) = (args.next(), args.next(), args.next());
    let command = command.as_deref().and_then(OsStr::to_str);
    match (command, operand.as_deref(), excess) {
        (Some("write"), Some(dir), None) => tell(&corpus::write(Path::new(dir))?, &mut out),
        (Some("check"), Some(dir), None) => tell(&corpus::check(Path::new(dir))?, &mut out),
        (Some("decode"), None, None) => {
            decode::run(io::stdin().lock(), &mut out)?;
            Ok(ExitCode::SUCCESS)
        }
        (Some("record"), Some(name), None) => match name.to_str().and_then(record::flow) {
            Some(flow) => {
                record::run(flow, &mut out)?;
                Ok(ExitCode::SUCCESS)
            }
            None => refuse(),
        },
        (Some("-h" | "--help"), None, None) => {
            out.write_all(USAGE.as_bytes())?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        _ => refuse(),
    }
}

fn refuse() -> io::Result<ExitCode> {
    io::stderr().write_all(USAGE.as_bytes())?;
    Ok(ExitCode::from(2))
}

fn tell(report: &Report, out: &mut impl Write) -> io::Result<ExitCode> {
    let (status, lines) = if report.problems.is_empty() {
        (ExitCode::SUCCESS, report.summary.clone())
    } else {
        (ExitCode::from(1), report.problems.join("\n"))
    };
    match writeln!(out, "{lines}").and_then(|()| out.flush()) {
        // The verdict stands even if nobody reads the reasons.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(status),
    }
}
