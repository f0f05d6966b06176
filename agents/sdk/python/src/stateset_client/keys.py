"""Keys that sign, keys that open, and signatures (VES, sections 7.7, 8.2 and 9)."""

from __future__ import annotations

import hashlib
import hmac
import os
from typing import Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import VesError
from .hashing import from_hex

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_ORDER = 2**252 + 27742317777372353535851937790883648493


class Signer(Protocol):
    """Something that signs with one Ed25519 key: in memory, in a device, behind a service."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Pure Ed25519 over the message: 64 bytes."""


class SigningKey:
    """A private signing key in memory, of a 32-byte seed (RFC 8032)."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise VesError("invalid_input", "seed: it has 32 bytes")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def generate(cls) -> SigningKey:
        return cls(os.urandom(32))

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def seed(self) -> bytes:
        """To be kept in a safe place."""
        return self._key.private_bytes_raw()


class OpeningKey:
    """A private key that opens payloads sealed for its public half. Never the seed of a signing key."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != 32:
            raise VesError("invalid_input", "secret: it has 32 bytes")
        self._key = X25519PrivateKey.from_private_bytes(secret)

    @classmethod
    def generate(cls) -> OpeningKey:
        return cls(os.urandom(32))

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    def secret(self) -> bytes:
        """To be kept in a safe place."""
        return self._key.private_bytes_raw()

    def unwrap(self, enc: bytes, info: bytes, ct: bytes) -> bytes:
        """HPKE, single shot. Code: ``decryption_failed``."""
        try:
            shared = self._key.exchange(X25519PublicKey.from_public_bytes(enc))
            key, nonce = _schedule(shared, enc + self.public_key, info)
            return AESGCM(key).decrypt(nonce, ct, b"")
        except (ValueError, InvalidTag):
            raise VesError("decryption_failed", "the payload does not open with this key") from None


def wrap(public_key: bytes, ephemeral: bytes, info: bytes, secret: bytes) -> tuple[bytes, bytes]:
    """HPKE, single shot: the encapsulated key and the ciphertext. Code: ``weak_recipient_key``."""
    key = X25519PrivateKey.from_private_bytes(ephemeral)
    enc = key.public_key().public_bytes_raw()
    try:
        shared = key.exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError:
        raise VesError("weak_recipient_key", "the recipient's public key is a point of small order") from None
    aead_key, nonce = _schedule(shared, enc + public_key, info)
    return enc, AESGCM(aead_key).encrypt(nonce, secret, b"")


_KEM = b"KEM" + bytes([0x00, 0x20])
_HPKE = b"HPKE" + bytes([0x00, 0x20, 0x00, 0x01, 0x00, 0x02])


def _extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.new(salt or bytes(32), b"HPKE-v1" + suite + label + secret, hashlib.sha256).digest()


def _expand(suite: bytes, secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    # Never more than one block is asked for.
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.new(secret, labelled + b"\x01", hashlib.sha256).digest()[:length]


def _schedule(shared: bytes, kem_context: bytes, info: bytes) -> tuple[bytes, bytes]:
    """RFC 9180, mode base: DHKEM(X25519), HKDF-SHA256, AES-256-GCM. Key and nonce of the only message."""
    secret = _expand(_KEM, _extract(_KEM, b"", b"eae_prk", shared), b"shared_secret", kem_context, 32)
    context = b"\x00" + _extract(_HPKE, b"", b"psk_id_hash", b"") + _extract(_HPKE, b"", b"info_hash", info)
    key_secret = _extract(_HPKE, secret, b"secret", b"")
    return _expand(_HPKE, key_secret, b"key", context, 32), _expand(_HPKE, key_secret, b"base_nonce", context, 12)


def verifies(public_key: str | bytes, message: bytes, signature: bytes) -> bool:
    """Whether the key signed the message. Code: ``unusable_key``."""
    key = public_key if isinstance(public_key, bytes) else from_hex("public_key", public_key, 32)
    _check_key(key)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _check_key(key: bytes) -> None:
    """The registration rule (section 8.2): canonical, on the curve, in the group of prime order."""
    known = _CHECKED.get(key)
    if known is None:
        known = _in_prime_order_group(key)
        # Bounded: what was checked is forgotten at once when there is too much of it.
        if len(_CHECKED) >= 1024:
            _CHECKED.clear()
        _CHECKED[key] = known
    if not known:
        raise VesError("unusable_key", "the key is no canonical point of the prime-order group")


_CHECKED: dict[bytes, bool] = {}
_Point = tuple[int, int, int, int]


def _in_prime_order_group(key: bytes) -> bool:
    encoded = int.from_bytes(key, "little")
    y, sign = encoded & ((1 << 255) - 1), encoded >> 255
    if y >= _P:
        return False
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return False
    if x & 1 != sign:
        x = _P - x
    point: _Point = (x, y, 1, x * y % _P)
    # The neutral element itself is of small order; any other that the order sends there is of the prime order.
    return (x, y) != (0, 1) and _is_neutral(_times(_ORDER, point))


def _is_neutral(point: _Point) -> bool:
    x, y, z, _ = point
    return x % _P == 0 and (y - z) % _P == 0


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(number: int, point: _Point) -> _Point:
    total: _Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = _add(total, point)
        point, number = _add(point, point), number >> 1
    return total
