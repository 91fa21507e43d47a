// SPDX-License-Identifier: MIT
// Copyright (c) 2026 the axon_events authors

/**
 * Events to JSON and back, exactly as the Rust reference does it: one module without dependencies,
 * for Node 20 or newer and for browsers.
 *
 * Reading with JSON.parse would not do: it rounds integers above 2^53, cannot tell `1.0` or `-0`
 * from an integer, drops the first of two members of one name without a word, makes Infinity of a
 * number too large for a double, and takes lone surrogates. So this module takes documents apart
 * itself. It reads a document as JSON first, to its end and whatever it holds, and judges the
 * members afterwards. The time is linear in the size of the document.
 */

/** Each kind's fields, in the order in which they are written. */
const CATALOG = new Map(
  Object.entries({
    flow_start: { flow_name: "string", backend: "string", timestamp_ms: "u64" },
    step_start: {
      step_name: "string", step_index: "u64", step_type: "string", timestamp_ms: "u64",
    },
    step_token: { step_name: "string", content: "string", token_index: "u64", timestamp_ms: "u64" },
    step_complete: {
      step_name: "string", step_index: "u64", success: "boolean", full_output: "string",
      tokens_input: "u64", tokens_output: "u64", timestamp_ms: "u64",
    },
    tool_call: { step_name: "string", tool_name: "string", content: "string", timestamp_ms: "u64" },
    flow_complete: {
      flow_name: "string", backend: "string", success: "boolean", steps_executed: "u64",
      tokens_input: "u64", tokens_output: "u64", latency_ms: "u64", timestamp_ms: "u64",
    },
    flow_error: { flow_name: "string", error: "string", timestamp_ms: "u64" },
  }),
);
const KINDS = `one of ${[...CATALOG.keys()].join(", ")} as kind`;
const LONE_SURROGATE = /\p{Surrogate}/u;
const U64_MAX = 2n ** 64n - 1n;
const EXPECTED = {
  string: "a string",
  u64: `an integer from 0 to ${U64_MAX}`,
  boolean: "true or false",
};

/** Returns why a value does not suit a field's type, null if it does. */
function faultOf(value, type) {
  if (type !== "u64") return typeof value === type ? null : "wrong-type";
  if (typeof value !== "bigint") return "wrong-type";
  return value >= 0n && value <= U64_MAX ? null : "out-of-range";
}

/**
 * A document that is no event: why, and where.
 *
 * - `reason`: a stable code: `not-utf8`, `not-json`, `not-an-object`, `missing-kind`,
 *   `unknown-kind`, `missing-field`, `duplicate-field`, `wrong-type` or `out-of-range`.
 * - `expected`: what should have been there.
 * - `position`: where the fault lies, from 0, in UTF-16 code units of a string and in bytes of a
 *   Uint8Array; for a missing field, the object's closing brace.
 */
export class DecodeError extends Error {
  constructor(reason, expected, position) {
    super(`${reason}: expected ${expected} (position ${position})`);
    this.name = "DecodeError";
    Object.assign(this, { reason, expected, position });
  }
}

/**
 * Returns the event's JSON, character for character what serde_json writes for it.
 *
 * An integer may be a BigInt, or a number up to Number.MAX_SAFE_INTEGER. Throws a TypeError for
 * anything but an event of the catalog; members that the catalog does not have are left out.
 */
export function encode(event) {
  const fields = CATALOG.get(event?.kind);
  if (fields === undefined) throw new TypeError(`encode takes an event with ${KINDS}`);
  let json = `{"kind":"${event.kind}"`;
  for (const [name, type] of Object.entries(fields)) {
    const given = event[name];
    const value = Number.isSafeInteger(given) ? BigInt(given) : given;
    if (faultOf(value, type) !== null || (type === "string" && LONE_SURROGATE.test(value))) {
      const limit = type === "string" ? " without lone surrogates" : "";
      throw new TypeError(`encode expected ${EXPECTED[type]}${limit} as ${event.kind}.${name}`);
    }
    // JSON.stringify escapes as serde_json does, lone surrogates apart.
    json += `,"${name}":${type === "string" ? JSON.stringify(value) : value}`;
  }
  return `${json}}`;
}

/**
 * Returns the event that a JSON document, a string or a Uint8Array of UTF-8, holds: a plain object
 * with `kind` first and then the fields in the catalog's order, integers as BigInt.
 *
 * Throws a DecodeError for what the reference refuses and for an event in the form of an array, a
 * TypeError for an argument of another type.
 */
export function decode(document) {
  if (typeof document === "string") {
    const position = document.search(LONE_SURROGATE);
    if (position !== -1) throw new DecodeError("not-utf8", "no lone surrogate", position);
    return eventIn(document);
  }
  if (!(document instanceof Uint8Array)) {
    throw new TypeError("decode takes a string or a Uint8Array");
  }
  const text = textOf(document);
  try {
    return eventIn(text);
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    const before = new TextEncoder().encode(text.slice(0, error.position));
    throw new DecodeError(error.reason, error.expected, before.length);
  }
}

/** Returns the text of UTF-8. A byte order mark stays in it, to be refused as JSON. */
function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
  }
  // The fault is in the first character that does not come back as it was.
  const lenient = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  const again = new TextEncoder().encode(lenient);
  let position = again.findIndex((byte, index) => byte !== bytes[index]);
  while ((again[position] & 0xc0) === 0x80) position -= 1;
  throw new DecodeError("not-utf8", "UTF-8", position);
}

/** Returns the event that text without lone surrogates holds. */
function eventIn(text) {
  const { members, end } = new Reader(text).document();
  const kind = members.get("kind");
  if (kind === undefined) throw new DecodeError("missing-kind", 'a field "kind"', end);
  if (kind.again !== null) throw new DecodeError("duplicate-field", '"kind" once', kind.again);
  const fields = CATALOG.get(kind.value);
  if (fields === undefined) throw new DecodeError("unknown-kind", KINDS, kind.position);

  const event = { kind: kind.value };
  for (const [name, type] of Object.entries(fields)) {
    const expected = `${EXPECTED[type]} as ${kind.value}.${name}`;
    const member = members.get(name);
    if (member === undefined) throw new DecodeError("missing-field", expected, end);
    const { value, position, again } = member;
    if (again !== null) throw new DecodeError("duplicate-field", `${expected}, once`, again);
    const reason = faultOf(value, type);
    if (reason !== null) throw new DecodeError(reason, expected, position);
    event[name] = value;
  }
  return event;
}

// serde_json gives up on entering the 128th array or object (its recursion limit).
const MAX_DEPTH = 127;
const CLOSERS = new Map([
  ["{", "}"],
  ["[", "]"],
]);
const SPACE = /[ \t\n\r]*/y;
const PLAIN = /[^"\\\x00-\x1f]*/y;
const ESCAPE = new RegExp(
  [
    /\\["\\/bfnrt]/,
    /\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}/,
    // Surrogates in pairs only: JSON allows single ones, serde_json does not.
    /\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}/,
  ]
    .map((form) => form.source)
    .join("|"),
  "y",
);
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/y;
const LITERAL = /true|false|null/y;

/** Reads a document from its start to its end; each method begins where the last one stopped. */
class Reader {
  #text;
  #position = 0;

  constructor(text) {
    this.#text = text;
  }

  /**
   * Returns the members of the object that the document is, and the position of its last brace:
   * for each name its first `value`, the `position` of that, and where the name came `again`.
   */
  document() {
    this.#match(SPACE);
    const start = this.#position;
    const isObject = this.#take("{");
    const members = new Map();
    if (!isObject) this.#value(0);
    for (let more = isObject && this.#hasFirst("}"); more; more = this.#hasNext("}")) {
      const namePosition = this.#position;
      const name = this.#name();
      const position = this.#position;
      const value = this.#value(1);
      const first = members.get(name);
      if (first === undefined) members.set(name, { value, position, again: null });
      else first.again ??= namePosition;
    }
    const end = this.#position - 1;
    this.#match(SPACE);
    if (this.#position < this.#text.length) this.#fail("the end of the document");
    if (!isObject) throw new DecodeError("not-an-object", "an object", start);
    return { members, end };
  }

  #fail(expected, position = this.#position) {
    throw new DecodeError("not-json", expected, position);
  }

  /** Goes past what a sticky pattern matches and returns it; null if that is not here. */
  #match(pattern) {
    pattern.lastIndex = this.#position;
    if (!pattern.test(this.#text)) return null;
    const start = this.#position;
    this.#position = pattern.lastIndex;
    return this.#text.slice(start, this.#position);
  }

  /** Goes past a character and returns true; false if it is not here. */
  #take(char) {
    if (this.#text[this.#position] !== char) return false;
    this.#position += 1;
    return true;
  }

  /** After an opening bracket: goes to what comes first in it, or past the closing one. */
  #hasFirst(closer) {
    this.#match(SPACE);
    return !this.#take(closer);
  }

  /** After a value: goes to what comes next beside it, or past the closing bracket. */
  #hasNext(closer) {
    this.#match(SPACE);
    const more = this.#take(",");
    if (more) this.#match(SPACE);
    else if (!this.#take(closer)) this.#fail(`"," or "${closer}"`);
    return more;
  }

  /** Returns a member's name and goes to its value. */
  #name() {
    if (this.#text[this.#position] !== '"') this.#fail("a field's name in double quotes");
    const name = this.#string();
    this.#match(SPACE);
    if (!this.#take(":")) this.#fail('":" after a field\'s name');
    this.#match(SPACE);
    return name;
  }

  /**
   * Returns a value that lies inside of `depth` others; null for an array or object, which no
   * field takes. It does not recurse: a document must not decide whether the stack suffices.
   */
  #value(depth) {
    if (!CLOSERS.has(this.#text[this.#position])) return this.#scalar();
    const closers = [];
    do {
      const closer = CLOSERS.get(this.#text[this.#position]);
      if (closer === undefined) {
        this.#scalar();
      } else {
        if (depth + closers.length === MAX_DEPTH) this.#fail(`at most ${MAX_DEPTH} levels`);
        this.#position += 1;
        if (this.#hasFirst(closer)) {
          closers.push(closer);
          if (closer === "}") this.#name();
          continue;
        }
      }
      // A value has ended, and with it each array or object whose last one it is.
      while (closers.length > 0 && !this.#hasNext(closers.at(-1))) closers.pop();
      if (closers.at(-1) === "}") this.#name();
    } while (closers.length > 0);
    return null;
  }

  /** Returns a string, number or literal: an integer as BigInt, any other number as number. */
  #scalar() {
    const start = this.#position;
    if (this.#text[start] === '"') return this.#string();
    const digits = this.#match(NUMBER);
    if (digits === null) return JSON.parse(this.#match(LITERAL) ?? this.#fail("a value"));
    // Correctly rounded, where serde_json's quick arithmetic is not: among numbers within a
    // rounding error of the largest double it refuses and accepts some others.
    const number = Number(digits);
    if (!Number.isFinite(number)) this.#fail("a number that a double can hold", start);
    // serde_json reads -0 as a double. What a double can hold has 309 digits at most.
    return digits === "-0" || /[.eE]/.test(digits) ? number : BigInt(digits);
  }

  /** Returns the string whose opening quote is here. */
  #string() {
    const start = this.#position;
    this.#position += 1;
    do {
      this.#match(PLAIN);
    } while (this.#match(ESCAPE) !== null);
    if (!this.#take('"')) this.#fail("a closing quote, or JSON's escapes, surrogates in pairs");
    return JSON.parse(this.#text.slice(start, this.#position));
  }
}
