"""Canonical JSON (RFC 8785; VES, section 3). A repeated member is refused, never resolved."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from .errors import VesError

#: Most arrays and objects open at once.
DEPTH_MAX = 128

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_TO_ESCAPE = re.compile(r'["\\\x00-\x1f]')
_SURROGATE = re.compile("[\ud800-\udfff]")


def canonicalize(text: str, strict: bool = False) -> str:
    """The canonical form of a JSON text. ``strict`` refuses integers that no double holds, as signing does.

    Codes: ``invalid_json``, ``duplicate_member``, ``number_out_of_range``, ``too_deep``, ``inexact_number``.
    """
    return _print(parse(text, strict))


def canonical_value(value: Any) -> str:
    """The canonical form of a Python value of ``dict``, ``list``, ``str``, numbers, ``bool`` and ``None``.

    Codes: those of :func:`canonicalize`, of which ``invalid_json`` says that the value has no JSON form.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise VesError("invalid_json", f"the value has no JSON form: {problem}") from None
    return canonicalize(text, strict=True)


def parse(text: str, strict: bool = False) -> Any:
    """The value of a JSON text, every number a ``float``. Codes: as of :func:`canonicalize`."""
    _check_depth(text)

    def number(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            raise VesError("number_out_of_range", f"the number {digits[:40]} is beyond the range of a double")
        return value

    def integer(digits: str) -> float:
        value = number(digits)
        # More digits than any double has are not exact, and not turned into an int of their length.
        if strict and (len(digits) > 310 or int(value) != int(digits)):
            raise VesError("inexact_number", f"the integer {digits[:40]} has no exact double; write it as a string")
        return value

    def constant(name: str) -> Any:
        raise VesError("invalid_json", f"{name} is no JSON")

    try:
        value = json.loads(
            text, parse_int=integer, parse_float=number, parse_constant=constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as problem:
        raise VesError("invalid_json", str(problem)) from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise VesError("duplicate_member", "a member of an object is repeated")
    return members


def _check_depth(text: str) -> None:
    if text.startswith("\ufeff"):
        raise VesError("invalid_json", "it begins with a byte order mark")
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH_MAX:
            raise VesError("too_deep", f"nested deeper than {DEPTH_MAX} levels")


def _print(value: Any) -> str:
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return "[" + ",".join(map(_print, value)) + "]"
    # Members by UTF-16 code units.
    members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be", "surrogatepass"))
    return "{" + ",".join(f"{_string(name)}:{_print(inner)}" for name, inner in members) + "}"


def _string(text: str) -> str:
    if _SURROGATE.search(text):
        raise VesError("invalid_json", "a surrogate stands alone")
    return '"' + _TO_ESCAPE.sub(lambda found: _ESCAPES.get(found[0]) or f"\\u{ord(found[0]):04x}", text) + '"'


def _number(value: float) -> str:
    """The shortest digits that read back, as ECMAScript prints them."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, exponent = f"{abs(value)!r}e0".split("e")[:2]
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    digits = (whole + fraction).lstrip("0")
    # The place of the decimal point relative to the first digit.
    point = int(exponent) + (len(whole) if whole != "0" else len(digits) - len(fraction))
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        plain = digits.ljust(point, "0")
        return sign + plain[:point] + (f".{plain[point:]}" if len(plain) > point else "")
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{rest}e{'+' if point > 0 else '-'}{abs(point - 1)}"
