"""The client against a sequencer of a few lines, which can lose answers, lie and hang up."""

import http.server
import json
import struct
import threading
import unittest
import urllib.parse
import uuid
from unittest import mock

import stateset_client as ves
from stateset_client.feed import messages
from stateset_client.hashing import sha256
from stateset_client.http import Answer, Http

STREAM = ves.Stream("5eb673aa-293d-492f-8139-d8bd4e0bdbfc", "e075fa56-58b9-4411-b010-faf3832b768b")
SEQUENCER_ID = "7897b0db-1f74-408d-b6c6-d4b0a8d895d3"


def answer(body, status=200, **headers):
    return Answer(status, json.dumps(body).encode(), {name.replace("_", "-"): value for name, value in headers.items()})


def refusal(status, code, **headers):
    return answer({"error": {"code": code, "message": "no", "request_id": "r-1"}}, status, **headers)


class World:
    def __init__(self):
        self.entries, self.asked, self.instead, self.has_feed = [], [], [], False
        self.key, self.agent = ves.SigningKey.generate(), ves.Agent(STREAM, ves.SigningKey.generate())
        sequencer = ves.Sequencer(SEQUENCER_ID, {1: self.key.public_key.hex()})
        self.client = ves.Client(
            "http://sequencer.test", STREAM, sequencer=sequencer,
            agent_key=lambda agent, key: self.agent.signer.public_key.hex(), transport=self.answer)

    def event(self, n):
        return self.agent.sign("order", "ORD-1", "order.created", {"n": n})

    def push(self, *numbers):
        return self.client.push([self.event(n) for n in numbers])

    def answer(self, request):
        url = urllib.parse.urlsplit(request.url)
        query = dict(urllib.parse.parse_qsl(url.query))
        self.asked.append(url.path)
        if self.instead:
            return self.instead.pop(0)(request)
        if url.path == "/api/v1/ves/events/ingest":
            return answer(self.ingest(request))
        if url.path == "/api/v1/ves/events":
            start = int(query["from"])
            return answer({"events": self.entries[start - 1:start + 1], "head_sequence": len(self.entries)})
        if int(request.headers.get("last-event-id", 0)) > len(self.entries):
            return refusal(409, "SEQUENCE_GAP")
        if url.path == "/api/v1/events/stream" and self.has_feed:
            return Answer(200, lines=self.sent(int(query["from"])))
        return refusal(404, "RESOURCE_NOT_FOUND")

    def ingest(self, request):
        events = json.loads(request.body)["events"]
        known = {entry["envelope"]["event_id"] for entry in self.entries}
        for event in events:
            if event["event_id"] not in known:
                self.store(event)
        receipts = {entry["envelope"]["event_id"]: entry["receipt"] for entry in self.entries}
        return {"receipts": [receipts[event["event_id"]] for event in events]}

    def store(self, event):
        number = len(self.entries) + 1
        ids = [uuid.UUID(event[name]).bytes for name in ("tenant_id", "store_id", "event_id")]
        digest = sha256(b"VES_RECEIPT_V1", *ids, struct.pack(">Q", number), ves.check_event(event))
        receipt = {
            "sequencerId": SEQUENCER_ID, "eventId": event["event_id"], "sequenceNumber": number, "sequencedAt": "now",
            "receiptHash": digest.hex(), "signatureAlg": "ed25519", "sequencerKeyVersion": 1,
            "sequencerSignature": self.key.sign(digest).hex()}
        self.entries.append({"envelope": event, "sequenced_at": "now", "receipt": receipt})

    def sent(self, start):
        """Two events and a piece of the third, then the connection is gone."""
        yield from (b"retry: 2000\n", b"id: 0\n", b"\n")
        for at, entry in enumerate(self.entries[start - 1:]):
            data = b"data: " + json.dumps(entry).encode() + b"\n"
            if at == 2:
                yield data[:40]
                raise ConnectionResetError("the connection was cut")
            yield from (b": heartbeat\n", b"\n", b"id: %d\n" % (start + at), data, b"\n")


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.world = World()
        patch = mock.patch("time.sleep")
        patch.start()
        self.addCleanup(patch.stop)

    def refused(self, kind, code, act):
        with self.assertRaises(kind) as found:
            act()
        self.assertEqual(found.exception.code, code)

    def test_an_answer_that_is_lost_is_asked_for_again_and_the_event_stands_there_once(self):
        event = self.world.event(1)

        def lost(request):
            self.world.ingest(request)
            raise ConnectionResetError("the connection was cut")

        self.world.instead.append(lost)
        self.assertEqual(self.world.client.push([event]).receipts[0]["sequenceNumber"], 1)
        self.assertEqual(self.world.client.push([event]).receipts[0]["sequenceNumber"], 1)
        self.assertEqual(len(self.world.entries), 1)

    def test_a_server_that_is_busy_is_asked_again_when_it_says_and_one_that_refuses_is_not(self):
        world = self.world
        world.instead.append(lambda _: refusal(503, "SERVICE_UNAVAILABLE", retry_after="0"))
        world.push(1)
        self.assertEqual(len(world.asked), 2)
        world.instead.append(lambda _: refusal(403, "INSUFFICIENT_PERMISSIONS"))
        self.refused(ves.RefusedError, "INSUFFICIENT_PERMISSIONS", lambda: world.push(2))
        self.assertEqual(len(world.asked), 3)
        world.instead.append(lambda _: refusal(429, "RATE_LIMIT_EXCEEDED", retry_after="3600"))
        self.refused(ves.RefusedError, "RATE_LIMIT_EXCEEDED", lambda: world.push(3))
        world.instead.append(mock.Mock(side_effect=ConnectionRefusedError()))
        self.refused(ves.UnreachableError, "unreachable", lambda: world.push(4))
        self.assertEqual(len(world.asked), 5)

    def test_a_receipt_that_lies_is_noticed(self):
        one, two = self.world.event(1), self.world.event(2)
        self.world.client.push([one])
        for change, code in [
            ({"sequenceNumber": 9}, "receipt_of_other_event"),
            ({"sequencerSignature": "00" * 64}, "receipt_invalid_signature"),
            ({"sequencerKeyVersion": 2}, "unknown_sequencer_key"),
            ({"eventId": one["event_id"]}, "answer_contradicts"),
        ]:
            self.world.instead.append(lambda request, change=change: answer(
                {"receipts": [receipt | change for receipt in self.world.ingest(request)["receipts"]]}))
            self.refused(ves.UntrueError, code, lambda: self.world.client.push([two]))
        self.world.instead.append(lambda _: answer({"receipts": [{"eventId": two["event_id"]}]}))
        self.refused(ves.UnreadableError, "unreadable", lambda: self.world.client.push([two]))

    def test_events_are_paged_in_order_and_a_gap_a_change_or_a_forgery_is_noticed(self):
        world = self.world
        world.push(1, 2, 3, 4, 5)
        found = list(world.client.events())
        self.assertEqual([event.sequence_number for event in found], [1, 2, 3, 4, 5])
        self.assertTrue(all(event.signature_verified for event in found))
        whole = world.entries
        world.entries = whole[:2] + whole[3:]
        self.refused(ves.UntrueError, "sequence_gap", lambda: list(world.client.events()))
        changed = whole[1] | {"envelope": whole[1]["envelope"] | {"payload": {"n": 20}}}
        world.entries = [whole[0], changed]
        self.refused(ves.UntrueError, "invalid_payload_hash", lambda: list(world.client.events()))
        world.entries = []
        world.store(ves.Agent(STREAM, ves.SigningKey.generate(), world.agent.agent_id).sign("order", "O", "x", 1))
        self.refused(ves.UntrueError, "invalid_signature", lambda: list(world.client.events()))

    def test_an_agent_whose_key_is_not_listed_is_asked_about_once(self):
        world = self.world
        world.push(1, 2, 3)
        client = ves.Client(
            "http://sequencer.test", STREAM, sequencer=world.client.sequencer(), transport=world.answer)
        listing = mock.Mock(return_value=answer({"keys": []}))
        world.instead = [lambda request: answer({"events": world.entries[:3], "head_sequence": 3}), listing]
        found = list(client.events())
        self.assertEqual([event.signature_verified for event in found], [False] * 3)
        self.assertEqual(world.asked.count("/api/v1/agents/keys"), 1)

    def test_the_feed_goes_on_after_lost_connections_without_gap_or_repetition(self):
        self.world.has_feed = True
        self.world.push(1, 2, 3, 4, 5)
        numbers, stop = [], threading.Event()
        with mock.patch.object(stop, "wait"):
            for event in self.world.client.feed(2, stop):
                numbers.append(event.sequence_number)
                if len(numbers) == 4:
                    stop.set()
        self.assertEqual(numbers, [2, 3, 4, 5])
        self.assertGreaterEqual(sum(path.endswith("/stream") for path in self.world.asked), 2)

    def test_an_answer_that_is_cut_is_asked_for_again(self):
        lengths = [100, 2]

        class Cutting(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("content-length", str(lengths.pop(0)))
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Cutting) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.assertEqual(Http(f"http://127.0.0.1:{server.server_port}", None, None).get("/"), {})
            server.shutdown()
        self.assertEqual(lengths, [])

    def test_a_log_that_has_not_come_to_the_last_number_is_refused(self):
        self.world.has_feed = True
        self.world.push(1)
        self.refused(ves.RefusedError, "SEQUENCE_GAP", lambda: next(iter(self.world.client.feed(3))))

    def test_where_the_server_has_no_live_feed_it_is_asked_for_pages(self):
        self.world.push(1, 2)
        numbers, stop = [], threading.Event()
        for event in self.world.client.feed(stop=stop, poll_seconds=0.01):
            numbers.append(event.sequence_number)
            if len(numbers) == 2:
                self.world.push(3)
            if len(numbers) == 3:
                stop.set()
        self.assertEqual(numbers, [1, 2, 3])

    def test_messages_are_read_whatever_ends_their_lines(self):
        lines = [b"event: end\r\n", b"data: a\r\n", b"data:b\r\n", b"\r\n", b": no\n", b"\n", b"data: c\rid: 1\r\r\n", b"data: never"]
        self.assertEqual(list(messages(lines)), [("end", "a\nb"), ("message", "c")])

    def test_what_cannot_be_sent_is_refused_before(self):
        for url in ("127.0.0.1:8080", "ftp://x", "http://", "http://a b"):
            with self.assertRaises(ves.StatesetError):
                ves.Client(url, STREAM)
        event = self.world.event(1)
        self.refused(ves.VesError, "invalid_input", lambda: self.world.client.push([event, event]))
        self.assertEqual(self.world.client.push([]), ves.Pushed())
        self.assertEqual(self.world.asked, [])


if __name__ == "__main__":
    unittest.main()
