"""Requests, their repetition, and the reading of refusals."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .errors import RefusedError, StatesetError, UnreachableError, UnreadableError, VesError

#: A request is sent at most this often.
ATTEMPTS_MAX = 6
#: Pause before the second attempt; it doubles from one to the next.
PAUSE_FIRST_SECONDS = 0.1
#: A server that asks for a longer pause than this is believed to be down.
PAUSE_MAX_SECONDS = 10.0
REQUEST_TIMEOUT_SECONDS = 60.0
#: Larger than any page: 1,000 events whose payloads share the server's limits.
ANSWER_BYTES_MAX = 256 * 1024 * 1024


@dataclass
class Request:
    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None = None


@dataclass
class Answer:
    """What a server answered, whatever it was. ``lines`` is the body of an answer that goes on."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    lines: Iterator[bytes] | None = None


#: Sends one request. Raises ``OSError`` where no answer came.
Transport = Callable[[Request], Answer]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects(), urllib.request.ProxyHandler({}))


def send(request: Request) -> Answer:
    """Over the network, with the standard library."""
    asked = urllib.request.Request(request.url, request.body, request.headers, method=request.method)
    try:
        response = _OPENER.open(asked, timeout=REQUEST_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, _bounded(refused), {k.lower(): v for k, v in refused.headers.items()})
    headers = {name.lower(): value for name, value in response.headers.items()}
    if headers.get("content-type", "").startswith("text/event-stream"):
        return Answer(response.status, headers=headers, lines=_lines(response))
    with response:
        return Answer(response.status, _bounded(response), headers)


def _bounded(response: Any) -> bytes:
    body: bytes = response.read(ANSWER_BYTES_MAX + 1)
    if len(body) > ANSWER_BYTES_MAX:
        raise StatesetError("unreadable", f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
    # Reading up to a length ends at a cut as at the end.
    if missing := getattr(response, "length", None):
        raise http.client.IncompleteRead(body, missing)
    return body


def _lines(response: Any) -> Iterator[bytes]:
    with response:
        while line := response.readline(32 * 1024 * 1024):
            yield line


class Http:
    def __init__(self, url: str, api_key: str | None, transport: Transport | None) -> None:
        if not re.fullmatch(r"https?://[^/?#\s]+/*", url):
            raise StatesetError("invalid_input", f"url: {url!r} should look like http://127.0.0.1:8080")
        self.base = url.rstrip("/")
        self._headers = {"x-api-key": api_key} if api_key else {}
        self._send = transport or send

    def get(self, path: str, **query: object) -> Any:
        return self._read(path, self._repeat("GET", path, query, None))

    def post(self, path: str, body: object) -> Any:
        """Every post of this library may be repeated: the server answers a repetition like the first."""
        return self._read(path, self._repeat("POST", path, {}, json.dumps(body, ensure_ascii=False).encode()))

    def text(self, path: str, **query: object) -> str:
        return self._repeat("GET", path, query, None).decode()

    def stream(self, path: str, last: int, **query: object) -> Iterator[bytes] | None:
        """The lines of an answer that goes on; ``None`` where the server has no such route.

        A server whose log has not come to the last number refuses: it is another log, or an older copy.
        """
        request = self._request("GET", path, query, None, "text/event-stream")
        request.headers["last-event-id"] = str(last)
        answer = self._send(request)
        if answer.lines is not None:
            return answer.lines
        if 200 <= answer.status < 300 or answer.status in (404, 405):
            return None
        raise _refusal(answer)

    def _request(self, method: str, path: str, query: dict[str, object], body: bytes | None, accept: str) -> Request:
        pairs = {name: value for name, value in query.items() if value is not None}
        headers = self._headers | {"accept": accept, "user-agent": "stateset-client-python/0.1.0"}
        if body is not None:
            headers["content-type"] = "application/json"
        url = f"{self.base}{path}" + (f"?{urllib.parse.urlencode(pairs)}" if pairs else "")
        return Request(method, url, headers, body)

    def _repeat(self, method: str, path: str, query: dict[str, object], body: bytes | None) -> bytes:
        request, pause = self._request(method, path, query, body, "application/json"), PAUSE_FIRST_SECONDS
        for attempt in range(1, ATTEMPTS_MAX + 1):
            last = attempt == ATTEMPTS_MAX
            try:
                answer = self._send(request)
            except (OSError, http.client.HTTPException) as problem:
                # A refused connection means nobody listens: waiting for a server that is not there helps nobody.
                if last or is_connection_refused(problem):
                    raise UnreachableError(self.base, problem) from problem
                time.sleep(pause)
            else:
                if 200 <= answer.status < 300:
                    return answer.body
                after = answer.headers.get("retry-after", "")
                asked = float(after) if re.fullmatch(r"[0-9]{1,6}", after) else pause
                if last or answer.status not in (429, 503, 504) or asked > PAUSE_MAX_SECONDS:
                    raise _refusal(answer)
                time.sleep(asked)
            pause *= 2
        raise AssertionError("the last attempt returns or raises")

    def _read(self, path: str, body: bytes) -> Any:
        return read_json(path, body)


def read_json(path: str, body: bytes | str) -> Any:
    """The value of an answer; a repeated member is refused, since readers would not agree on which one counts."""
    try:
        return json.loads(body, object_pairs_hook=_members)
    except (ValueError, RecursionError, VesError) as problem:
        raise UnreadableError(path, problem) from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise VesError("duplicate_member", "a member of an object is repeated")
    return members


def is_connection_refused(problem: BaseException) -> bool:
    reason = problem.reason if isinstance(problem, urllib.error.URLError) else problem
    return isinstance(reason, ConnectionRefusedError)


def _refusal(answer: Answer) -> RefusedError:
    try:
        error = json.loads(answer.body)["error"]
        return RefusedError(answer.status, error["code"], error["message"], error.get("request_id"))
    except (ValueError, KeyError, TypeError, AttributeError):
        said = answer.body[:200].decode(errors="replace")
        return RefusedError(answer.status, f"HTTP_{answer.status}", said)
