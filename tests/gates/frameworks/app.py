# SPDX-License-Identifier: MIT
# Copyright (c) 2026 the axon_events authors
"""An application in FastAPI that takes and gives events in each way that there is.

Started as a program, it serves on a free port of 127.0.0.1, which it prints. Below `/page` is the
application of docs/events.md.
"""

import socket
from typing import Annotated, Any

import fastapi  # pyright: ignore[reportMissingImports]
import pydantic  # pyright: ignore[reportMissingImports]
import uvicorn  # pyright: ignore[reportMissingImports]

from axon_events import Event, FlowError, FlowExecutionEvent, StepToken, to_dict

from ... import ROOT
from ...host import blocks

SNIPPETS = blocks(ROOT / "docs" / "events.md", "python pydantic")


class Envelope(pydantic.BaseModel):  # type: ignore[misc]  # mypy is not to see pydantic
    event: Event
    more: list[Event] = []


async def union(event: Event) -> Event:
    return event


async def discriminated(event: Annotated[Event, fastapi.Body(discriminator="kind")]) -> Event:
    return event


async def base(event: FlowExecutionEvent) -> FlowExecutionEvent:
    return event


async def one(event: FlowError) -> FlowError:
    return event


async def token(event: StepToken) -> StepToken:
    return event


async def several(events: list[Event]) -> list[Event]:
    return events


async def envelope(envelope: Envelope) -> Envelope:
    return envelope


async def encoded(event: Event) -> object:
    return event


async def as_dict(event: Event) -> object:
    return to_dict(event)


def application() -> Any:
    """Return the application."""
    app = fastapi.FastAPI()
    declared: list[Any] = [union, discriminated, base, one, token, several, envelope]
    for endpoint in declared:
        app.add_api_route(f"/{endpoint.__name__}", endpoint, methods=["POST"])
    for endpoint in (encoded, as_dict):
        path = f"/{endpoint.__name__}"
        app.add_api_route(path, endpoint, methods=["POST"], response_model=None)
    (snippet,) = (snippet for snippet in SNIPPETS if "FastAPI()" in snippet)
    names: dict[str, Any] = {}
    exec(compile(snippet, "docs/events.md", "exec"), names)
    app.mount("/page", names["app"])
    return app


if __name__ == "__main__":
    # asyncio sends at once only where it sees that the protocol is TCP.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        print(server.getsockname()[1], flush=True)
        uvicorn.Server(uvicorn.Config(application(), log_level="warning")).run([server])
