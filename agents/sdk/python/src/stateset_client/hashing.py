"""Hashes with their domains, and bytes as they stand in them (VES, sections 2 and 4)."""

from __future__ import annotations

import hashlib
import re
import struct

from .errors import VesError

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


def u64(number: int) -> bytes:
    return struct.pack(">Q", number)


def text(value: str) -> bytes:
    """``STR``: the length, then the bytes."""
    raw = value.encode()
    return u32(len(raw)) + raw


def uuid_bytes(value: object) -> bytes:
    """Only the hyphenated form, which is what every reader takes."""
    if not is_uuid(value):
        raise VesError("invalid_input", f"{value!r} is no hyphenated UUID")
    return bytes.fromhex(str(value).replace("-", ""))


def is_uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


def from_hex(field: str, value: object, length: int, code: str = "invalid_input") -> bytes:
    """Bytes of this length, from hex with or without ``0x``."""
    digits = value.removeprefix("0x") if isinstance(value, str) else ""
    if len(digits) != 2 * length or not re.fullmatch(r"[0-9a-fA-F]*", digits):
        raise VesError(code, f"{field}: it is not {length} bytes in hex")
    return bytes.fromhex(digits)
