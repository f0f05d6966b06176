"""Webhooks by the public standard: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature`` over ``id.timestamp.body``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Mapping

from .errors import VesError

#: How far the time of a webhook may lie from now.
WEBHOOK_TOLERANCE_SECONDS = 300


def verify_webhook(secret: str, headers: Mapping[str, str], body: bytes, now: float | None = None) -> None:
    """Raises unless the body was signed with the secret (``whsec_…``) within the last five minutes.

    ``body`` is what was received, byte for byte: verify before parsing. A webhook may come again: remember its id.

    Codes: ``webhook_secret``, ``webhook_headers``, ``webhook_too_old``, ``webhook_too_new``,
    ``webhook_invalid_signature``.
    """
    key = _decoded(secret.removeprefix("whsec_"))
    if not key:
        raise VesError("webhook_secret", "the secret is not whsec_ and base64")
    named = {name.lower(): value for name, value in headers.items()}
    id_, at, signatures = (named.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not id_ or not signatures or not re.fullmatch(r"[0-9]{1,15}", at):
        raise VesError("webhook_headers", "webhook-id, webhook-timestamp (seconds) and webhook-signature are needed")
    age = (time.time() if now is None else now) - int(at)
    if age > WEBHOOK_TOLERANCE_SECONDS:
        raise VesError("webhook_too_old", f"it was sent {age} s ago")
    if age < -WEBHOOK_TOLERANCE_SECONDS:
        raise VesError("webhook_too_new", f"its time is {-age} s ahead")
    expected = hmac.new(key, f"{id_}.{at}.".encode() + body, hashlib.sha256).digest()
    for entry in signatures.split(" "):
        given = _decoded(entry.removeprefix("v1,")) if entry.startswith("v1,") else None
        if given is not None and hmac.compare_digest(given, expected):
            return
    raise VesError("webhook_invalid_signature", "no signature is of this secret over this body")


def _decoded(value: str) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
