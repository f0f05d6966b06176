"""Every call of the gRPC door, good and bad, by the client library that most callers use.

    python client.py SERVER STUBS

SERVER is the program of `cargo build -p stateset-sequencer-api --example doors`, STUBS a folder for the code that
grpc_tools makes of the .proto files. `cargo xtask test` calls it. Prints one line a test and a count.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
import uuid

server_program, stubs = sys.argv[1:3]
protos = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../protocol/wire/proto")
os.makedirs(stubs, exist_ok=True)
subprocess.run(
    [sys.executable, "-m", "grpc_tools.protoc", "-I", protos, "--python_out", stubs, "--grpc_python_out", stubs]
    + ["stateset/sequencer/v1/sequencer.proto", "stateset/sequencer/v2/sequencer.proto"], check=True)
sys.path.insert(0, stubs)

import grpc  # noqa: E402
from google.protobuf.empty_pb2 import Empty  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase  # noqa: E402
from stateset.sequencer.v1 import sequencer_pb2 as v1, sequencer_pb2_grpc as v1_grpc  # noqa: E402
from stateset.sequencer.v2 import sequencer_pb2 as v2, sequencer_pb2_grpc as v2_grpc  # noqa: E402
from ves import Agent, inclusion_root  # noqa: E402

TIMEOUT = 20
S = grpc.StatusCode


class Caller:
    """The services, called with one credential."""

    def __init__(self, channel, key):
        self.metadata = [("authorization", "ApiKey " + key)] if key else []
        self.v2, self.keys = v2_grpc.SequencerStub(channel), v2_grpc.KeyManagementStub(channel)
        self.v1 = v1_grpc.SequencerStub(channel)

    def __call__(self, rpc, request):
        return rpc(request, metadata=self.metadata, timeout=TIMEOUT)


class World:
    def __init__(self):
        self.process = subprocess.Popen([server_program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.place = json.loads(self.process.stdout.readline())
        self.channel = grpc.insecure_channel(self.place["grpc"])
        self.admin = Caller(self.channel, self.place["key"])

    def agent(self, tenant=None, store=None):
        """A fresh agent of a fresh stream, its key registered over gRPC."""
        agent = Agent(tenant or str(uuid.uuid4()), store or str(uuid.uuid4()))
        self.admin(self.admin.keys.RegisterAgentKey, registration(agent))
        return agent

    def rest(self, method, path, body=None):
        request = urllib.request.Request("http://" + self.place["rest"] + path, method=method)
        request.add_header("x-api-key", self.place["key"])
        request.add_header("content-type", "application/json")
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(request, data, timeout=TIMEOUT) as answer:
            return json.load(answer)

    def mint(self, agent, **rights):
        path = f"/api/v1/agents/{agent.id}/api-keys"
        return Caller(self.channel, self.rest("POST", path, {"tenantId": agent.tenant, **rights})["apiKey"])

    def close(self):
        self.channel.close()
        self.process.stdin.close()
        assert self.process.wait(30) == 0, "the server did not end well"


def registration(agent, **fields):
    return v2.RegisterKeyRequest(**{
        "tenant_id": agent.tenant, "agent_id": agent.id, "key_id": agent.key_id, "key_type": v2.KEY_TYPE_SIGNING,
        "public_key": agent.public_key, "proof_of_possession": agent.possession(), **fields})


def refused(code, call, *args, error=None):
    """The call fails with this status, and says why."""
    try:
        answer = call(*args)
        if hasattr(answer, "__next__"):
            next(answer)
    except grpc.RpcError as problem:
        said = dict(problem.trailing_metadata() or [])
        assert problem.code() == code, f"{problem.code()} {problem.details()}, expected {code}"
        assert problem.details(), "no message"
        assert error is None or said.get("x-error-code") == error, said
        return problem.details()
    raise AssertionError(f"it was answered, expected {code}")


def ids(agent):
    return {"tenant_id": agent.tenant, "store_id": agent.store}


def everything(agent):
    """Each call of the three services with a message that asks for the agent's stream."""
    entity = {"entity_type": "order", "entity_id": "ORD-1"}
    some_id = str(uuid.uuid4())
    return [
        ("v2", "Push", agent.push(agent.event({"n": 1}))),
        ("v2", "PullEvents", v2.PullEventsRequest(**ids(agent))),
        ("v2", "GetSyncState", v2.GetSyncStateRequest(**ids(agent))),
        ("v2", "GetInclusionProof", v2.GetInclusionProofRequest(**ids(agent), sequence_number=1)),
        ("v2", "GetCommitment", v2.GetCommitmentRequest(batch_id=some_id)),
        ("v2", "GetEntityHistory", v2.GetEntityHistoryRequest(**ids(agent), **entity)),
        ("v2", "StreamEvents", v2.StreamEventsRequest(**ids(agent), include_history=True)),
        ("v2", "SubscribeEntity", v2.SubscribeEntityRequest(**ids(agent), **entity, include_history=True)),
        ("keys", "RegisterAgentKey", registration(agent, key_id=5)),
        ("keys", "GetAgentKeys", v2.GetAgentKeysRequest(tenant_id=agent.tenant, agent_id=agent.id)),
        ("keys", "RevokeAgentKey", v2.RevokeKeyRequest(tenant_id=agent.tenant, agent_id=agent.id, key_id=9)),
        ("v1", "Push", first_push(agent, 1)),
        ("v1", "Pull", v1.PullRequest(**ids(agent), batch_size=10)),
        ("v1", "GetHead", v1.GetHeadRequest(**ids(agent))),
        ("v1", "GetInclusionProof", v1.GetInclusionProofRequest(batch_id=some_id, event_id=some_id)),
        ("v1", "GetCommitment", v1.GetCommitmentRequest(batch_id=some_id)),
        ("v1", "GetEntityHistory", v1.GetEntityHistoryRequest(**ids(agent), **entity)),
    ]


def first_push(agent, *numbers):
    return v1.PushRequest(agent_id=agent.id, events=[
        v1.EventEnvelope(
            event_id=str(uuid.UUID(int=n)), **ids(agent), entity_type="order", entity_id=f"ORD-{n % 2}",
            event_type="order.created", payload=json.dumps({"n": n}).encode(), created_at={"seconds": 1_766_253_070},
            source_agent=agent.id)
        for n in numbers])


def take(stream, count):
    return [next(stream) for _ in range(count)]


# --- the tests ---------------------------------------------------------------------------------------------------


def test_a_signed_event_is_sequenced_proven_and_read_back(world):
    agent, call = world.agent(), world.admin
    events = [agent.event({"n": n}, spelling="+00:00" if n % 2 else "Z") for n in range(5)]
    pushed = call(call.v2.Push, agent.push(*events, request_id="r"))
    assert (pushed.events_accepted, pushed.sequence_start, pushed.sequence_end, pushed.request_id) == (5, 1, 5, "r")
    page = call(call.v2.PullEvents, v2.PullEventsRequest(**ids(agent), limit=3))
    assert [e.sequence_number for e in page.events] == [1, 2, 3] and page.has_more and page.next_sequence == 4
    assert page.events[1].envelope.payload == events[1].payload
    assert page.events[1].envelope.created_at_text.endswith("+00:00")
    assert page.events[0].envelope.created_at_text.endswith("Z")
    assert page.events[0].receipt_hash == pushed.receipts[0].receipt_hash != b""
    world.rest("POST", "/api/v1/ves/commitments", {**ids(agent), "sequence_start": 1, "sequence_end": 5})
    proven = call(call.v2.GetInclusionProof, v2.GetInclusionProofRequest(**ids(agent), event_id=events[3].event_id))
    assert proven.included and inclusion_root(proven.proof) == proven.proof.merkle_root
    state = call(call.v2.GetSyncState, v2.GetSyncStateRequest(**ids(agent)))
    assert state.latest_commitment.merkle_root == proven.proof.merkle_root and len(state.state_root) == 32
    batch = call(call.v2.GetCommitment, v2.GetCommitmentRequest(batch_id=state.latest_commitment.batch_id))
    assert (batch.start_sequence, batch.end_sequence, batch.event_count, batch.previous_root) == (1, 5, 5, b"")
    again = call(call.v2.Push, agent.push(*events))
    assert again.events_accepted == 0 and [r.sequence_number for r in again.receipts] == [1, 2, 3, 4, 5]
    wrong = v2.GetInclusionProofRequest(**ids(agent), sequence_number=1, expected_root=bytes(32))
    refused(S.FAILED_PRECONDITION, call, call.v2.GetInclusionProof, wrong)
    beyond = v2.GetInclusionProofRequest(**ids(agent), sequence_number=6)
    refused(S.NOT_FOUND, call, call.v2.GetInclusionProof, beyond, error="EVENT_NOT_FOUND")


def test_a_forged_event_is_refused_alone(world):
    agent, call = world.agent(), world.admin
    good, forged, changed = agent.event({"n": 1}), agent.event({"n": 2}), agent.event({"n": 3})
    forged.agent_signature = bytes(64)
    changed.payload = b'{"n":4}'
    shapeless = agent.event({"n": 5})
    shapeless.payload = b'{"n":5},"entity_id":"x"'
    answer = call(call.v2.Push, agent.push(forged, good, changed, shapeless))
    assert (answer.events_accepted, answer.events_rejected, answer.sequence_end) == (1, 3, 1)
    assert [r.reason for r in answer.rejections] == [1, 1, 8], answer.rejections
    assert [r.event_id for r in answer.rejections] == [e.event_id for e in (forged, changed, shapeless)]


def test_every_call_wants_a_credential_with_the_right(world):
    agent = world.agent()
    nobody, unknown = Caller(world.channel, None), Caller(world.channel, "ss_unknown")
    stranger = world.mint(world.agent(), admin=True)
    for service, name, message in everything(agent):
        method = lambda caller: getattr(getattr(caller, service), name)  # noqa: E731
        refused(S.UNAUTHENTICATED, nobody, method(nobody), message, error="AUTH_REQUIRED")
        refused(S.UNAUTHENTICATED, unknown, method(unknown), message, error="INVALID_API_KEY")
        by_id = name == "GetCommitment" or (service, name) == ("v1", "GetInclusionProof")
        refused(S.NOT_FOUND if by_id else S.PERMISSION_DENIED, stranger, method(stranger), message)
    refused(S.UNAUTHENTICATED, nobody, nobody.v2.SyncStream, iter([]))
    assert call_head(world, agent) == 0


def call_head(world, agent):
    return world.admin(world.admin.v2.GetSyncState, v2.GetSyncStateRequest(**ids(agent))).head_sequence


def test_no_message_brings_the_service_down(world):
    agent, call = world.agent(), world.admin
    clean = {S.OK, S.INVALID_ARGUMENT, S.NOT_FOUND, S.RESOURCE_EXHAUSTED, S.FAILED_PRECONDITION, S.ALREADY_EXISTS}
    for service, name, message in everything(agent):
        whole = message.SerializeToString()
        package = "v1.Sequencer" if service == "v1" else "v2.KeyManagement" if service == "keys" else "v2.Sequencer"
        raw = world.channel.unary_unary(f"/stateset.sequencer.{package}/{name}")
        streams = name in ("StreamEvents", "SubscribeEntity", "Pull")
        bad = [b"", b"\xff" * 40, whole[:-1], whole[: len(whole) // 2], bytes(200), whole.replace(b"-", b"\x00")]
        for body in bad:
            try:
                raw(body, metadata=call.metadata, timeout=1 if streams else TIMEOUT)
                code = S.OK
            except grpc.RpcError as problem:
                code = problem.code()
            # A stream that a damaged message opens all the same goes on until our time is over.
            assert code in clean or (streams and code == S.DEADLINE_EXCEEDED), (name, body[:40], code)
    assert call(call.v2.GetHealth, Empty()).healthy


def test_streams_deliver_what_comes_by_any_transport_and_resume(world):
    agent, call = world.agent(), world.admin
    for n in range(30):
        call(call.v2.Push, agent.push(agent.event({"n": n}, entity=f"ORD-{n % 2}")))
    live = call(call.v2.StreamEvents, v2.StreamEventsRequest(**ids(agent), include_history=True))
    entity = v2.SubscribeEntityRequest(**ids(agent), entity_type="order", entity_id="ORD-1", include_history=True)
    one = call(call.v2.SubscribeEntity, entity)
    assert [e.sequence_number for e in take(live, 30)] == list(range(1, 31))
    assert [e.sequence_number for e in take(one, 15)] == list(range(2, 31, 2))
    call(call.v2.Push, agent.push(*[agent.event({"n": n}, entity="ORD-1") for n in range(5)]))
    assert [e.sequence_number for e in take(live, 5)] == [e.sequence_number for e in take(one, 5)] == list(range(31, 36))
    live.cancel()
    request = v2.StreamEventsRequest(**ids(agent), include_history=True, from_sequence=20, heartbeat_interval_ms=100)
    resumed = call(call.v2.StreamEvents, request)
    assert [e.sequence_number for e in take(resumed, 16)] == list(range(20, 36))
    assert next(resumed) == v2.SequencedEvent(), "a heartbeat is empty"
    history = call(call.v2.GetEntityHistory, v2.GetEntityHistoryRequest(
        **ids(agent), entity_type="order", entity_id="ORD-1", from_version=2, to_version=4))
    assert [e.sequence_number for e in history.events] == [4, 6, 8] and history.current_version == 20
    for stream in (one, resumed):
        stream.cancel()


def test_a_stalled_reader_holds_nobody_up_and_misses_nothing(world):
    agent, call = world.agent(), world.admin
    channel = grpc.insecure_channel(world.place["grpc"], options=[("grpc.use_local_subchannel_pool", 1)])
    slow = Caller(channel, world.place["key"])
    stalled = slow(slow.v2.StreamEvents, v2.StreamEventsRequest(**ids(agent), include_history=True))
    started, count = time.monotonic(), 600
    for n in range(0, count, 50):
        events = [agent.event({"n": i, "text": "x" * 8192}) for i in range(n, n + 50)]
        assert call(call.v2.Push, agent.push(*events)).events_accepted == 50
    assert time.monotonic() - started < TIMEOUT
    assert [e.sequence_number for e in take(stalled, count)] == list(range(1, count + 1))
    stalled.cancel()
    channel.close()


def test_a_session_pushes_pulls_acknowledges_and_survives_bad_messages(world):
    agent, call = world.agent(), world.admin
    bound = world.mint(agent)
    outbox = queue.Queue()
    session = bound(bound.v2.SyncStream, iter(outbox.get, None))

    def answer(kind):
        """The next message that is no live event."""
        while (message := next(session)).WhichOneof("message") == "event":
            pass
        assert message.WhichOneof("message") == kind, message
        return getattr(message, kind)

    outbox.put(v2.SyncMessage(push=agent.push(agent.event({"n": 1}), request_id="1")))
    assert answer("push_response").events_accepted == 1
    assert answer("sync_state").head_sequence == 1
    outbox.put(v2.SyncMessage(pull=v2.PullEventsRequest(**ids(agent))))
    assert answer("pull_response").head_sequence == 1
    other = world.agent()
    outbox.put(v2.SyncMessage(push=other.push(other.event({"n": 1}))))
    bad = answer("push_response")
    assert bad.events_rejected == 1 and bad.rejections[0].message
    outbox.put(v2.SyncMessage())
    assert answer("push_response").rejections
    outbox.put(v2.SyncMessage(heartbeat=v2.Heartbeat(last_seen_sequence=7)))
    assert answer("server_heartbeat").last_seen_sequence == 7
    outbox.put(v2.SyncMessage(ack=v2.EventAck(agent_head_sequence=1)))
    call(call.v2.Push, agent.push(agent.event({"n": 2})))
    while True:
        message = next(session)
        if message.WhichOneof("message") == "event" and message.event.sequence_number == 2:
            break
    outbox.put(None)
    assert all(m.WhichOneof("message") == "event" for m in session), "a session that is closed ends well"


def test_keys_are_registered_listed_and_revoked(world):
    agent, call = world.agent(), world.admin
    refused(S.ALREADY_EXISTS, call, call.keys.RegisterAgentKey, registration(agent), error="ALREADY_EXISTS")
    unproven = registration(agent, key_id=2, proof_of_possession=bytes(64))
    refused(S.INVALID_ARGUMENT, call, call.keys.RegisterAgentKey, unproven)
    encryption = registration(agent, key_id=3, key_type=v2.KEY_TYPE_ENCRYPTION, proof_of_possession=b"",
                              public_key=bytes([9]) + bytes(31))
    assert call(call.keys.RegisterAgentKey, encryption).success
    listed = call(call.keys.GetAgentKeys, v2.GetAgentKeysRequest(tenant_id=agent.tenant, agent_id=agent.id))
    assert [(k.key_id, k.key_type, k.status) for k in listed.keys] == [(1, 1, 1), (3, 2, 1)]
    gone = call(call.keys.RevokeAgentKey, v2.RevokeKeyRequest(tenant_id=agent.tenant, agent_id=agent.id, key_id=1))
    assert gone.success and gone.revoked_at.seconds > 0
    answer = call(call.v2.Push, agent.push(agent.event({"n": 1})))
    assert [r.reason for r in answer.rejections] == [v2.REJECTION_REASON_REVOKED_KEY]
    unknown = v2.RevokeKeyRequest(tenant_id=agent.tenant, agent_id=agent.id, key_id=7)
    refused(S.NOT_FOUND, call, call.keys.RevokeAgentKey, unknown, error="AGENT_KEY_NOT_FOUND")


def test_the_older_stream_is_pushed_pulled_and_proven(world):
    agent, call = world.agent(), world.admin
    pushed = call(call.v1.Push, first_push(agent, *range(1, 8)))
    assert (pushed.events_accepted, pushed.assigned_sequence_end, pushed.head_sequence) == (7, 7, 7)
    again = call(call.v1.Push, first_push(agent, 1, 8))
    assert again.events_accepted == 1 and again.events_rejected[0].reason_code == "DuplicateEventId"
    pages = list(call(call.v1.Pull, v1.PullRequest(**ids(agent), batch_size=3)))
    assert [[e.sequence_number for e in page.events] for page in pages] == [[1, 2, 3], [4, 5, 6], [7, 8]]
    filtered = call(call.v1.Pull, v1.PullRequest(**ids(agent), entity_id_filter="ORD-1"))
    assert [e.sequence_number for page in filtered for e in page.events] == [1, 3, 5, 7]
    waiting = call(call.v1.Pull, v1.PullRequest(**ids(agent), from_sequence=9, wait_for_new=True, wait_timeout_ms=5000))
    assert next(waiting).head_sequence == 8
    threading.Timer(0.3, lambda: call(call.v1.Push, first_push(agent, 9))).start()
    assert [e.sequence_number for e in next(waiting).events] == [9]
    waiting.cancel()
    assert call(call.v1.GetHead, v1.GetHeadRequest(**ids(agent))).head_sequence == 9
    history = v1.GetEntityHistoryRequest(**ids(agent), entity_type="order", entity_id="ORD-0", from_version=2)
    assert [e.sequence_number for e in call(call.v1.GetEntityHistory, history).events] == [4, 6, 8]
    refused(S.INVALID_ARGUMENT, call, call.v1.Pull, v1.PullRequest(**ids(agent), batch_size=1001))
    some_id = str(uuid.uuid4())
    refused(S.NOT_FOUND, call, call.v1.GetCommitment, v1.GetCommitmentRequest(batch_id=some_id))
    proof = v1.GetInclusionProofRequest(batch_id=some_id, event_id=some_id)
    refused(S.NOT_FOUND, call, call.v1.GetInclusionProof, proof)


def test_health_and_reflection_answer_anyone(world):
    health = health_pb2_grpc.HealthStub(world.channel)
    for name in ("", "stateset.sequencer.v1.Sequencer", "stateset.sequencer.v2.Sequencer"):
        assert health.Check(health_pb2.HealthCheckRequest(service=name), timeout=TIMEOUT).status == 1
    refused(S.NOT_FOUND, health.Check, health_pb2.HealthCheckRequest(service="nobody"))
    watched = health.Watch(health_pb2.HealthCheckRequest(), timeout=TIMEOUT)
    assert next(watched).status == 1
    watched.cancel()
    known = ProtoReflectionDescriptorDatabase(world.channel)
    assert {"stateset.sequencer.v1.Sequencer", "stateset.sequencer.v2.Sequencer",
            "stateset.sequencer.v2.KeyManagement"} <= set(known.get_services())
    found = known.FindFileContainingSymbol("stateset.sequencer.v2.EventEnvelope")
    numbers = {f.name: f.number for m in found.message_type if m.name == "EventEnvelope" for f in m.field}
    assert (numbers["base_version"], numbers["created_at"], numbers["created_at_text"]) == (17, 18, 21)
    refused(S.UNIMPLEMENTED, world.channel.unary_unary("/nobody/Nothing"), b"")


def main():
    world, passed, failed = World(), 0, 0
    for name, test in [(n, t) for n, t in globals().items() if n.startswith("test_")]:
        try:
            test(world)
            passed += 1
            print(f"test {name.removeprefix('test_')} ... ok", flush=True)
        except Exception:
            failed += 1
            print(f"test {name.removeprefix('test_')} ... FAILED\n{traceback.format_exc()}", flush=True)
    try:
        world.close()
    except Exception as problem:
        failed += 1
        print(f"the server: {problem}")
    print(f"grpc client: {passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
