"""Sign, seal, push, pull and verify events of Stateset.

Start with :class:`Client` and :class:`Agent`. Every error is a :class:`StatesetError` with a ``code``.
"""

from .canonical import canonical_value, canonicalize
from .client import Client, InclusionProof, Pushed, Sequencer, VerifiedEvent, verify_proof
from .errors import (
    RefusedError,
    StatesetError,
    UnreachableError,
    UnreadableError,
    UntrueError,
    VesError,
)
from .events import Agent, Recipient, Stream, check_event, open_event, possession_challenge
from .keys import OpeningKey, Signer, SigningKey
from .proofs import (
    Checkpoint,
    check_commitment,
    leaf_hash,
    verify_checkpoint,
    verify_consistency,
    verify_inclusion,
    verify_log_inclusion,
    verify_receipt,
)
from .webhook import WEBHOOK_TOLERANCE_SECONDS, verify_webhook

__all__ = [
    "WEBHOOK_TOLERANCE_SECONDS", "Agent", "Checkpoint", "Client", "InclusionProof", "OpeningKey", "Pushed",
    "Recipient", "RefusedError", "Sequencer", "Signer", "SigningKey", "StatesetError", "Stream", "UnreachableError",
    "UnreadableError", "UntrueError", "VerifiedEvent", "VesError", "canonical_value", "canonicalize",
    "check_commitment", "check_event", "leaf_hash", "open_event", "possession_challenge", "verify_checkpoint",
    "verify_consistency", "verify_inclusion", "verify_log_inclusion", "verify_proof", "verify_receipt",
    "verify_webhook",
]
