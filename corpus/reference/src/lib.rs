// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

//! The reference of the `axon_events` wire format: the events as a Rust enum with serde's derived
//! encoder and decoder, and what writes and checks the corpus by it.

pub mod ascii_json;
pub mod corpus;
pub mod decode;
pub mod event;
pub mod record;
pub mod versions;
