"""Errors by what the caller can do about them. Each has a ``code``; codes are the same in every library."""

from __future__ import annotations


class StatesetError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class VesError(StatesetError):
    """A rule is broken: of VES, or of webhooks. Nothing was sent, or what was given does not verify."""


class RefusedError(StatesetError):
    """The server answered and said no."""

    def __init__(self, status: int, code: str, message: str, request_id: str | None = None) -> None:
        super().__init__(code, f"the server refused ({code}): {message}")
        self.status = status
        self.request_id = request_id


class UnreachableError(StatesetError):
    """No answer came, as often as was asked."""

    def __init__(self, url: str, problem: object) -> None:
        super().__init__("unreachable", f"no answer from {url}: {problem}")


class UnreadableError(StatesetError):
    """The answer is not what the protocol says."""

    def __init__(self, path: str, problem: object) -> None:
        super().__init__("unreadable", f"the server's answer to {path} cannot be read: {problem}")


class UntrueError(StatesetError):
    """The server claimed something that does not verify. Its ``code`` is that of the check that failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, f"the server's answer does not verify: {message}")
