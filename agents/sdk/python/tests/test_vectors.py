"""The calls of testing/vectors/libraries.json, made through this library."""

import base64
import copy
import json
import pathlib
import random
import unittest

import stateset_client as ves
from stateset_client import events
from stateset_client.hashing import from_hex

FILE = pathlib.Path(__file__).parents[4] / "testing/vectors/libraries.json"
FIELDS = ("entity_type", "entity_id", "event_type")


def agent_of(draft, seed):
    stream = ves.Stream(draft["tenant_id"], draft["store_id"])
    key = ves.SigningKey(bytes.fromhex(seed))
    return ves.Agent(stream, key, draft["source_agent_id"], draft["agent_key_id"])


def fields_of(draft):
    rest = ("created_at", "event_id", "command_id", "base_version", "payload_json")
    return {name: draft[name] for name in FIELDS} | {name: draft.get(name) for name in rest}


def hashed(event):
    return {"event": event, "event_signing_hash": ves.check_event(event).hex()}


def sign_event(draft, seed):
    return hashed(agent_of(draft, seed).sign(**fields_of(draft)))


def seal_event(draft, recipients, randomness, seed):
    agent, fields = agent_of(draft, seed), fields_of(draft)
    named = [ves.Recipient(one["recipient_kid"], bytes.fromhex(one["public_key"])) for one in recipients]
    event, canonical = agent._draft(*(fields.pop(name) for name in FIELDS), None, fields)
    drawn = events._Randomness(
        *(bytes.fromhex(randomness[name]) for name in ("salt", "dek", "nonce")),
        tuple(map(bytes.fromhex, randomness["ephemeral_secrets"])))
    return hashed(agent._signed(events._sealed(event, canonical, named, drawn)))


def open_event(event, recipient_kid, secret_key):
    key = ves.OpeningKey(bytes.fromhex(secret_key))
    return {"payload_json": ves.open_event(event, recipient_kid, key)}


def public_keys(seed):
    raw = bytes.fromhex(seed)
    return {"ed25519": ves.SigningKey(raw).public_key.hex(), "x25519": ves.OpeningKey(raw).public_key.hex()}


def verify_inclusion(leaf_hash, leaf_index, leaf_count, proof_path, merkle_root):
    path = [bytes.fromhex(one) for one in proof_path]
    ves.verify_inclusion(bytes.fromhex(leaf_hash), leaf_index, leaf_count, path, bytes.fromhex(merkle_root))


def verify_checkpoint(text, tenant_id, store_id, sequencer_id, sequencer_public_key):
    says = ves.verify_checkpoint(text, ves.Stream(tenant_id, store_id), sequencer_id, sequencer_public_key)
    return {"size": says.size, "root": says.root.hex()}


def verify_log_inclusion(leaf_hash, sequence_number, size, root, hashes):
    found = [bytes.fromhex(one) for one in hashes]
    ves.verify_log_inclusion(bytes.fromhex(leaf_hash), sequence_number, size, bytes.fromhex(root), found)


def verify_consistency(from_root, to_root, hashes, **sizes):
    earlier = ves.Checkpoint(sizes["from"], bytes.fromhex(from_root))
    later = ves.Checkpoint(sizes["to"], bytes.fromhex(to_root))
    ves.verify_consistency(earlier, later, [bytes.fromhex(one) for one in hashes])


def verify_webhook(secret, id, timestamp, signature, body, now):
    headers = {"Webhook-Id": id, "webhook-timestamp": timestamp, "webhook-signature": signature}
    ves.verify_webhook(secret, headers, body.encode(), now)


CALLS = {
    "canonicalize": lambda text, strict=False: {"canonical": ves.canonicalize(text, strict)},
    "public_keys": public_keys,
    "sign": lambda seed, message: {
        "signature": ves.SigningKey(bytes.fromhex(seed)).sign(bytes.fromhex(message)).hex()},
    "possession_challenge": lambda tenant_id, agent_id, key_id, public_key: {
        "challenge": ves.possession_challenge(tenant_id, agent_id, key_id, from_hex("key", public_key, 32)).hex()},
    "sign_event": sign_event,
    "seal_event": seal_event,
    "open_event": open_event,
    "check_event": lambda event, public_key=None: {"event_signing_hash": ves.check_event(event, public_key).hex()},
    "verify_receipt": lambda event, receipt, sequencer_public_key: ves.verify_receipt(
        event, receipt, sequencer_public_key),
    "leaf_hash": lambda event, sequence_number: {"leaf_hash": ves.leaf_hash(event, sequence_number).hex()},
    "verify_inclusion": verify_inclusion,
    "check_commitment": lambda commitment: ves.check_commitment(commitment),
    "verify_checkpoint": verify_checkpoint,
    "verify_log_inclusion": verify_log_inclusion,
    "verify_consistency": verify_consistency,
    "verify_webhook": verify_webhook,
}


class Vectors(unittest.TestCase):
    def test_every_vector_holds(self):
        cases = json.loads(FILE.read_text(encoding="utf-8"))["cases"]
        self.assertGreater(len(cases), 200)
        for case in cases:
            with self.subTest(f"{case['call']}/{case['name']}"):
                try:
                    found = {"output": CALLS[case["call"]](**case["input"]) or {}}
                except ves.VesError as refused:
                    found = {"error": refused.code}
                self.assertEqual(found, {name: case[name] for name in ("output", "error") if name in case})

    def test_whatever_stands_in_an_event_is_refused_by_a_code_or_accepted(self):
        cases = json.loads(FILE.read_text(encoding="utf-8"))["cases"]
        whole = [case["input"] for case in cases if case["call"] == "check_event" and "output" in case]
        odd = [None, True, -1, 1.5, 2**64, float("1e300"), "", "0x", "\0", "\ud800", "é" * 600, [], {}, [{}], {"a": [None]}]
        chance = random.Random(20260101)
        for _ in range(3000):
            given = copy.deepcopy(chance.choice(whole))
            place = given["event"]
            # Down to any depth, or into the whole event.
            while True:
                name = chance.choice(sorted(place)) if isinstance(place, dict) else chance.randrange(len(place))
                inner = place[name]
                if not isinstance(inner, (dict, list)) or not inner or chance.random() < 0.3:
                    break
                place = inner
            place[name] = chance.choice(odd)
            try:
                ves.check_event(**given)
            except ves.VesError as refused:
                self.assertTrue(refused.code)

    def test_what_is_sealed_for_somebody_opens(self):
        opening = ves.OpeningKey.generate()
        stream = ves.Stream("5eb673aa-293d-492f-8139-d8bd4e0bdbfc", "e075fa56-58b9-4411-b010-faf3832b768b")
        agent = ves.Agent(stream, ves.SigningKey.generate())
        draft = ("order", "ORD-1", "order.created", {"total": "1.00", "note": "café 🎉"})
        one, two = (agent.seal(*draft, recipients=[ves.Recipient(7, opening.public_key)]) for _ in range(2))
        self.assertNotEqual(one["payload_encrypted"]["nonce_b64u"], two["payload_encrypted"]["nonce_b64u"])
        ves.check_event(one, agent.signer.public_key.hex())
        self.assertEqual(ves.open_event(one, 7, opening), '{"note":"café 🎉","total":"1.00"}')

    def test_a_value_is_printed_as_its_text_is(self):
        self.assertEqual(ves.canonical_value({"b": [1, 2.5, True, None], "a": "é"}), '{"a":"é","b":[1,2.5,true,null]}')
        for value in (float("nan"), float("inf"), {1, 2}, "\ud800", object()):
            with self.assertRaises(ves.VesError):
                ves.canonical_value(value)
        with self.assertRaises(ves.VesError) as refused:
            ves.canonical_value({"cents": 2**53 + 1})
        self.assertEqual(refused.exception.code, "inexact_number")
        self.assertEqual(base64.b64encode(ves.canonicalize('"é"').encode()), b"IsOpIg==")


if __name__ == "__main__":
    unittest.main()
