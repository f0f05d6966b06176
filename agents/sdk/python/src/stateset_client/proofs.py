"""What a sequencer claims, checked: receipts, batches, the log (VES, sections 12 to 14). Each function raises a
:class:`VesError` that says what does not hold."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import VesError
from .events import Event, Stream, signing_hash
from .hashing import from_hex, sha256, u32, u64, uuid_bytes
from .keys import verifies

#: Longest path that is read.
PATH_LENGTH_MAX = 64
_CHECKPOINT_BYTES_MAX = 16 * 1024
_SIGNATURES_MAX = 32


def verify_receipt(event: Event, receipt: dict[str, Any], sequencer_key: str) -> None:
    """That the sequencer gave this event this place.

    Codes: ``receipt_of_other_event``, ``receipt_unsigned``, ``receipt_invalid_signature``, ``unusable_key``.
    """
    claimed = from_hex("receiptHash", receipt.get("receiptHash"), 32)
    ids = [uuid_bytes(event[name]) for name in ("tenant_id", "store_id", "event_id")]
    expected = sha256(b"VES_RECEIPT_V1", *ids, u64(receipt["sequenceNumber"]), signing_hash(event))
    verified = receipt.get("signatureAlg") == "ed25519" and verifies(
        sequencer_key, claimed, from_hex("sequencerSignature", receipt.get("sequencerSignature"), 64))
    if uuid_bytes(receipt["eventId"]) != ids[2] or expected != claimed:
        raise VesError("receipt_of_other_event", "receiptHash is not of this stream, event, number and signing hash")
    if receipt.get("signatureAlg") == "none":
        raise VesError("receipt_unsigned", "the receipt carries no signature")
    if not verified:
        raise VesError("receipt_invalid_signature", "the receipt is not signed by the sequencer's key")


def leaf_hash(event: Event, sequence_number: int) -> bytes:
    """The leaf of an event in the tree of its batch, and its entry in the log (section 13.1)."""
    ids = [uuid_bytes(event[name]) for name in ("tenant_id", "store_id")]
    signature = from_hex("agent_signature", event["agent_signature"], 64)
    return sha256(b"VES_LEAF_V1", *ids, u64(sequence_number), signing_hash(event), signature)


def verify_inclusion(leaf: bytes, leaf_index: int, leaf_count: int, path: Sequence[bytes], root: bytes) -> None:
    """Section 13.3. ``leaf`` is made by :func:`leaf_hash` from an event at hand, never taken from the proof's sender.

    Codes: ``proof_index_out_of_range``, ``proof_wrong_length``, ``proof_root_mismatch``.
    """
    if len(path) > PATH_LENGTH_MAX:
        raise VesError("proof_wrong_length", f"the path has {len(path)} siblings")
    if not 0 <= leaf_index < leaf_count:
        raise VesError("proof_index_out_of_range", f"{leaf_index} lies outside a tree of {leaf_count} leaves")
    if len(path) != _depth(leaf_count):
        raise VesError("proof_wrong_length", f"the path has {len(path)} siblings, the depth is {_depth(leaf_count)}")
    node = leaf
    for height, sibling in enumerate(path):
        pair = (sibling, node) if leaf_index >> height & 1 else (node, sibling)
        node = sha256(b"VES_NODE_V1", *pair)
    if node != root:
        raise VesError("proof_root_mismatch", "the path does not lead to the root")


def _depth(leaf_count: int) -> int:
    return max(leaf_count - 1, 0).bit_length()


def check_commitment(commitment: dict[str, Any]) -> None:
    """That range, tree and state root agree (section 14).

    Codes: ``unsupported_version``, ``commitment_wrong_range``, ``commitment_wrong_shape``,
    ``commitment_wrong_state_root``.
    """
    start, end, count = (commitment[name] for name in ("sequence_start", "sequence_end", "leaf_count"))
    if commitment["ves_version"] != 1:
        raise VesError("unsupported_version", f"ves_version {commitment['ves_version']} is not 1")
    if count < 1 or end - start + 1 != count or not 0 <= start <= end < 2**63:
        raise VesError("commitment_wrong_range", f"{start}..={end} is not a range of {count} events")
    if (commitment["padded_leaf_count"], commitment["tree_depth"]) != (1 << _depth(count), _depth(count)):
        raise VesError("commitment_wrong_shape", f"a tree of {count} leaves has another shape")
    stream = stream_id(Stream(commitment["tenant_id"], commitment["store_id"]))
    prev, root, new = (
        from_hex(name, commitment[name], 32) for name in ("prev_state_root", "merkle_root", "new_state_root"))
    if sha256(b"VES_STATE_ROOT_V1", stream, prev, root, u64(start), u64(end), u32(count)) != new:
        raise VesError("commitment_wrong_state_root", "new_state_root is not the state root of this batch")


def stream_id(stream: Stream) -> bytes:
    """Section 14.1."""
    return sha256(b"VES_STREAM_V1", uuid_bytes(stream.tenant_id), uuid_bytes(stream.store_id))


@dataclass(frozen=True)
class Checkpoint:
    """How many events a log has, and its root."""

    size: int
    root: bytes


def verify_checkpoint(note: str, stream: Stream, sequencer_id: str, sequencer_key: str) -> Checkpoint:
    """What a signed checkpoint of a stream says (section 13.4).

    Codes: ``checkpoint_malformed``, ``checkpoint_by_other_key``, ``checkpoint_invalid_signature``,
    ``checkpoint_of_other_stream``.
    """
    malformed = VesError("checkpoint_malformed", "the text is no signed checkpoint")
    body, parted, signatures = note.partition("\n\n")
    lines = body.split("\n")
    if len(note.encode()) > _CHECKPOINT_BYTES_MAX or not parted or len(lines) != 3 or not signatures.endswith("\n"):
        raise malformed
    origin, size, root_text = lines
    root = _from_base64(root_text)
    if not re.fullmatch(r"0|[1-9][0-9]{0,19}", size) or int(size) >= 2**64 or root is None or len(root) != 32:
        raise malformed
    if not origin or re.search(r"[\x00-\x1f\x7f-\x9f]", origin):
        raise malformed
    key = from_hex("sequencer_public_key", sequencer_key, 32)
    name = str(sequencer_id).lower()
    named = sha256(name.encode(), b"\n\x01", key)[:4]
    ours, listed = None, signatures[:-1].split("\n")
    if len(listed) > _SIGNATURES_MAX:
        raise malformed
    for line in listed:
        found = re.fullmatch("— ([^ +]+) ([A-Za-z0-9+/]+={0,2})", line)
        raw = _from_base64(found[2]) if found else None
        if found is None or raw is None or len(raw) < 5:
            raise malformed
        if ours is None and found[1] == name and raw[:4] == named:
            ours = raw[4:]
    if ours is None:
        raise VesError("checkpoint_by_other_key", "no signature is by the expected key")
    if len(ours) != 64 or not verifies(key, f"{body}\n".encode(), ours):
        raise VesError("checkpoint_invalid_signature", "the signature does not verify")
    if origin != f"stateset/{stream_id(stream).hex()}":
        raise VesError("checkpoint_of_other_stream", "the checkpoint is of another stream")
    return Checkpoint(int(size), root)


def _from_base64(value: str) -> bytes | None:
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == value else None


def _log_node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01", left, right)


def verify_log_inclusion(leaf: bytes, sequence_number: int, size: int, root: bytes, hashes: Sequence[bytes]) -> None:
    """That an event stands in the log of a checkpoint (RFC 9162, section 2.1.3.2). Codes: of :func:`verify_inclusion`."""
    if not 1 <= sequence_number <= size:
        raise VesError("proof_index_out_of_range", f"{sequence_number} lies outside a log of {size} events")
    node, last, found = sequence_number - 1, size - 1, sha256(b"\x00", leaf)
    too = VesError("proof_wrong_length", f"{len(hashes)} hashes do not fit this size")
    if len(hashes) > PATH_LENGTH_MAX:
        raise too
    for sibling in hashes:
        if last == 0:
            raise too
        if node & 1 or node == last:
            found = _log_node(sibling, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = _log_node(found, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise too
    if found != root:
        raise VesError("proof_root_mismatch", "the proof does not lead to the root")


def verify_consistency(earlier: Checkpoint, later: Checkpoint, hashes: Sequence[bytes]) -> None:
    """That the later log begins with the earlier one: nothing was changed or left out (RFC 9162, section 2.1.4.2).

    Codes: of :func:`verify_inclusion`.
    """
    if earlier.size > later.size:
        raise VesError("proof_index_out_of_range", f"a log of {later.size} does not hold one of {earlier.size}")
    too = VesError("proof_wrong_length", f"{len(hashes)} hashes do not fit these sizes")
    mismatch = VesError("proof_root_mismatch", "the proof does not lead to both roots")
    if earlier.size in (0, later.size):
        if hashes:
            raise too
        if (earlier.size == 0 and earlier.root != sha256()) or (earlier.size == later.size and earlier != later):
            raise mismatch
        return
    # A whole subtree is its own first hash, and the sender leaves it out.
    rest = list(hashes)
    if earlier.size & (earlier.size - 1) == 0:
        first = earlier.root
    elif rest:
        first = rest.pop(0)
    else:
        raise too
    if not rest or len(rest) > PATH_LENGTH_MAX:
        raise too
    node, last = earlier.size - 1, later.size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old, new = first, first
    for sibling in rest:
        if last == 0:
            raise too
        if node & 1 or node == last:
            old, new = _log_node(sibling, old), _log_node(sibling, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = _log_node(new, sibling)
        node, last = node >> 1, last >> 1
    if last:
        raise too
    if (old, new) != (earlier.root, later.root):
        raise mismatch
