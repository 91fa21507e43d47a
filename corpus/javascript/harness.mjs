// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

// Exit status: 0 if DECODER agrees with the corpus, 1 if not, 2 for wrong usage, unreadable files.
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

process.on("uncaughtException", ({ message }) => { console.error(message); process.exit(2); });
const [path, dir = fileURLToPath(new URL("..", import.meta.url)), excess] = process.argv.slice(2);
if (!path || excess) throw new Error("usage: node harness.mjs DECODER.mjs [CORPUS_DIR]");
const { decode, encode, DecodeError = Error } = await import(pathToFileURL(resolve(path)));
const read = (name) => readFileSync(resolve(dir, name), "utf8");
const load = (name) => {
  // JSON.parse would round some integers: each becomes {"": "its digits"}, and that a BigInt.
  const token = /("[^"\\]*(?:\\.[^"\\]*)*")|\d+/g;
  const text = read(name).replace(token, (digits, string) => string ?? `{"":"${digits}"}`);
  const file = JSON.parse(text, (_, value) => (value?.[""] ? BigInt(value[""]) : value));
  if (file.format !== 1n) throw new Error(`${name}: expected format 1, got ${file.format}`);
  return file;
};
const same = (what, got, expected) => {
  if (got !== expected) throw new Error(`expected ${expected} as ${what}, got ${got}`);
};
const checkEntry = (document, { expected_json: expected, wire }) => {
  const event = decode(document);
  same("fields", Object.keys(event).join(), Object.keys(expected).join());
  for (const [name, value] of Object.entries(event)) // an integer may be a number, if it is exact
    same(name, Number.isInteger(value) ? BigInt(value) : value, expected[name]);
  same("text", encode(event), wire);
};
const checkCase = (document, { verdict, canonical, reason, exception }) => {
  let event;
  try { event = decode(document); } catch (error) {
    if (!(error instanceof DecodeError)) throw error; // it did not refuse the document, it broke
    if (exception) return;
    same("verdict", "reject", verdict);
    return same("reason", error.reason ?? reason, reason); // for those with the same codes
  }
  if (!exception) same("verdict", "accept", verdict);
  if (verdict === "accept") same("text", encode(event), canonical);
};
const run = (file, check, cases) => {
  let problems = cases.length > 0 ? 0 : 1;
  for (const { name, input, input_hex: hex, ...expected } of cases) try {
    check(Buffer.from(input ?? hex, input === undefined ? "hex" : "utf8"), expected);
    if (input !== undefined) check(input, expected);
  } catch (error) {
    problems += 1;
    console.log(`${file}: ${name}: ${error.message}`.replace(/\p{C}/gu, "\ufffd").slice(0, 300));
  }
  console.log(`${file}: ${cases.length} cases, ${problems} problems`);
  if (problems > 0) process.exitCode = 1;
};
const { entries } = load("corpus.json");
run("corpus.json", checkEntry, entries.map((entry) => ({ ...entry, input: entry.wire })));
run("decode.json", checkCase, load("decode.json").cases);
const linesOf = (file) => read(`recorded/${file}`).replace(/\n$/, "").split("\n").map((line, n) =>
  ({ name: `${file}:${n + 1}`, input: line, verdict: "accept", canonical: line }));
run("recorded", checkCase, readdirSync(resolve(dir, "recorded")).flatMap(linesOf));
