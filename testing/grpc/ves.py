"""Signed events as messages of gRPC. The rules themselves are those of the Python library."""

import os
import sys

from google.protobuf.timestamp_pb2 import Timestamp
from stateset.sequencer.v2 import sequencer_pb2 as v2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../agents/sdk/python/src"))

import stateset_client as library  # noqa: E402
from stateset_client.hashing import from_hex, sha256  # noqa: E402


class Agent:
    def __init__(self, tenant, store):
        self.signer = library.Agent(library.Stream(tenant, store), library.SigningKey.generate())
        self.tenant, self.store, self.id, self.key_id = tenant, store, self.signer.agent_id, self.signer.key_id

    @property
    def public_key(self):
        return self.signer.signer.public_key

    def possession(self):
        return self.signer.prove_possession()

    def event(self, payload, entity="ORD-1", event_type="order.created", spelling="+00:00", **fields):
        """A signed event; `spelling` is how the signed text of its time ends."""
        signed = self.signer.sign("order", entity, event_type, payload, created_at="2025-12-20T17:51:10.243" + spelling)
        return v2.EventEnvelope(
            event_id=signed["event_id"], tenant_id=self.tenant, store_id=self.store,
            entity_type="order", entity_id=entity, event_type=event_type, source_agent=self.id,
            payload_kind=v2.PAYLOAD_KIND_PLAINTEXT, payload=library.canonical_value(payload).encode(),
            agent_key_id=self.key_id, created_at=Timestamp(seconds=1_766_253_070, nanos=243_000_000),
            agent_signature=from_hex("agent_signature", signed["agent_signature"], 64), **fields)

    def push(self, *events, **fields):
        return v2.PushRequest(agent_id=self.id, tenant_id=self.tenant, store_id=self.store, events=events, **fields)


def inclusion_root(proof):
    """The root that a path leads to (section 13)."""
    node, index = proof.leaf_hash, proof.leaf_index
    for sibling in proof.proof_hashes:
        pair = (sibling, node) if index & 1 else (node, sibling)
        node, index = sha256(b"VES_NODE_V1", *pair), index >> 1
    return node
