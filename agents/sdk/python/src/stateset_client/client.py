"""One stream of one server, through a client that checks what it is told."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from .errors import RefusedError, UntrueError, UnreadableError, VesError
from .events import Agent, Event, Stream, check_event
from .feed import follow
from .hashing import from_hex
from .http import Http, Transport
from .proofs import (
    Checkpoint, check_commitment, leaf_hash, verify_checkpoint, verify_consistency, verify_inclusion, verify_receipt,
)

#: Events of one request: half of what a server admits by default.
BATCH_EVENTS_MAX = 500
#: Characters of one request, well under the 10 MiB a server admits by default.
BATCH_CHARACTERS_MAX = 4 * 1024 * 1024
_COMMIT_POLL_SECONDS = 0.25
#: An agent whose key is not listed is asked about again after this.
_LISTED_AGAIN_SECONDS = 30.0


@dataclass(frozen=True)
class Sequencer:
    """Whose receipts are believed: its id, and its Ed25519 keys by version, 64 hex digits each."""

    sequencer_id: str
    keys: Mapping[int, str]


@dataclass
class Pushed:
    """What became of a push, in the order of its events: verified receipts, and why others were refused."""

    receipts: list[dict[str, Any]] = field(default_factory=list)
    rejections: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class VerifiedEvent:
    """An event of the stream. Hash, receipt and place were verified; the signature where the agent's key is known."""

    sequence_number: int
    sequenced_at: str
    event: Event
    receipt: dict[str, Any]
    signature_verified: bool


@dataclass(frozen=True)
class InclusionProof:
    """That an event is in a batch; everything that another needs to verify it again with :func:`verify_proof`."""

    event: Event
    sequence_number: int
    commitment: dict[str, Any]
    leaf_index: int
    proof_path: list[str]


def verify_proof(proof: InclusionProof) -> None:
    """Verifies a proof from anywhere: that the event is in the batch."""
    check_commitment(proof.commitment)
    if proof.leaf_index != proof.sequence_number - proof.commitment["sequence_start"]:
        raise VesError("proof_index_out_of_range", "the index is not that of the event in the batch")
    verify_inclusion(
        leaf_hash(proof.event, proof.sequence_number), proof.leaf_index, proof.commitment["leaf_count"],
        [from_hex("proof_path", sibling, 32) for sibling in proof.proof_path],
        from_hex("merkle_root", proof.commitment["merkle_root"], 32))


@contextmanager
def _claimed(path: str) -> Iterator[None]:
    """What the server claims: a rule that it breaks is an untruth, a member that is missing unreadable."""
    try:
        yield
    except VesError as broken:
        raise UntrueError(broken.code, str(broken)) from broken
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as problem:
        raise UnreadableError(path, problem) from problem


class Client:
    """``sequencer`` left out, the server's own word is taken for it, once: pin it where you can.

    ``agent_key`` gives the key of an agent, 64 hex digits, or ``None``; left out, the server's list is believed.
    """

    def __init__(
        self, url: str, stream: Stream, api_key: str | None = None, sequencer: Sequencer | None = None,
        agent_key: Callable[[str, int], str | None] | None = None, transport: Transport | None = None,
    ) -> None:
        self.stream = stream
        self._http = Http(url, api_key, transport)
        self._sequencer = sequencer
        self._agent_key = agent_key or self._listed_key
        self._listed: dict[tuple[str, int], str] = {}
        self._listed_at: dict[str, float] = {}
        self._query = {"tenant_id": stream.tenant_id, "store_id": stream.store_id}

    def sequencer(self) -> Sequencer:
        """Whose receipts are believed: as pinned, else as the server says, asked once."""
        if self._sequencer is None:
            body = self._http.get("/api/v1/ves/sequencer")
            with _claimed("/api/v1/ves/sequencer"):
                keys = {key["key_version"]: key["public_key"] for key in body["keys"]}
                keys[body["key_version"]] = body["public_key"]
                self._sequencer = Sequencer(body["sequencer_id"], keys)
        return self._sequencer

    def register_key(self, agent: Agent) -> None:
        """Registers the agent's signing key. Needs an administrator's API key."""
        self._http.post("/api/v1/agents/keys", {
            "tenantId": agent.stream.tenant_id, "agentId": agent.agent_id, "keyId": agent.key_id,
            "publicKey": agent.signer.public_key.hex(), "proofOfPossession": agent.prove_possession().hex()})

    def register_opening_key(self, agent_id: str, recipient_kid: int, public_key: bytes) -> None:
        """Registers a key that others seal for; ``recipient_kid`` is its number in the tenant."""
        self._http.post("/api/v1/agents/keys", {
            "tenantId": self.stream.tenant_id, "agentId": agent_id, "keyId": recipient_kid,
            "publicKey": public_key.hex(), "keyAlgorithm": 2})

    def push(self, events: Sequence[Event]) -> Pushed:
        """Pushes events of one agent and verifies every receipt.

        After an error, pushing the same events again is safe: an event that the stream has gets its first receipt.
        """
        pushed = Pushed()
        if len({event["event_id"] for event in events}) != len(events) or len({e["source_agent_id"] for e in events}) > 1:
            raise VesError("invalid_input", "events of one push are of one agent, each with an id of its own")
        for batch in _batches(events):
            body = {"agentId": batch[0]["source_agent_id"], "events": batch}
            answer = self._http.post("/api/v1/ves/events/ingest", body)
            with _claimed("/api/v1/ves/events/ingest"):
                self._take(pushed, batch, answer)
        return pushed

    def _take(self, pushed: Pushed, batch: Sequence[Event], answer: dict[str, Any]) -> None:
        receipts = {receipt["eventId"]: receipt for receipt in answer.get("receipts", [])}
        rejections = {rejection["event_id"]: rejection for rejection in answer.get("rejections", [])}
        for event in batch:
            receipt, rejection = receipts.get(event["event_id"]), rejections.get(event["event_id"])
            if (receipt is None) == (rejection is None):
                raise VesError("answer_contradicts", f"event {event['event_id']} has not one receipt or one rejection")
            if receipt is not None:
                self._verify_receipt(event, receipt)
                pushed.receipts.append(receipt)
            elif rejection is not None:
                pushed.rejections.append(rejection)

    def events(self, from_: int = 1, page_size: int = 500) -> Iterator[VerifiedEvent]:
        """The events of the stream from a number on, in order and without gaps, up to the head as it is when reached."""
        next_ = max(1, from_)
        while True:
            page = self._page(next_, page_size)
            for entry in page["events"]:
                yield self.verify(entry, next_)
                next_ += 1
            if next_ > page["head_sequence"]:
                return
            if not page["events"]:
                raise UntrueError("sequence_gap", f"no event {next_}, the head is {page['head_sequence']}")

    def _page(self, from_: int, limit: int) -> dict[str, Any]:
        page = self._http.get("/api/v1/ves/events", **self._query, **{"from": from_, "limit": limit})
        with _claimed("/api/v1/ves/events"):
            return {"events": list(page["events"]), "head_sequence": int(page["head_sequence"])}

    def feed(
        self, from_: int = 1, stop: threading.Event | None = None, poll_seconds: float = 1.0,
    ) -> Iterator[VerifiedEvent]:
        """The events of the stream as they come, for ever: in order, without gaps, through lost connections.

        To go on after a restart, begin after the last number that was handled. Ends after ``stop`` is set.
        """
        return follow(
            self._http, self._query, lambda at: self._page(at, 500), self.verify, from_, stop or threading.Event(),
            poll_seconds)

    def event(self, event_id: str) -> VerifiedEvent:
        """One event by its id."""
        path = f"/api/v1/ves/events/{urllib.parse.quote(event_id, safe='')}"
        entry = self._http.get(path, **self._query)
        with _claimed(path):
            number = entry["receipt"]["sequenceNumber"]
        verified = self.verify(entry, number)
        if verified.event["event_id"] != event_id:
            raise UntrueError("receipt_of_other_event", "another event was answered")
        return verified

    def verify(self, entry: dict[str, Any], expected: int) -> VerifiedEvent:
        """Checks one entry of a page or feed: stream, hash, receipt, place, and the signature where the key is known."""
        with _claimed("event"):
            event, receipt = entry["envelope"], entry["receipt"]
            if (event["tenant_id"], event["store_id"]) != (self.stream.tenant_id, self.stream.store_id):
                raise VesError("other_stream", f"event {event['event_id']} is of another stream")
            if receipt["sequenceNumber"] != expected:
                raise VesError("sequence_gap", f"event {receipt['sequenceNumber']} came where {expected} was to come")
            check_event(event)
            self._verify_receipt(event, receipt)
            key = self._agent_key(event["source_agent_id"], event["agent_key_id"])
            verified = key is not None and event.get("agent_signature_scheme") in (None, 0, 1)
            if verified:
                check_event(event, key)
            return VerifiedEvent(expected, entry["sequenced_at"], event, receipt, verified)

    def _verify_receipt(self, event: Event, receipt: dict[str, Any]) -> None:
        sequencer = self.sequencer()
        version = receipt.get("sequencerKeyVersion", 0)
        key = sequencer.keys.get(version)
        if receipt["sequencerId"] != sequencer.sequencer_id or key is None:
            named = f"sequencer {receipt['sequencerId']}, key version {version} is not believed"
            raise VesError("unknown_sequencer_key", named)
        verify_receipt(event, receipt, key)

    def _listed_key(self, agent_id: str, key_id: int) -> str | None:
        again = self._listed_at.get(agent_id, -_LISTED_AGAIN_SECONDS) + _LISTED_AGAIN_SECONDS
        if (agent_id, key_id) not in self._listed and time.monotonic() >= again:
            keys = self._http.get("/api/v1/agents/keys", tenant_id=self.stream.tenant_id, agent_id=agent_id)["keys"]
            self._listed |= {
                (key["agentId"], key["keyId"]): key["publicKey"] for key in keys if key["keyAlgorithm"] == 1}
            self._listed_at[agent_id] = time.monotonic()
        return self._listed.get((agent_id, key_id))

    def commit(self, sequence_start: int, sequence_end: int) -> dict[str, Any]:
        """Commits a range, which must continue the chain of commitments. A service does so by itself after a while."""
        body = self._query | {"sequence_start": sequence_start, "sequence_end": sequence_end}
        return self._checked(self._http.post("/api/v1/ves/commitments", body))

    def commitment_of(self, sequence_number: int) -> dict[str, Any] | None:
        """The commitment that holds an event, if one does yet."""
        path = "/api/v1/ves/commitments"
        answer = self._http.get(path, **self._query, **{"from": sequence_number, "limit": 1})
        with _claimed(path):
            for one in answer["commitments"]:
                if one["sequence_start"] <= sequence_number <= one["sequence_end"]:
                    return self._checked(one)
        return None

    def prove(self, event: Event, sequence_number: int, wait_seconds: float = 0) -> InclusionProof:
        """Fetches and verifies the proof that an event is in a committed batch.

        Refused with ``NOT_COMMITTED`` where it is in none within ``wait_seconds``.
        """
        until = time.monotonic() + wait_seconds
        while (commitment := self.commitment_of(sequence_number)) is None:
            if time.monotonic() >= until:
                raise RefusedError(404, "NOT_COMMITTED", f"event {sequence_number} is in no commitment yet")
            time.sleep(_COMMIT_POLL_SECONDS)
        path = f"/api/v1/ves/proofs/{sequence_number}"
        body = self._http.get(path, **self._query, batch_id=commitment["batch_id"])
        with _claimed(path):
            index = sequence_number - commitment["sequence_start"]
            proof = InclusionProof(event, sequence_number, commitment, index, body["proof_path"])
            verify_proof(proof)
        return proof

    def checkpoint(self, size: int | None = None) -> Checkpoint:
        """What the newest signed checkpoint says of the stream, or the one of a size. Keep it: :meth:`verify_growth`."""
        note = self._http.text("/api/v1/ves/checkpoint", **self._query, size=size)
        sequencer = self.sequencer()
        last = UntrueError("checkpoint_by_other_key", "no key of the sequencer is known")
        for key in sequencer.keys.values():
            try:
                with _claimed("/api/v1/ves/checkpoint"):
                    return verify_checkpoint(note, self.stream, sequencer.sequencer_id, key)
            except UntrueError as untrue:
                if untrue.code != "checkpoint_by_other_key":
                    raise
                last = untrue
        raise last

    def verify_growth(self, earlier: Checkpoint, later: Checkpoint) -> None:
        """That the log of a checkpoint is the beginning of a later one's: a fork or a cut is noticed here."""
        path = "/api/v1/ves/consistency"
        body = self._http.get(path, **self._query, **{"from": earlier.size, "to": later.size})
        with _claimed(path):
            verify_consistency(earlier, later, [from_hex("hashes", one, 32) for one in body["hashes"]])

    def _checked(self, commitment: dict[str, Any]) -> dict[str, Any]:
        with _claimed("/api/v1/ves/commitments"):
            if (commitment["tenant_id"], commitment["store_id"]) != (self.stream.tenant_id, self.stream.store_id):
                raise VesError("other_stream", f"commitment {commitment['batch_id']} is of another stream")
            check_commitment(commitment)
        return commitment


def _batches(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    batch: list[Event] = []
    characters = 0
    for event in events:
        length = len(json.dumps(event, ensure_ascii=False))
        if batch and (len(batch) == BATCH_EVENTS_MAX or characters + length > BATCH_CHARACTERS_MAX):
            yield batch
            batch, characters = [], 0
        batch.append(event)
        characters += length
    if batch:
        yield batch
