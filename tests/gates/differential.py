# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Python and the Rust reference give the same verdict and the same bytes for random documents.

Each document goes through `from_json` and `to_json` and through the reference's `decode`. Both
must accept or both refuse it, and what they accept they must write as the same bytes. Bytes and
text, and the codec's quick and strict paths, must agree as well. Two kinds of disagreement are
declared, and are counted by name (see `_declared`). Any other is printed and makes the exit
status 1, and so do documents that exercise too little. The same seed gives the same
documents with every version of Python.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from random import Random, SystemRandom
from typing import Any, TypeAlias, TypeVar

from axon_events import EVENT_TYPES, DecodeError, Event, _codec, from_dict, from_json, to_json
from axon_events._strict import read_strict

from .. import CORPUS

T = TypeVar("T")


def _words(text: str) -> list[str]:
    return text.split()


REASONS = _words(
    "not-utf8 not-json not-an-object missing-kind unknown-kind"
    " missing-field duplicate-field wrong-type out-of-range"
)
QUICK = "taken by the quick path"
ARRAY_FORM = "exception: array form"
EDGE_NUMBER = "exception: number at the largest double"
# What is counted, and the least share of the documents that must be so.
SHARES = {"ok": 1 / 3, QUICK: 1 / 10, ARRAY_FORM: 1 / 1000, EDGE_NUMBER: 1 / 1000}
SHARES |= dict.fromkeys(REASONS, 1 / 400)
BATCH = 5000  # documents for one process of the reference
SHOWN = 10  # disagreements, and examples of each kind of exception, that are printed

# Strings, numbers, any value. Whatever makes something random takes it from the one generator.

SPECIAL = '"\\/\b\f\n\r\t\0\x1f\x7f\x85\u2028\u2029\ufeff\ufffd\ufffe\uffff\U0001fffe\U0010ffff'
BLOCKS = ((0x0, 0x1F), (0x20, 0x7E), (0x7F, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF))
PLANES = ((0x10000, 0x1FFFF), (0x20000, 0x10FFFF))
TEXTS = ["Summarise", "search", "Hello, ", "анализ", "\U0001f642", '{"q":"…"}', "x" * 380]
REPEATS = (1,) * 60 + (40, 200)
ESCAPES = (0.0, 0.0, 0.1, 1.0)  # the share of characters that are escaped without need
SHORT = dict(zip('"\\/\b\f\n\r\t', _words(r"\" \\ \/ \b \f \n \r \t"), strict=True))
LONE = ["\ud800", "\udbff", "\udc00", "\udfff", "\ude00\ud83d", "\ud83d\ud83d\ude42", "\udbff\\"]
NUMBERS = _words("""
    0 -0 -0.0 1.0 1e2 1E+2 -1 0.1e-7 1e308 -1e308 0.1e309 0e999999 -0e999999 0.0e99999999999
    1e-999999 1e-99999999999 123456789e-330 5e-324 2e-324 1.7976931348623157e308
    18446744073709551615 18446744073709551616 -9223372036854775808 -9223372036854775809
""")
NUMBERS += ["9" * 308, "-1" + "0" * 308, f"0.{'0' * 400}1e400", "3" * 400 + "e-99"]
OVERFLOWS = ["1e309", "-1e309", "1e400", "1e99999999999", "1.8e308", "9" * 309, "1" + "0" * 309]
OVERFLOWS += ["-" + "7" * 5000, f"0.{'0' * 400}1e710", "3" * 400 + "e-91", "1e" + "9" * 30]


def _text(rng: Random) -> str:
    """Return text over all planes of Unicode; seldom a long one."""
    if rng.random() < 0.4:
        return rng.choice(TEXTS)
    length = rng.choice((0, 1, 2, 3, 8, 20))
    blocks = rng.choices(BLOCKS + PLANES, k=length)
    chars = [rng.choice((chr(rng.randint(*block)), rng.choice(SPECIAL))) for block in blocks]
    return "".join(chars) * rng.choice(REPEATS)


def _escape(rng: Random, char: str) -> str:
    if char in SHORT and rng.random() < 0.5:
        return SHORT[char]
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return re.sub("(....)", r"\\u\1", "".join(rng.choice((d, d.upper())) for d in units))


def _string(rng: Random, text: str, escapes: float) -> str:
    """Return text as a JSON string, in the canonical form if `escapes` is 0."""
    if not escapes:
        return json.dumps(text, ensure_ascii=False)
    return '"' + "".join(
        _escape(rng, char) if char < " " or char in '"\\' or rng.random() < escapes else char
        for char in text
    ) + '"'  # fmt: skip


def _u64(rng: Random) -> str:
    near = rng.choice((0, 1_700_000_000_000, 2 ** rng.randint(0, 64), 10 ** rng.randint(0, 19)))
    return str(min(max(near + rng.randint(-2, 2), 0), 2**64 - 1))


def _no_u64(rng: Random) -> str:
    wide = rng.choice((2 ** rng.randint(65, 200), 10**20, 10**308))
    near = rng.choice((2**64 + 1, rng.randint(2**64 + 1, 10**20), wide, -(2 ** rng.randint(1, 65))))
    return str(near + rng.randint(-1, 1))


def _number(rng: Random) -> str:
    whole = str(rng.getrandbits(rng.choice((1, 8, 53, 64, 65, 200))))
    fraction = rng.choice(("", "", ".0", f".{rng.getrandbits(64):020}"))
    exponent = rng.choice(("", "", f"e{rng.randint(-400, 230)}", f"E+{rng.randint(0, 230):03}"))
    return rng.choice(("", "-")) + whole + fraction + exponent


def _edge_number(rng: Random) -> str:
    """Return a number near the least one that overflows a double."""
    digits = str(2**1024 - 2**970 + rng.randint(-3000, 3000) * 2**960)  # 309 of them
    cut = rng.randint(16, 40)
    forms = (digits, f"{digits}.5", f"{digits[0]}.{digits[1:cut]}e308", f"0.{digits[:cut]}E+309")
    return rng.choice(("", "-")) + rng.choice((*forms, f"{digits[:cut]}e{309 - cut}"))


SCALARS: list[Callable[[Random], str]] = [
    lambda rng: _string(rng, _text(rng), rng.choice(ESCAPES)),
    lambda rng: rng.choice(("true", "false", "null", '""')),
    lambda rng: rng.choice(NUMBERS),
    _number,
    _edge_number,
]


def _value(rng: Random, depth: int = 0) -> str:
    """Return a value such as an unknown field may hold."""
    if depth > 4 or rng.random() < 0.7:
        return rng.choice(SCALARS)(rng)
    items = [_value(rng, depth + 1) for _ in range(rng.randint(0, 3))]
    if rng.random() < 0.5:
        return f"[{','.join(items)}]"
    return _object(rng, [[_text(rng), item] for item in items], 0.1)


def _nested(rng: Random, levels: int) -> str:
    """Return arrays and objects within each other, that many levels of them."""
    shapes = (("[", "]"), ("[0,", ",[]]"), ('{"a":', "}"), ('{"b":{},"a":', ',"a":null}'))
    pairs = [rng.choice(shapes) for _ in range(levels - 1)]
    inner = rng.choice(("[]", "{}", "[1]", '{"a":""}'))
    return "".join(o for o, _ in pairs) + inner + "".join(c for _, c in reversed(pairs))


# Documents. A member is a list of a field's name and its value, the value as JSON.

CATALOG = [
    (cls.kind, [(field.name, field.type) for field in fields(cls)]) for cls in EVENT_TYPES.values()
]
NAMES = sorted({name for _, types in CATALOG for name, _ in types})
NAMES += ["Kind", "kind ", "type", "", "kind\0", "timestamp_ms\0", "extra", "\ufeffkind"]
FIELDS: dict[Any, Callable[[Random, float], str]] = {
    str: lambda rng, escapes: _string(rng, _text(rng), escapes),
    int: lambda rng, escapes: _u64(rng),
    bool: lambda rng, escapes: rng.choice(("true", "false")),
}


def _members(rng: Random, escapes: float) -> list[list[str]]:
    """Return the members of an event in the canonical order, `kind` first."""
    kind, types = rng.choice(CATALOG)
    members = [[name, FIELDS[of_type](rng, escapes)] for name, of_type in types]
    return [["kind", _string(rng, kind, escapes)], *members]


def _object(rng: Random, members: list[list[str]], escapes: float) -> str:
    inner = ",".join(f"{_string(rng, name, escapes)}:{value}" for name, value in members)
    return f"{{{inner}}}"


def _insert(rng: Random, items: list[T], item: T) -> None:
    items.insert(rng.randint(0, len(items)), item)


def _add_unknown(rng: Random, members: list[list[str]], value: str) -> None:
    """Insert a field that the event has not, maybe one of another event; at times twice."""
    name = rng.choice((_text(rng), *rng.choices(NAMES, k=3)))
    while any(name == known for known, _ in members):
        name += "_"
    for _ in range(rng.choice((1, 1, 1, 2))):
        _insert(rng, members, [name, value])


def _tokens(text: str) -> list[str]:
    return re.findall(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^\s"{}\[\]:,]+|[\s\S]', text)


def _spaced(rng: Random, text: str) -> str:
    """Return a document with whitespace around some tokens, or none."""
    spaces = ("",) * rng.choice((1, 4, 40)) + (" ", "\t", "\n", "\r", "\r\n  ")
    if rng.random() < 0.5:
        return text
    return "".join(part for token in ["", *_tokens(text)] for part in (token, rng.choice(spaces)))


def _canonical(rng: Random) -> str:
    return _object(rng, _members(rng, 0.0), 0.0)


def _other_form(rng: Random) -> str:
    """Return a document that uses all freedoms; legal, unless by a number at the edge."""
    escapes = rng.choice(ESCAPES)
    members = _members(rng, escapes)
    if rng.random() < 0.7:
        rng.shuffle(members)
    for _ in range(rng.choice((0, 0, 1, 1, 3))):
        _add_unknown(rng, members, _value(rng))
    if rng.random() < 0.05:
        _add_unknown(rng, members, _nested(rng, rng.choice((rng.randint(1, 124), 125, 126))))
    return _spaced(rng, _object(rng, members, escapes))


# Broken documents: faults in the members, in the text as a whole, in its tokens, in its bytes.
# What some of the faults leave is legal by chance.

KINDS = ["flow_stop", "FlowStart", "FLOW_START", "flow_start ", "", "flow_start\0", *LONE]
NO_KINDS = _words("""0 1 -0 null true [] {} ["flow_start"] {"flow_start":null}""")
NO_OBJECTS = _words("""1 -1.5e3 "flow_start" "kind" true null [] [[]] {} [{}] [1e400] 1e400""")
ODD = _words(r"""
    1.0 1e2 -0 -1 01 -01 1. .5 +1 - 1e 1e+ 0x1 1_0 NaN -NaN Infinity -Infinity 1e400 1e-400 true
    null false True nul truee "1" "true" "" [] {} [1] {"a":1} [[]] [,] [1,] {,} {"a"} {1:2} { } [ ]
    : , " '1' // /**/ "\x" "\u12" "\u12g4" "\u+123" "\U0041" "\ 18446744073709551616
""")
ODD += [*"\0\b\x0b\x0c\x1c\x85\xa0\uff11\u2028\u3000\ufeff"]
ODD_NUMBERS = _words('-0 -{} +{} 0{} {}. {}.0 {}e0 {}E+0 {}_0 {}\uff11 {}{} 0x{} "{}" [{}] null')
ODD_BOOLS = _words('0 1 -0 1.0 "true" "" null True truefalse [true] {}')
ODD_TEXT = [*"\0\b\n\x1f\x7f\x85\u2028\ufeff", '"', *_words(r"\x \0 \' \u12 \u12g4 \U0041 \uff11")]
ODD_TEXT += ["\\", "\\\n", "\\u 123", "\\u+123", "\\u-123", "\\u0x12", "\\u1_23", "\\u\uff11234"]
ODD_BYTES = [list(bytes.fromhex(digits)) for digits in _words("""
    80 bf c0af c1bf e08080 e0 eda080 edbfbf eda0bdedb882 f0808080 f0908d f4908080 ff fe c3 efbbbf
""")]  # fmt: skip

Change: TypeAlias = Callable[[Random, str], str]
MemberFault: TypeAlias = Callable[[Random, list[list[str]]], object]
TextFault: TypeAlias = Callable[[Random, list[list[str]]], str]


def _lone(rng: Random) -> str:
    return _string(rng, rng.choice(LONE), rng.choice(ESCAPES))


def _change(part: int, change: Change, of: str = "") -> MemberFault:
    """Return the fault that changes the name (part 0) or value (1) of a member that matches."""

    def fault(rng: Random, members: list[list[str]]) -> None:
        member = rng.choice([m for m in members if re.match(of, ":".join(m))] or members)
        member[part] = change(rng, member[part])

    return fault


KIND, NUMBER, BOOL, TEXT = "kind:", "[a-z_]+:[0-9]", "[a-z_]+:[tf]", '[a-z_]+:"'
MEMBER_FAULTS: list[MemberFault] = [
    lambda rng, members: members.pop(0),
    lambda rng, members: members.pop(rng.randrange(len(members))),
    lambda rng, members: _insert(rng, members, list(members[0])),
    lambda rng, members: _insert(rng, members, list(rng.choice(members))),
    lambda rng, members: _insert(rng, members, [rng.choice(members)[0], _value(rng)]),
    lambda rng, members: _add_unknown(rng, members, _nested(rng, rng.choice((127, 128, 3000)))),
    lambda rng, members: _add_unknown(rng, members, rng.choice(OVERFLOWS)),
    lambda rng, members: _add_unknown(rng, members, rng.choice(ODD)),
    lambda rng, members: _add_unknown(rng, members, f"[{_lone(rng)}]"),
    _change(0, lambda rng, name: name + rng.choice(LONE)),
    _change(0, lambda rng, name: rng.choice((name.upper(), name[1:], name + "s", name + "\0"))),
    _change(0, lambda rng, name: rng.choice(NAMES)),
    _change(1, lambda rng, kind: _string(rng, rng.choice(KINDS), rng.choice(ESCAPES)), KIND),
    _change(1, lambda rng, kind: _string(rng, rng.choice(CATALOG)[0], rng.choice(ESCAPES)), KIND),
    _change(1, lambda rng, kind: rng.choice(NO_KINDS), KIND),
    _change(1, lambda rng, value: rng.choice(SCALARS)(rng)),
    _change(1, lambda rng, value: rng.choice(ODD)),
    _change(1, lambda rng, value: _no_u64(rng), NUMBER),
    _change(1, lambda rng, value: rng.choice(ODD_NUMBERS).format(value, value), NUMBER),
    _change(1, lambda rng, value: rng.choice(ODD_BOOLS), BOOL),
    _change(1, lambda rng, value: value[:-1] + rng.choice(ODD_TEXT) + '"', TEXT),
    _change(1, lambda rng, value: _lone(rng)[:-1] + value[1:], TEXT),
]
TEXT_FAULTS: list[TextFault] = [
    *[lambda rng, members: f"[{','.join(value for _, value in members)}]"] * 3,
    lambda rng, members: f"[{_object(rng, members, 0.0)}]",
    lambda rng, members: rng.choice(NO_OBJECTS),
    lambda rng, members: json.dumps(_object(rng, members, 0.0)),
    lambda rng, members: "\ufeff" + _object(rng, members, 0.0),
    lambda rng, members: _object(rng, members, 0.0) + rng.choice(ODD),
    lambda rng, members: rng.choice(ODD) + _object(rng, members, 0.0),
]


def _edit(rng: Random, items: list[T], odd: list[T]) -> None:
    """Replace some items by none, by odd ones, by themselves twice or turned round, by another."""
    start, other = rng.randint(0, len(items)), rng.randint(0, len(items))
    end = start + rng.choice((0, 1, 1, 1, 2, 3, 10, len(items)))
    some = items[start:end]
    items[start:end] = rng.choice(([], odd, odd, some * 2, some[::-1], items[other : other + 1]))


def _broken_members(rng: Random) -> str:
    """Return a document with one or two faults, canonical in all else half of the time."""
    escapes = rng.choice((0.0, rng.choice(ESCAPES)))
    members = _members(rng, escapes)
    for _ in range(rng.choice((1, 1, 1, 2))):
        rng.choice(MEMBER_FAULTS)(rng, members)
    if rng.random() < 0.5:
        return _object(rng, members, escapes)
    rng.shuffle(members)
    return _spaced(rng, _object(rng, members, escapes))


def _broken_text(rng: Random) -> str:
    return _spaced(rng, rng.choice(TEXT_FAULTS)(rng, _members(rng, rng.choice(ESCAPES))))


def _broken_tokens(rng: Random) -> str:
    tokens = _tokens(rng.choice((_canonical, _other_form))(rng))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _edit(rng, tokens, [rng.choice(ODD)])
    return "".join(tokens)


def _broken_bytes(rng: Random) -> bytes:
    data = list(rng.choice((_canonical, _other_form))(rng).encode())
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if data and rng.random() < 0.3:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        else:
            _edit(rng, data, rng.choice(([rng.randrange(256)], rng.choice(ODD_BYTES))))
    return bytes(data)


WEIGHTS: dict[Callable[[Random], str | bytes], int] = {
    _canonical: 20,
    _other_form: 32,
    _broken_members: 25,
    _broken_text: 5,
    _broken_tokens: 9,
    _broken_bytes: 9,
}


def documents(seed: int) -> Iterator[bytes]:
    """Yield the random documents of a seed, without end."""
    rng = Random(seed)
    while True:
        (make,) = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
        document = make(rng)
        # A lone surrogate becomes its escape.
        yield (
            document
            if isinstance(document, bytes)
            else document.encode("utf-8", "backslashreplace")
        )


# The judgement.

Answer: TypeAlias = tuple[str, str]  # "ok" and the event's JSON, or a reason and a message


def _answer(decode: Callable[[Any], Event | None], document: object) -> Answer:
    """Return what a decoder of this package makes of a document."""
    try:
        event = decode(document)
        return ("none", "") if event is None else ("ok", to_json(event))
    except DecodeError as error:
        sound = error.reason in REASONS and len(str(error).splitlines()) == 1
        return (error.reason, error.message) if sound else ("undocumented error", repr(error))
    except Exception as error:
        return "another exception", repr(error)


def _exact(number: str) -> Decimal:
    try:
        return Decimal(number).copy_abs()
    except InvalidOperation:  # an exponent beyond those of Decimal: it is 0 or infinite
        return Decimal(abs(float(number)))


TIE = Decimal(2**1024 - 2**970)  # the least number that overflows a double
EDGE = (TIE * Decimal("0.99999999999999"), TIE * Decimal("1.00000000000001"))


def _declared(document: bytes, ours: Answer, theirs: Answer) -> str | None:
    """Return which declared exception it is that the verdicts differ, or None.

    - The array form: an array, refused as `not-an-object`, that the reference accepts.
    - A number in an unknown field within a rounding error of the largest double, where
      serde_json's quick arithmetic is wrong: our verdict must be that of exact arithmetic, what
      is refused must be refused for a number, and the fields that are known must make the event.
    """
    if ours[0] == "not-an-object":
        return ARRAY_FORM if document.lstrip(b" \t\r\n").startswith(b"[") else None
    numbers: list[str] = []

    def number(text: str) -> float | int:
        numbers.append(text)
        return int(text) if text.isdigit() else 0.0

    try:
        data = json.loads(document.decode(), parse_int=number, parse_float=number)
    except (ValueError, RecursionError):
        return None
    largest = max(map(_exact, numbers), default=Decimal(0))
    accepted, refused = (ours, theirs) if ours[0] == "ok" else (theirs, ours)
    explained = (
        EDGE[0] < largest < EDGE[1]
        and (ours[0] == "ok") == (largest < TIE)
        and (refused[0] == "not-json" or refused[1].startswith("number out of range"))
        and accepted == _answer(from_dict, data)
    )
    return EDGE_NUMBER if explained else None


def _judge(document: bytes, ours: Answer, theirs: Answer, counts: Counter[str]) -> str | None:
    """Count the document; return what is wrong with the answers to it, or None."""
    counts[ours[0]] += 1
    if ours[0] not in SHARES:
        return "neither an event nor a documented error"
    try:
        text = document.decode()
    except UnicodeDecodeError:
        if ours[0] != "not-utf8":
            return "not refused as not UTF-8"
    else:
        quick, strict = _answer(_codec._read_quick, text), _answer(read_strict, text)
        counts[QUICK] += quick[0] == "ok"
        if ours[0] == "not-utf8":
            return "refused as not UTF-8"
        if _answer(from_json, text) != ours:
            return f"from text otherwise than from bytes: {_answer(from_json, text)!a}"
        if strict != ours or quick not in (strict, ("none", "")):
            return f"the quick reader and the strict one differ: {quick!a}, {strict!a}"
    if ours[0] == theirs[0]:
        return None if ours == theirs else "other bytes than the reference's"
    if "ok" not in (ours[0], theirs[0]):
        return None
    exception = _declared(document, ours, theirs)
    if exception is None:
        return "another verdict than the reference's"
    counts[exception] += 1
    if counts[exception] <= SHOWN:
        print(f"{exception}: ours {ours[0]}, the reference's {theirs[0]}: {document!r}")
    return None


def _build() -> str:
    """Build the reference and return the path of its program."""
    manifest = str(CORPUS / "reference" / "Cargo.toml")
    command = ["cargo", "build", "--release", "--locked", "--manifest-path", manifest]
    command += ["--message-format", "json-render-diagnostics"]
    output = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    paths = [json.loads(line).get("executable") for line in output.split(b"\n") if line]
    return str(next(path for path in paths if path))


def _ask(reference: str, batch: list[bytes]) -> list[Answer]:
    """Return the reference's answers to some documents."""
    lines = "".join(f"{document.hex()}\n" for document in batch).encode()
    run = subprocess.run([reference, "decode"], input=lines, stdout=subprocess.PIPE, check=True)
    answers = [line.decode().partition(" ") for line in run.stdout.split(b"\n")[:-1]]
    return [(verdict, rest) for verdict, _, rest in answers]


def main() -> int:
    """Compare as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.gates.differential", description=__doc__)
    parser.add_argument("--count", type=int, default=200_000, help="documents (%(default)s)")
    parser.add_argument("--seed", type=int, help="of the documents (random)")
    parser.add_argument("--reference", help="its program (built from corpus/reference)")
    options = parser.parse_args()
    seed = SystemRandom().getrandbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    reference = options.reference or _build()
    begun = time.perf_counter()
    source = documents(seed)
    counts: Counter[str] = Counter()
    wrong = 0
    for done in range(0, options.count, BATCH):
        batch = [next(source) for _ in range(min(BATCH, options.count - done))]
        for document, theirs in zip(batch, _ask(reference, batch), strict=True):
            ours = _answer(from_json, document)
            fault = _judge(document, ours, theirs, counts)
            wrong += fault is not None
            if fault is not None and wrong <= SHOWN:
                print(f"WRONG: {fault}\n  document: {document!r}\n  hex: {document.hex()}")
                print(f"  ours: {ours!a}\n  reference: {theirs!a}")
    print(f"seed {seed}\ncount {options.count}")
    short = {name for name, share in SHARES.items() if counts[name] < int(share * options.count)}
    for name in SHARES:
        print(f"{name} {counts[name]}" + " (TOO FEW)" * (name in short))
    print(f"seconds {time.perf_counter() - begun:.1f}")
    print(f"{wrong} disagreements" if wrong else "no disagreement")
    return 1 if wrong or short else 0


if __name__ == "__main__":
    sys.exit(main())
