"""What an agent has to know to sign an event, written from the specification alone (VES, sections 3, 6 and 8)."""

import hashlib
import json
import struct
import uuid

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.timestamp_pb2 import Timestamp
from stateset.sequencer.v2 import sequencer_pb2 as v2


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def text(value):
    raw = value.encode()
    return struct.pack(">I", len(raw)) + raw


def canonical(value):
    """RFC 8785 for what the tests say: ASCII names, integers, no floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


class Agent:
    def __init__(self, tenant, store):
        self.tenant, self.store, self.id = tenant, store, str(uuid.uuid4())
        self.key_id, self.key = 1, Ed25519PrivateKey.generate()

    @property
    def public_key(self):
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def possession(self):
        return self.key.sign(sha(b"VES_POP_V1", self.public_key))

    def event(self, payload, entity="ORD-1", event_type="order.created", spelling="+00:00", **fields):
        """A signed event; `spelling` is how the signed text of its time ends."""
        at = Timestamp(seconds=1_766_253_070, nanos=243_000_000)
        event = v2.EventEnvelope(
            event_id=str(uuid.uuid4()), tenant_id=self.tenant, store_id=self.store,
            entity_type="order", entity_id=entity, event_type=event_type, source_agent=self.id,
            payload_kind=v2.PAYLOAD_KIND_PLAINTEXT, payload=canonical(payload), agent_key_id=self.key_id,
            created_at=at, **fields)
        ids = [uuid.UUID(i).bytes for i in (self.tenant, self.store, event.event_id, self.id)]
        event.agent_signature = self.key.sign(sha(
            b"VES_EVENTSIG_V1", struct.pack(">I", 1), *ids, struct.pack(">I", self.key_id),
            text(event.entity_type), text(event.entity_id), text(event.event_type),
            text("2025-12-20T17:51:10.243" + spelling), struct.pack(">I", 0),
            sha(b"VES_PAYLOAD_PLAIN_V1", event.payload), bytes(32)))
        return event

    def push(self, *events, **fields):
        return v2.PushRequest(agent_id=self.id, tenant_id=self.tenant, store_id=self.store, events=events, **fields)


def inclusion_root(proof):
    """The root that a path leads to (section 13)."""
    node, index = proof.leaf_hash, proof.leaf_index
    for sibling in proof.proof_hashes:
        pair = (sibling, node) if index & 1 else (node, sibling)
        node, index = sha(b"VES_NODE_V1", *pair), index >> 1
    return node
