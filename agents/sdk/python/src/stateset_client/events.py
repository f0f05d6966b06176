"""One event: signing, sealing, opening, checking (VES, sections 5 to 8)."""

from __future__ import annotations

import base64
import json
import os
import re
import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .canonical import canonical_value, canonicalize
from .errors import VesError
from .hashing import from_hex, is_uuid, sha256, text, u32, uuid_bytes
from .keys import OpeningKey, Signer, verifies, wrap

#: An event as JSON: the envelope of section 5.
Event = dict[str, Any]

_BOUNDS = {"entity_type": 128, "entity_id": 512, "event_type": 256}
_HPKE = {"mode": "base", "kem": "X25519-HKDF-SHA256", "kdf": "HKDF-SHA256", "aead": "AES-256-GCM"}
_RFC3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(\.[0-9]+)?([Zz]|[+-]([0-9]{2}):([0-9]{2}))")
_ZERO = bytes(32)


@dataclass(frozen=True)
class Stream:
    """A tenant and one of its stores: what one order is of."""

    tenant_id: str
    store_id: str


@dataclass(frozen=True)
class Recipient:
    """Who may open a sealed payload; the key is X25519."""

    kid: int
    public_key: bytes


class Agent:
    """Whoever writes events: a stream, an id, a signing key."""

    def __init__(self, stream: Stream, signer: Signer, agent_id: str | None = None, key_id: int = 1) -> None:
        self.stream, self.signer, self.key_id = stream, signer, key_id
        self.agent_id = agent_id or str(uuid.uuid4())

    def sign(self, entity_type: str, entity_id: str, event_type: str, payload: Any = None, **fields: Any) -> Event:
        """A signed event with its payload in clear.

        ``payload`` is any JSON value but null; or ``payload_json`` is its text. Further fields: ``created_at`` (RFC 3339;
        now, if left out), ``event_id`` (pushing an event again with the same id is safe), ``command_id``,
        ``base_version``.

        Codes: ``schema_validation``, ``null_payload``, and those of :func:`canonicalize`.
        """
        event, canonical = self._draft(entity_type, entity_id, event_type, payload, fields)
        event |= {
            "payload_kind": 0, "payload": _loaded(canonical),
            "payload_plain_hash": _hex(sha256(b"VES_PAYLOAD_PLAIN_V1", canonical.encode())),
            "payload_cipher_hash": _hex(_ZERO),
        }
        return self._signed(event)

    def seal(
        self, entity_type: str, entity_id: str, event_type: str, payload: Any = None, *,
        recipients: list[Recipient], **fields: Any,
    ) -> Event:
        """A signed event whose payload only the recipients can open.

        Codes: those of :meth:`sign`, ``no_recipients``, ``repeated_recipient``, ``weak_recipient_key``.
        """
        event, canonical = self._draft(entity_type, entity_id, event_type, payload, fields)
        randomness = _Randomness(
            os.urandom(16), os.urandom(32), os.urandom(12), tuple(os.urandom(32) for _ in recipients))
        return self._signed(_sealed(event, canonical, recipients, randomness))

    def prove_possession(self) -> bytes:
        """A signature that proves to a registry that this agent holds its key."""
        key = self.signer.public_key
        return self.signer.sign(possession_challenge(self.stream.tenant_id, self.agent_id, self.key_id, key))

    def _draft(
        self, entity_type: str, entity_id: str, event_type: str, payload: Any, fields: dict[str, Any],
    ) -> tuple[Event, str]:
        unknown = fields.keys() - {"created_at", "event_id", "command_id", "base_version", "payload_json"}
        if unknown:
            raise VesError("invalid_input", f"{sorted(unknown)[0]}: there is no such field")
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        event = {
            "ves_version": 1, "event_id": fields.get("event_id") or str(uuid.uuid4()),
            "tenant_id": self.stream.tenant_id, "store_id": self.stream.store_id,
            "source_agent_id": self.agent_id, "agent_key_id": self.key_id,
            "entity_type": entity_type, "entity_id": entity_id, "event_type": event_type,
            "created_at": fields.get("created_at") or now,
        }
        _check_texts(event)
        for name in ("command_id", "base_version"):
            if fields.get(name) is not None:
                event[name] = fields[name]
        if "command_id" in event:
            uuid_bytes(event["command_id"])
        given = fields.get("payload_json")
        canonical = canonical_value(payload) if given is None else canonicalize(given, strict=True)
        if canonical == "null":
            raise VesError("null_payload", "payload: null reads as missing")
        return event, canonical

    def _signed(self, event: Event) -> Event:
        return event | {"agent_signature": _hex(self.signer.sign(signing_hash(event)))}


def possession_challenge(tenant_id: str, agent_id: str, key_id: int, public_key: bytes) -> bytes:
    """What the owner of a signing key signs to prove it, bound to tenant, agent and key id (section 22)."""
    return sha256(b"VES_POP_V2", uuid_bytes(tenant_id), uuid_bytes(agent_id), u32(key_id), public_key)


def signing_hash(event: Event) -> bytes:
    """The 32 bytes that the agent signs (section 8.1)."""
    return sha256(
        b"VES_EVENTSIG_V1", u32(1), *_who(event), u32(event["payload_kind"]),
        from_hex("payload_plain_hash", event["payload_plain_hash"], 32),
        from_hex("payload_cipher_hash", event["payload_cipher_hash"], 32))


def payload_aad(event: Event) -> bytes:
    """What ties a sealed payload to its event (section 7.2)."""
    plain = from_hex("payload_plain_hash", event["payload_plain_hash"], 32)
    return sha256(b"VES_PAYLOAD_AAD_V1", *_who(event), plain)


def _who(event: Event) -> list[bytes]:
    ids = [uuid_bytes(event[name]) for name in ("tenant_id", "store_id", "event_id", "source_agent_id")]
    texts = [text(event[name]) for name in ("entity_type", "entity_id", "event_type", "created_at")]
    return [*ids, u32(event["agent_key_id"]), *texts]


@dataclass(frozen=True)
class _Randomness:
    """Of one sealed event, never used twice."""

    salt: bytes
    dek: bytes
    nonce: bytes
    ephemeral_secrets: tuple[bytes, ...]


def _sealed(event: Event, canonical: str, recipients: list[Recipient], randomness: _Randomness) -> Event:
    """Section 7.3."""
    if not recipients:
        raise VesError("no_recipients", "a sealed event needs at least one recipient")
    if len({recipient.kid for recipient in recipients}) != len(recipients):
        raise VesError("repeated_recipient", "a recipient is given twice")
    plaintext = randomness.salt + canonical.encode()
    event = event | {
        "payload_kind": 1, "payload_plain_hash": _hex(sha256(b"VES_PAYLOAD_PLAIN_V1", plaintext))}
    aad = payload_aad(event)
    sealed = AESGCM(randomness.dek).encrypt(randomness.nonce, plaintext, aad)
    wraps = []
    for recipient, secret in zip(recipients, randomness.ephemeral_secrets, strict=True):
        enc, ct = wrap(recipient.public_key, secret, aad, randomness.dek)
        wraps.append({"recipient_kid": recipient.kid, "enc_b64u": _b64u(enc), "ct_b64u": _b64u(ct)})
    event["payload_encrypted"] = {
        "enc_version": 1, "aead": "AES-256-GCM", "nonce_b64u": _b64u(randomness.nonce),
        "ciphertext_b64u": _b64u(sealed[:-16]), "tag_b64u": _b64u(sealed[-16:]), "hpke": dict(_HPKE),
        "recipients": sorted(wraps, key=lambda one: one["recipient_kid"])}
    return event | {"payload_cipher_hash": _hex(_cipher_hash(aad, _Sealed.read(event["payload_encrypted"])))}


@dataclass(frozen=True)
class _Sealed:
    """A sealed payload, decoded (section 7.1)."""

    nonce: bytes
    ciphertext: bytes
    tag: bytes
    recipients: tuple[tuple[int, bytes, bytes], ...]

    @classmethod
    def read(cls, value: Any) -> _Sealed:
        if not isinstance(value, dict):
            raise _schema("payload_encrypted", "it is missing")
        version, hpke = value.get("enc_version"), value.get("hpke")
        named = isinstance(hpke, dict) and all(hpke.get(name) == one for name, one in _HPKE.items())
        if type(version) is not int or version != 1 or value.get("aead") != "AES-256-GCM" or not named:
            raise _schema("payload_encrypted", "it is of another version or algorithm")
        listed = value.get("recipients")
        if not isinstance(listed, list) or not listed:
            raise _schema("payload_encrypted.recipients", "at least one is needed")
        recipients: list[tuple[int, bytes, bytes]] = []
        for one in listed:
            kid = one.get("recipient_kid") if isinstance(one, dict) else None
            if not isinstance(kid, int) or not _is_unsigned(kid, 32) or (recipients and kid <= recipients[-1][0]):
                raise _schema("payload_encrypted.recipients", "they ascend by recipient_kid")
            recipients.append((kid, _from_b64u(one, "enc_b64u", 32), _from_b64u(one, "ct_b64u", 48)))
        return cls(
            _from_b64u(value, "nonce_b64u", 12), _from_b64u(value, "ciphertext_b64u", None),
            _from_b64u(value, "tag_b64u", 16), tuple(recipients))


def _cipher_hash(aad: bytes, sealed: _Sealed) -> bytes:
    """Sections 7.4 and 7.5."""
    parts = [u32(kid) + u32(len(enc)) + enc + u32(len(ct)) + ct for kid, enc, ct in sealed.recipients]
    recipients = sha256(b"VES_RECIPIENTS_V1", *parts)
    ciphertext = u32(len(sealed.ciphertext)) + sealed.ciphertext
    return sha256(b"VES_PAYLOAD_CIPHER_V1", u32(1), sealed.nonce, aad, ciphertext, sealed.tag, recipients)


def open_event(event: Event, recipient_kid: int, key: OpeningKey) -> str:
    """The canonical JSON text of a sealed payload (section 7.6). The signature is not looked at: :func:`check_event`.

    Codes: ``not_encrypted``, ``recipient_not_found``, ``decryption_failed``, ``invalid_payload_format``,
    ``payload_hash_mismatch``.
    """
    _check_shape(event)
    if event["payload_kind"] != 1:
        raise VesError("not_encrypted", "the event is not encrypted")
    sealed, aad = _Sealed.read(event["payload_encrypted"]), payload_aad(event)
    found = [one for one in sealed.recipients if one[0] == recipient_kid]
    if not found:
        raise VesError("recipient_not_found", f"the event names no recipient {recipient_kid}")
    dek = key.unwrap(found[0][1], aad, found[0][2])
    try:
        plaintext = AESGCM(dek).decrypt(sealed.nonce, sealed.ciphertext + sealed.tag, aad)
        salt, inner = plaintext[:16], plaintext[16:].decode()
        canonical = canonicalize(inner)
    except InvalidTag:
        raise VesError("decryption_failed", "the payload does not open with this key") from None
    except (UnicodeDecodeError, VesError):
        raise VesError("invalid_payload_format", "the opened payload is no salted JSON text") from None
    signed = from_hex("payload_plain_hash", event["payload_plain_hash"], 32)
    # Readers that hash the bytes as they are and readers that make them canonical first have to agree.
    if canonical != inner or sha256(b"VES_PAYLOAD_PLAIN_V1", salt, canonical.encode()) != signed:
        raise VesError("payload_hash_mismatch", "the opened payload does not hash to the signed payload_plain_hash")
    return canonical


def check_event(event: Event, public_key: str | None = None) -> bytes:
    """Checks shape and payload hash, and the signature where the agent's key is given (64 hex digits). The signing hash.

    Codes: ``unsupported_version``, ``schema_validation``, ``invalid_payload_hash``, ``invalid_cipher_hash``,
    ``unusable_key``, ``unsupported_signature_scheme``, ``invalid_signature``.
    """
    _check_shape(event)
    if event["payload_kind"] == 0:
        canonical = canonical_of(event["payload"])
        plain = from_hex("payload_plain_hash", event["payload_plain_hash"], 32)
        if sha256(b"VES_PAYLOAD_PLAIN_V1", canonical.encode()) != plain:
            raise VesError("invalid_payload_hash", "payload_plain_hash is not the hash of the canonical payload")
    else:
        cipher = from_hex("payload_cipher_hash", event["payload_cipher_hash"], 32)
        if _cipher_hash(payload_aad(event), _Sealed.read(event["payload_encrypted"])) != cipher:
            raise VesError("invalid_cipher_hash", "payload_cipher_hash is not the hash of payload_encrypted")
    digest = signing_hash(event)
    if public_key is not None:
        if event.get("agent_signature_scheme") not in (None, 0, 1):
            raise VesError("unsupported_signature_scheme", "this library checks Ed25519 alone")
        signature = from_hex("agent_signature", event["agent_signature"], 64)
        if not verifies(public_key, digest, signature):
            raise VesError("invalid_signature", "agent_signature does not verify over the event signing hash")
    return digest


def canonical_of(payload: Any) -> str:
    """The canonical form of a payload that was read from JSON."""
    try:
        return canonicalize(json.dumps(payload, ensure_ascii=False))
    except VesError as problem:
        raise _schema("payload", str(problem)) from None


def _check_shape(event: Event) -> None:
    """Steps 3 to 7 of section 10."""
    if not isinstance(event, dict):
        raise _schema("event", "it is no object")
    if not _is_unsigned(event.get("ves_version"), 64):
        raise _schema("ves_version", "it is an integer")
    if event["ves_version"] != 1:
        raise VesError("unsupported_version", f"ves_version {event['ves_version']} is not supported")
    for name in ("event_id", "tenant_id", "store_id", "source_agent_id"):
        _check_uuid(name, event.get(name))
    if not _is_unsigned(event.get("agent_key_id"), 32):
        raise _schema("agent_key_id", "it is an integer of 32 bits")
    _check_texts(event)
    for name, length in (("payload_plain_hash", 32), ("payload_cipher_hash", 32), ("agent_signature", 64)):
        from_hex(name, event.get(name), length, "schema_validation")
    kind = event.get("payload_kind")
    if not _is_unsigned(kind, 1):
        raise _schema("payload_kind", "it is 0 or 1")
    if kind == 0:
        if event.get("payload") is None or event.get("payload_encrypted") is not None:
            raise _schema("payload", "an event of kind 0 has a payload, and none sealed")
        if from_hex("payload_cipher_hash", event["payload_cipher_hash"], 32) != _ZERO:
            raise _schema("payload_cipher_hash", "it is zero in an event of kind 0")
    else:
        if event.get("payload") is not None:
            raise _schema("payload", "an event of kind 1 has none in clear")
        _Sealed.read(event.get("payload_encrypted"))
    _check_unsigned_members(event)


def _check_unsigned_members(event: Event) -> None:
    if event.get("command_id") is not None:
        _check_uuid("command_id", event["command_id"])
    scheme, base_version = event.get("agent_signature_scheme"), event.get("base_version")
    if scheme is not None and (not _is_unsigned(scheme, 2)):
        raise _schema("agent_signature_scheme", "it is 0 to 3")
    if base_version is not None and not _is_unsigned(base_version, 64):
        raise _schema("base_version", "it is an integer of 64 bits")


def _check_uuid(name: str, value: object) -> None:
    if not is_uuid(value):
        raise _schema(name, "it is no hyphenated UUID")


def _check_texts(event: Event) -> None:
    for name, bytes_max in _BOUNDS.items():
        value = event.get(name)
        if not isinstance(value, str) or not 1 <= len(value.encode("utf-8", "surrogatepass")) <= bytes_max:
            raise _schema(name, f"it has 1 to {bytes_max} bytes")
        if re.search("[\\0\ud800-\udfff]", value):
            raise _schema(name, "it has no NUL and no half of a character")
    if not is_rfc3339(event.get("created_at")):
        raise _schema("created_at", "it is no RFC 3339 time with its offset, such as 2026-01-02T03:04:05Z")


def is_rfc3339(value: object) -> bool:
    found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return False
    year, month, day, hour, minute, second = (int(found[at]) for at in range(1, 7))
    offset = [int(found[at] or 0) for at in (9, 10)]
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    return (
        1 <= month <= 12 and 1 <= day <= days[month - 1] and hour < 24 and minute < 60 and second <= 60
        and offset[0] < 24 and offset[1] < 60)


def _schema(field: str, problem: str) -> VesError:
    return VesError("schema_validation", f"{field}: {problem}")


def _is_unsigned(value: object, bits: int) -> bool:
    return type(value) is int and 0 <= value < 1 << bits


def _loaded(canonical: str) -> Any:
    return json.loads(canonical)


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()


def _b64u(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _from_b64u(holder: Any, name: str, length: int | None) -> bytes:
    value = holder.get(name)
    problem = _schema(f"payload_encrypted.{name}", "it is no base64url of this length")
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]*={0,2}", value):
        raise problem
    digits = value.rstrip("=")
    try:
        raw = base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))
    except ValueError:
        raise problem from None
    if length is not None and len(raw) != length:
        raise problem
    return raw
