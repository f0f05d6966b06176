"""Events as they come: server-sent events where the server has them, pages asked again and again where not."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from .errors import RefusedError, UnreachableError
from .http import Http, read_json

_PATH = "/api/v1/events/stream"
_PAUSE_FIRST_SECONDS = 0.25
_PAUSE_MAX_SECONDS = 10.0
_PASSING = (408, 429, 500, 502, 503, 504)

_T = TypeVar("_T")
#: Delivers entries from a number on, until it cannot any more; then it is asked anew from where it stopped.
Source = Callable[[int], Iterable[dict[str, Any]]]


def follow(
    http_: Http, stream: dict[str, str], page: Callable[[int], dict[str, Any]],
    verify: Callable[[dict[str, Any], int], _T], from_: int, stop: threading.Event, poll_seconds: float,
) -> Iterator[_T]:
    source: Source | None = None
    next_, pause = max(1, from_), _PAUSE_FIRST_SECONDS
    while not stop.is_set():
        try:
            lines = None
            if source is None:
                lines = http_.stream(_PATH, next_ - 1, **stream, **{"from": next_})
            if lines is None:
                source = source or _pages(page, stop, poll_seconds)
            entries = source(next_) if lines is None and source else _entries(lines or ())
            for entry in entries:
                verified = verify(entry, next_)
                next_, pause = next_ + 1, _PAUSE_FIRST_SECONDS
                yield verified
                if stop.is_set():
                    return
        except (OSError, http.client.HTTPException, UnreachableError):
            pass
        except RefusedError as refused:
            # What another attempt cannot mend is the caller's.
            if refused.status not in _PASSING:
                raise
        stop.wait(pause)
        pause = min(2 * pause, _PAUSE_MAX_SECONDS)


def _pages(page: Callable[[int], dict[str, Any]], stop: threading.Event, poll_seconds: float) -> Source:
    def entries(next_: int) -> Iterator[dict[str, Any]]:
        while not stop.is_set():
            found = page(next_)
            yield from found["events"]
            next_ += len(found["events"])
            if next_ > found["head_sequence"] or not found["events"]:
                stop.wait(poll_seconds)

    return entries


def _entries(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for event, data in messages(lines):
        if event == "end":
            return
        if event == "message":
            yield read_json(_PATH, data)


def messages(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """The events of a stream of server-sent events (WHATWG HTML, section 9.2), as name and data."""
    event = "message"
    data: list[str] = []
    for line in lines:
        if not line.endswith((b"\n", b"\r")):
            # The connection ended within a line, and so within an event.
            return
        # Lines are cut at \n; one that holds a \r is several.
        for part in line.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
            name, _, content = part.partition(":")
            content = content.removeprefix(" ")
            if not part:
                if data:
                    yield event, "\n".join(data)
                event, data = "message", []
            elif name == "event":
                event = content
            elif name == "data":
                data.append(content)
