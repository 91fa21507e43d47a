# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""The server of the serving race: a process that runs one contestant under uvicorn.

`python -m benchmarks.serving_apps NAME --runs N --events N` prints its port. A line on standard
input starts the runs, which then have 100 events a second each; the end of it stops the process.
"""

import argparse
import asyncio
import dataclasses
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal, NamedTuple

import uvicorn  # pyright: ignore[reportMissingImports]
import uvloop  # pyright: ignore[reportMissingImports]

from axon_events import Event, FlowComplete, StepToken
from axon_events.replay import ReplayLog

EVENTS_PER_SECOND = 100

_COMPLETE: dict[str, Any] = {
    "flow_name": "Harbour report",
    "backend": "anthropic",
    "success": True,
    "steps_executed": 1,
    "tokens_input": 812,
    "tokens_output": 64,
    "latency_ms": 5_000,
    "timestamp_ms": 1_700_000_005_000,
}


def _token(text: str, index: int) -> dict[str, Any]:
    return {
        "step_name": "Summarise",
        "content": text,
        "token_index": index,
        "timestamp_ms": 1_700_000_000_000,
    }


class Contestant(NamedTuple):
    """An application, and how its runs are fed: with the texts of tokens, then with their end."""

    app: Any
    send: Callable[[int, str, int], object]  # to a run: the token's text and its index
    end: Callable[[int], object]


def _fastapi() -> Any:
    from fastapi import FastAPI  # pyright: ignore[reportMissingImports]

    return FastAPI(openapi_url=None)


def _logs(app: Any, logs: list[ReplayLog]) -> Contestant:
    return Contestant(
        app,
        lambda run, text, index: logs[run].append(StepToken(**_token(text, index))),
        lambda run: logs[run].append(FlowComplete(**_COMPLETE)),
    )


def _plain(runs: int) -> Contestant:
    """Return the package's own application."""
    from axon_events.web import asgi

    logs = [ReplayLog() for _ in range(runs)]
    return _logs(asgi(lambda scope: logs[int(scope["path"][1:])]), logs)


def _streaming_response(runs: int) -> Contestant:
    """Return the package's answer in an application of FastAPI."""
    from fastapi import Request  # pyright: ignore[reportMissingImports]
    from fastapi.responses import StreamingResponse  # pyright: ignore[reportMissingImports]

    from axon_events.web import aresponse, last_event_id

    app = _fastapi()
    logs = [ReplayLog() for _ in range(runs)]

    @app.get("/{run}")  # type: ignore[untyped-decorator]  # unknown to the type checkers
    async def stream(run: int, request: Request) -> StreamingResponse:
        answer = await aresponse(logs[run], last_event_id(request.headers))
        return StreamingResponse(answer.body, answer.status, answer.headers)

    return _logs(app, logs)


def _queues(runs: int) -> Contestant:
    """Return the peer: a queue for each client, pydantic and sse-starlette in FastAPI."""
    import pydantic  # pyright: ignore[reportMissingImports]
    from sse_starlette import (  # pyright: ignore[reportMissingImports]
        EventSourceResponse,
        ServerSentEvent,
    )

    # Not those of `models`, which imports far more than such a server would.
    def model(cls: type[Event]) -> Any:
        fields: dict[str, Any] = {field.name: field.type for field in dataclasses.fields(cls)}
        return pydantic.create_model(
            cls.__name__,
            __config__=pydantic.ConfigDict(frozen=True),
            kind=(Literal[cls.kind], cls.kind),  # pyright: ignore[reportInvalidTypeForm]
            **fields,
        )

    token = model(StepToken)
    complete = model(FlowComplete)
    app = _fastapi()
    queues: list[set[asyncio.Queue[Any]]] = [set() for _ in range(runs)]

    async def frames(run: int, queue: asyncio.Queue[Any]) -> AsyncIterator[Any]:
        try:
            while True:
                event = await queue.get()
                id = str(event.token_index) if event.kind == "step_token" else None
                yield ServerSentEvent(event.model_dump_json(), event=event.kind, id=id)
                if event.kind == "flow_complete":
                    break
        finally:
            queues[run].discard(queue)

    @app.get("/{run}")  # type: ignore[untyped-decorator]
    async def stream(run: int) -> EventSourceResponse:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        queues[run].add(queue)
        return EventSourceResponse(frames(run, queue))

    def send(run: int, event: Any) -> None:
        for queue in queues[run]:
            queue.put_nowait(event)

    return Contestant(
        app,
        lambda run, text, index: send(run, token(**_token(text, index))),
        lambda run: send(run, complete(**_COMPLETE)),
    )


CONTESTANTS: Mapping[str, Callable[[int], Contestant]] = {
    "web.asgi": _plain,
    "web.aresponse in FastAPI": _streaming_response,
    "queues, pydantic, sse-starlette": _queues,
}


async def _produce(contestant: Contestant, runs: int, events: int) -> None:
    """Give each run its events in turn, each with the time of that as its text, and its end.

    What is due is never left out: a loop that comes late gives all of it at once.
    """
    interval = 1 / EVENTS_PER_SECOND / runs
    begun = time.monotonic()
    for n in range(events * runs):
        while (wait := begun + n * interval - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        contestant.send(n % runs, str(time.monotonic_ns()), n // runs + 1)
    for run in range(runs):
        contestant.end(run)


async def _serve(contestant: Contestant, runs: int, events: int) -> None:
    config = uvicorn.Config(
        contestant.app,
        host="127.0.0.1",
        port=0,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        log_level="warning",
        access_log=False,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    if await asyncio.to_thread(sys.stdin.readline):
        await _produce(contestant, runs, events)
        await asyncio.to_thread(sys.stdin.readline)
    server.should_exit = server.force_exit = True
    await serving


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--events", type=int, required=True, help="for each run")
    arguments = parser.parse_args()
    contestant = CONTESTANTS[arguments.name](arguments.runs)
    uvloop.run(_serve(contestant, arguments.runs, arguments.events))


if __name__ == "__main__":
    main()
