# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""Runs in Redis Streams, for any number of processes on any number of machines.

runs = RedisRuns(redis.Redis("redis.example", socket_timeout=5.0))
with runs.create("run-7") as log:
    with FlowEmitter(log.append, flow_name="Report", backend="anthropic") as flow: ...

frames = await runs.run("run-7").afollow(last_event_id)         # in any process

It takes Redis from 6.2 on, Valkey, or Redis Cluster, with the `maxmemory-policy` `noeviction`.
"""

import inspect
import re
import secrets
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from typing import Any, Final, Protocol

from ..replay import StoreUnavailable
from ._core import Runs
from ._fork import Calls
from ._store import (
    CLOSED,
    DELETED,
    NOWHERE,
    Append,
    Cursor,
    End,
    Entry,
    OnEntries,
    Page,
    State,
)

__all__ = ["RedisRuns"]

_TICK_SECONDS: Final = 0.01  # the longest time until a run that was added is subscribed to
_ECHO_SECONDS: Final = 1.0  # between two messages of the watch to itself
_SILENCE_SECONDS: Final = 4.0  # for how long it may hear none of them before it connects anew
_MESSAGE_BYTES: Final = 2**16  # the longest message; watchers read longer entries from the stream
_BATCH: Final = 100  # runs in one pipeline

# A run is one stream. The id of an entry is its cursor, such as `17-2`. Its fields, in order:
# - `p`: the id of the entry before it, unless that is the one `_before` expects;
# - `w`: the writer's token and the codes of its ttl and lease; only the last entry of each append
#   has it, and so the newest entry of the run always does;
# - `d`: an event's JSON; or `e`: the text of an entry that is no event.
# Ids are compared as text: Lua's numbers are exact to 53 bits only.
_NEWEST: Final = """
local key = KEYS[1]
local function fields_of(entry)
    local fields = {}
    for i = 1, #entry[2], 2 do
        fields[entry[2][i]] = entry[2][i + 1]
    end
    return fields
end
local function milliseconds(code)
    return (string.byte(code, 1) - 33) * 10 ^ (string.byte(code, 2) - 48)
end
local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
local fields = newest and fields_of(newest) or {}
local id = newest and newest[1] or '0-0'
local token = string.sub(fields.w or '', 1, -5)
"""

# Arguments: the id and the token that the run must end with, `w`, the ttl in ms, how many entries
# to keep (empty for all), and the channel; then the id, `p` and the text of each entry. Returns
# where the run ends if it ends elsewhere, else an empty text. The message has the arguments of the
# entries.
_APPEND: Final = (
    _NEWEST
    + f"""
if id ~= ARGV[1] or token ~= ARGV[2] then
    return id .. ' ' .. token
end
for i = 7, #ARGV, 3 do
    local command = {{'XADD', key, ARGV[i]}}
    if ARGV[i + 1] ~= '' then
        command[4] = 'p'
        command[5] = ARGV[i + 1]
    end
    if i + 3 > #ARGV then
        command[#command + 1] = 'w'
        command[#command + 1] = ARGV[3]
    end
    local text = ARGV[i + 2]
    command[#command + 1] = string.byte(text) == 123 and 'd' or 'e'
    command[#command + 1] = text
    redis.call(unpack(command))
end
redis.call('PEXPIRE', key, ARGV[4])
if #ARGV > 6 then
    if ARGV[5] ~= '' then
        redis.call('XTRIM', key, 'MAXLEN', ARGV[5])
    end
    local message = table.concat(ARGV, '\\n', 7)
    redis.call('PUBLISH', ARGV[6], #message <= {_MESSAGE_BYTES} and message or '')
end
return ''
"""
)

# Arguments: the text of an entry that ends the run, and the channel. With two more, an id and a
# token, the entry is added only if the run ends with these and its lease has run out.
_END: Final = (
    _NEWEST
    + f"""
if not newest or fields.e == '{DELETED}' then
    return
end
local codes = string.sub(fields.w, -4)
local ttl = milliseconds(codes)
if ARGV[3] then
    local age = ttl - redis.call('PTTL', key)
    if id ~= ARGV[3] or token ~= ARGV[4] or age <= milliseconds(string.sub(codes, 3)) then
        return
    end
end
-- The number after the dash counts entries, so it is small.
local first, last = string.match(id, '(%d+)-(%d+)')
id = first .. '-' .. string.format('%.0f', last + 1)
redis.call('XADD', key, id, 'w', codes, 'e', ARGV[1])
if ARGV[1] == '{DELETED}' then
    redis.call('XTRIM', key, 'MAXLEN', 1)
end
redis.call('PEXPIRE', key, ttl)
redis.call('PUBLISH', ARGV[2], id .. '\\n\\n' .. ARGV[1])
"""
)

# Returns the id and the token at the end, the age and the lease, both in ms. It tries to add an
# entry with an invalid id, which shows whether a valid one could be written now: a replica, or a
# server that is out of memory, refuses the command before it looks at the id.
_LOOK: Final = (
    _NEWEST
    + """
local refusal = redis.pcall('XADD', key, 'NOMKSTREAM', '0-0', 'd', '')
if string.sub(refusal.err, 1, 4) ~= 'ERR ' then
    return refusal
end
if not newest then
    return '0-0  0 0'
end
local codes = string.sub(fields.w, -4)
local age = milliseconds(codes) - redis.call('PTTL', key)
local lease = milliseconds(string.sub(codes, 3))
return table.concat({id, token, age, lease}, ' ')
"""
)

# Arguments: the id to begin with, and the limit of the texts' size. Returns lines: the id and the
# token at the end, the oldest id kept, and for each entry its id, `p`, `w` and text, which has no
# line break. One long text costs the client a tenth of what the reply of XRANGE does.
_READ: Final = (
    _NEWEST
    + """
if not newest then
    return
end
local oldest = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
local lines = {id, token, oldest[1]}
local start, limit = ARGV[1], tonumber(ARGV[2])
local count, seen, size = 2, 0, 0
repeat
    local entries = redis.call('XRANGE', key, start, '+', 'COUNT', count)
    local is_last = #entries < count
    for i = 1, #entries do
        local of = fields_of(entries[i])
        local text = of.d or of.e
        lines[#lines + 1] = entries[i][1]
        lines[#lines + 1] = of.p or ''
        lines[#lines + 1] = of.w or ''
        lines[#lines + 1] = text
        seen = seen + 1
        if seen > 1 then
            size = size + #text
            if size >= limit then
                is_last = true
                break
            end
        end
    end
    if not is_last then
        start = '(' .. entries[#entries][1]
        count = math.min(math.ceil((limit - size) * (seen - 1) / size), 50)
    end
until is_last
return table.concat(lines, '\\n')
"""
)

# Returns the newest entries as `_READ` does, from the last event on if that is among the last few.
_TAIL: Final = (
    _NEWEST
    + """
if not fields.w then
    return
end
local lines = {}
for _, entry in ipairs(redis.call('XREVRANGE', key, '+', '-', 'COUNT', 8)) do
    local of = fields_of(entry)
    table.insert(lines, 1, of.d or of.e)
    table.insert(lines, 1, of.w or '')
    table.insert(lines, 1, of.p or '')
    table.insert(lines, 1, entry[1])
    if of.d then
        break
    end
end
return table.concat(lines, '\\n')
"""
)

# The class names of errors that are final: what the server answers, and what the client refuses to
# send. All other errors may pass: they come from connections, which a cluster client closes even
# while other threads use them. Names, so that no client has to be imported.
_STAYING: Final = frozenset({"DataError", "ResponseError", "TypeError"})

# The names of those among these that pass.
_PASSING: Final = frozenset(
    {
        "AskError",  # MovedError too
        "BusyLoadingError",
        "ClusterDownError",  # MasterDownError too
        "OutOfMemoryError",
        "ReadOnlyError",
        "TryAgainError",
    }
)

# The code of other errors that may pass; Redis 6.2 puts the place in the script before it.
_PASSING_TEXT: Final = re.compile(
    r"(?:^|: -)(?:BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|TRYAGAIN) "
)


class _Client(Protocol):
    """The methods of a client that are called here; it returns bytes or str, as it was told."""

    @abstractmethod
    def execute_command(self, *args: Any, **kwargs: Any) -> Any: ...

    @abstractmethod
    def pipeline(self, *args: Any, **kwargs: Any) -> Any: ...

    @abstractmethod
    def pubsub(self, *args: Any, **kwargs: Any) -> Any: ...

    @abstractmethod
    def scan_iter(self, *args: Any, **kwargs: Any) -> Any: ...


class RedisRuns(Runs):
    """Runs in a Redis server or cluster that any number of processes share.

    - `client`: a synchronous `redis.Redis` or `redis.RedisCluster`, or one of valkey-py, for any
      protocol version, with or without `decode_responses`. The caller closes it. Give it a
      `socket_timeout` of some seconds: without one, a connection whose other end is gone blocks for
      ever. Give it `retry=None` too: `timeout` is checked only between its calls, so its own
      retries and pauses come on top. At most eleven connections are used at once.
    - `prefix`: the beginning of the keys and channels of all runs: `axon:run-7` is the key of a
      run, `axon:c:run-7` its channel.
    - `ttl`: for how many seconds, above 0, a run is kept after the last sign of its writer.
    - `lease`: for how many seconds, above 0, a writer may give no sign before its run is closed; at
      most half of `ttl`. A writer gives one every third of that time, and at least every two
      seconds. The server keeps both rounded up to two digits.
    - `max_events`, `max_bytes`: how many entries of a run to keep, and how many bytes of their
      JSON, from 1; None for all. The newest always stays. They apply to the writers made here.
    - `timeout`: for how many seconds, above 0, `create`, `resume`, a read, `flush` and `close` wait
      for the server at most.
    - `max_pending_bytes`: how many bytes of events, from 1, may wait to be written, of all runs
      together.

    Nothing is sent and no thread started before the first use. After a fork, each process goes on
    with connections and threads of its own; a writer or follower works only in the process that
    made it.

    Raises TypeError or ValueError for any other value.
    """

    def __init__(
        self,
        client: _Client,
        *,
        prefix: str = "axon:",
        ttl: float = 3600.0,
        lease: float = 15.0,
        max_events: int | None = None,
        max_bytes: int | None = None,
        timeout: float = 10.0,
        max_pending_bytes: int = 16 * 2**20,
    ) -> None:
        execute = getattr(client, "execute_command", None)
        if execute is None or inspect.iscoroutinefunction(execute):
            raise TypeError(
                "client must be a synchronous redis.Redis or redis.RedisCluster, got"
                f" {type(client).__module__}.{type(client).__qualname__}"
            )
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a str, got {type(prefix).__name__}")
        super().__init__(
            lambda: _Store(client, prefix, self._settings.ttl, self._settings.lease),
            ttl=ttl,
            lease=lease,
            max_events=max_events,
            max_bytes=max_bytes,
            timeout=timeout,
            max_pending_bytes=max_pending_bytes,
        )


class _Store:
    """The server; see `Store`."""

    def __init__(self, client: _Client, prefix: str, ttl: float, lease: float) -> None:
        self._client = client
        self._prefix = prefix
        self._codes = _code(ttl) + _code(lease)
        self._ttl = _milliseconds(_code(ttl))

    def key(self, run: str) -> str:
        return f"{self._prefix}{run}"

    def channel(self, run: str) -> str:
        return f"{self._prefix}c:{run}"

    def append(self, appends: Sequence[Append]) -> Sequence[End | Exception | None]:
        if len(appends) == 1:  # takes less than a pipeline does
            (append,) = appends
            reply = self._one(_APPEND, append.run, *self._arguments(append))
            return [_end(reply or "")]
        calls = [(append.run, self._arguments(append)) for append in appends]
        return [
            reply if isinstance(reply, Exception) else _end(reply)
            for reply in self._each(_APPEND, calls)
        ]

    def _arguments(self, append: Append) -> list[str | int]:
        writer = append.entries[-1].writer if append.entries else ""
        arguments: list[str | int] = [
            *(_id(append.after.cursor), append.after.writer, writer + self._codes, self._ttl),
            *("" if append.keep is None else append.keep, self.channel(append.run)),
        ]
        for entry in append.entries:
            is_expected = entry.before == _before(entry.cursor)
            arguments.append(_id(entry.cursor))
            arguments.append("" if is_expected else _id(entry.before))
            arguments.append(entry.text)
        return arguments

    def read(self, run: str, after: Cursor, limit: int) -> Page | None:
        reply = self._one(_READ, run, _id(after), limit)
        if reply is None:
            return None
        id, token, oldest, *lines = reply.split("\n")
        return Page(_entries(lines), _cursor(oldest), End(_cursor(id), token))

    def look(self, runs: Sequence[str]) -> Sequence[State | Exception]:
        return [
            reply if isinstance(reply, Exception) else _state(reply)
            for reply in self._each(_LOOK, [(run, ()) for run in runs])
        ]

    def close_if_dead(self, run: str, end: End) -> None:
        self._one(_END, run, CLOSED, self.channel(run), _id(end.cursor), end.writer)

    def delete(self, run: str) -> None:
        self._one(_END, run, DELETED, self.channel(run))

    def infos(self) -> Iterator[tuple[str, Sequence[Entry]]]:
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", self._prefix) + "*"
        with _translated():
            # A set, since SCAN may return a key twice.
            keys = {_text(key) for key in self._client.scan_iter(pattern, _BATCH, "stream")}
        names = iter([key[len(self._prefix) :] for key in keys])
        while batch := list(islice(names, _BATCH)):
            replies = self._each(_TAIL, [(name, ()) for name in batch])
            for name, reply in zip(batch, replies, strict=True):
                if isinstance(reply, Exception):
                    raise reply
                if reply is not None:
                    yield name, _entries(reply.split("\n"))

    def watch(self, on_entries: OnEntries) -> "_Watch":
        return _Watch(self._client, self, on_entries)

    def close(self) -> None:
        """Do nothing: the client is the caller's."""

    def _one(self, script: str, run: str, *arguments: str | int) -> str | None:
        """Evaluate a script for a run, and return what it returns."""
        with _translated():
            reply = self._client.execute_command("EVAL", script, 1, self.key(run), *arguments)
        return None if reply is None else _text(reply)

    def _each(self, script: str, calls: Sequence[tuple[str, Sequence[str | int]]]) -> "list[Any]":
        """Evaluate a script for some runs; return what it returns, or an exception, for each.

        Raises StoreUnavailable if no server answers.
        """
        nodes: dict[str, Any] = {}
        indexes_at: dict[str, list[int]] = {}
        for index, (run, _) in enumerate(calls):
            name, node = self._node(run)
            nodes[name] = node
            indexes_at.setdefault(name, []).append(index)
        replies: list[Any] = [None] * len(calls)
        for name, indexes in indexes_at.items():
            node = nodes[name]
            found = self._of_node(node, script, [calls[index] for index in indexes])
            for index, reply in zip(indexes, found, strict=True):
                replies[index] = reply
        if calls and all(isinstance(reply, StoreUnavailable) for reply in replies):
            raise replies[0]
        return replies

    def _node(self, run: str) -> tuple[str, Any]:
        """Return the node of a cluster that has a run, with its name; None if there is none."""
        if (find := getattr(self._client, "get_node_from_key", None)) is not None:
            with suppress(Exception):  # no node has it now
                node = find(self.key(run))
                return node.name, node
        return "", None

    def _of_node(
        self, node: Any, script: str, calls: Sequence[tuple[str, Sequence[str | int]]]
    ) -> Sequence[Any]:
        """Do what `_each` does for runs that are on one node.

        A pipeline of a cluster would fail as a whole with any of its nodes, and that of redis-py 7
        and 8 asks one of them for the key of each script.
        """
        replies: list[Any]
        try:
            with _translated():
                pipeline = self._client_of(node).pipeline(transaction=False)
                for run, arguments in calls:
                    pipeline.execute_command("EVAL", script, 1, self.key(run), *arguments)
                replies = [_reply(reply) for reply in pipeline.execute(raise_on_error=False)]
        except StoreUnavailable as error:
            replies = [error] * len(calls)
        failed = [isinstance(reply, StoreUnavailable) for reply in replies]
        if node is not None and any(failed):
            # The runs may be elsewhere now. One call has the client of the cluster find out where.
            index = failed.index(True)
            run, arguments = calls[index]
            try:
                replies[index] = self._one(script, run, *arguments)
            except Exception as error:
                replies[index] = error
        return replies

    def _client_of(self, node: Any) -> Any:
        if node is None:
            return self._client
        client: Any = self._client
        connection = getattr(client, "get_redis_connection", None) or client.get_valkey_connection
        return connection(node)


class _Watch:
    """One connection, subscribed to the channels of all runs that are followed here.

    It also has a channel of its own, where it sends itself messages. In a cluster every node passes
    on what is published at any node; the client chooses a node by the first channel.
    """

    def __init__(self, client: _Client, store: _Store, on_entries: OnEntries) -> None:
        self._client = client
        self._store = store
        self._on_entries = on_entries
        self._runs: set[str] = set()
        self._changes: deque[str] = deque()  # runs added or removed since the last look
        self._pubsub: Any = None
        self._own = ""
        self._echo_at = 0.0  # when to send the next message to itself
        self._waits_since: float | None = None  # when it sent the first one that it has not heard

    def add(self, run: str) -> None:
        self._runs.add(run)
        self._changes.append(run)

    def remove(self, run: str) -> None:
        self._runs.discard(run)
        self._changes.append(run)

    def wait(self, timeout: float) -> None:
        end = time.monotonic() + timeout
        try:
            while not self._has_told(end) and time.monotonic() < end:
                pass
        except BaseException:
            self.close()
            raise

    def _has_told(self, end: float) -> bool:
        """Wait for a moment, pass on what has come, and return whether anything has."""
        with _translated():
            message = self._next(end)
        if message is None:
            return False
        channel = _text(message["channel"])
        if channel == self._own:
            self._waits_since = None
            return False
        run = channel[len(self._store.channel("")) :]
        if message["type"] == "subscribe":
            self._on_entries(run, ())
        elif message["type"] == "message":
            lines = _text(message["data"])
            self._on_entries(run, _told(lines.split("\n")) if lines else ())
        return True

    def _next(self, end: float) -> Any:
        """Wait for a moment, and return the next message; None if there is none."""
        self._subscribe()
        now = time.monotonic()
        if now >= self._echo_at:
            self._echo_at = now + _ECHO_SECONDS
            self._waits_since = self._waits_since or now
            self._client.execute_command("PUBLISH", self._own, "")
        left = min(end - time.monotonic(), _TICK_SECONDS)
        message = self._pubsub.get_message(timeout=max(left, 0.0))
        # Only if nothing is left to receive: its own message may be further back.
        if message is None and self._waits_since is not None:
            silence = time.monotonic() - self._waits_since
            if silence > _SILENCE_SECONDS:
                self.close()
        return message

    def _subscribe(self) -> None:
        """Subscribe to the runs that were added, and unsubscribe from those that were removed."""
        if self._pubsub is None:
            self._own = f"{self._store.key('h:')}{secrets.token_urlsafe(6)}"
            self._waits_since = None
            self._echo_at = 0.0
            self._changes.extend(list(self._runs))
            self._pubsub = self._client.pubsub()
            self._pubsub.subscribe(self._own)
        if self._changes:
            # Taken before `_runs` is read, so that a later change is not missed.
            runs = {self._changes.popleft() for _ in range(len(self._changes))}
            added = [self._store.channel(run) for run in runs if run in self._runs]
            removed = [self._store.channel(run) for run in runs if run not in self._runs]
            if added:
                self._pubsub.subscribe(*added)
            if removed:
                self._pubsub.unsubscribe(*removed)

    def close(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.close()


# The client's pool has locks. A fork waits only a second: a call may be waiting for the network.
_calls: Final = Calls(1.0)


@contextmanager
def _translated() -> Iterator[None]:
    """Count a call of the client, and raise StoreUnavailable for an error that may pass."""
    try:
        with _calls:
            yield
    except Exception as error:
        translation = _translation(error)
        if translation is error:
            raise
        raise translation from error


def _translation(error: Exception) -> Exception:
    """Return a StoreUnavailable for an error that may pass, and any other error as it is."""
    names = {kind.__name__ for kind in type(error).__mro__}
    passes = names.isdisjoint(_STAYING) or not names.isdisjoint(_PASSING)
    if not passes and not _PASSING_TEXT.search(str(error)):
        return error
    return StoreUnavailable(f"the server does not answer: {type(error).__name__}: {error}")


def _reply(reply: Any) -> Any:
    if isinstance(reply, Exception) and not isinstance(reply, StoreUnavailable):
        return _translation(reply)
    return _text(reply) if isinstance(reply, bytes) else reply


def _text(reply: bytes | str) -> str:
    return reply.decode() if isinstance(reply, bytes) else reply


def _id(cursor: Cursor) -> str:
    return f"{cursor[0]}-{cursor[1]}"


def _cursor(id: str) -> Cursor:
    token, _, since = id.partition("-")
    return int(token), int(since)


def _before(cursor: Cursor) -> Cursor:
    """Return the expected cursor of the entry before the one with a cursor.

    Always right if K is not 0, and nearly always otherwise, since tokens count up by one.
    """
    token, since = cursor
    return (token, since - 1) if since else (token - 1, 0)


def _entry(id: str, before: str, writer: str, text: str) -> Entry:
    cursor = _cursor(id)
    return Entry(cursor, _cursor(before) if before else _before(cursor), text, writer)


def _entries(lines: Sequence[str]) -> list[Entry]:
    """Return the entries that a script has returned."""
    entries: list[Entry] = []
    w = ""
    for index in range(len(lines) - 4, -1, -4):
        id, before, own, text = lines[index : index + 4]
        w = own or w  # the last entry of each append has it
        entries.append(_entry(id, before, w[:-4], text))
    entries.reverse()
    return entries


def _told(lines: Sequence[str]) -> list[Entry]:
    """Return the entries of a message."""
    return [
        _entry(id, before, "", text)
        for id, before, text in zip(lines[::3], lines[1::3], lines[2::3], strict=True)
    ]


def _state(reply: str) -> State:
    id, token, age, lease = reply.split(" ")
    return State(End(_cursor(id), token), float(age) / 1000, float(lease) / 1000)


def _end(reply: str) -> End | None:
    """Return where a run ends if the append was refused, or None if it was made."""
    if not reply:
        return None
    id, token = reply.split(" ")
    return NOWHERE if id == "0-0" else End(_cursor(id), token)


def _code(seconds: float) -> str:
    """Return a time as two characters: its first two digits in ms, and how many zeros follow."""
    number, zeros = int(-(-seconds * 1000 // 1)), 0
    while number > 90:
        number, zeros = -(-number // 10), zeros + 1
    return chr(33 + number) + chr(48 + zeros)


def _milliseconds(code: str) -> int:
    return int((ord(code[0]) - 33) * 10 ** (ord(code[1]) - 48))
