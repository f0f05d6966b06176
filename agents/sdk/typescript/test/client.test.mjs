// The client against a sequencer of a few lines, which can lose answers, lie and hang up.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { Agent, Client, RefusedError, SigningKey, UnreachableError, UnreadableError, UntrueError, VesError, checkEvent } from '../dist/index.js';
import { messages } from '../dist/feed.js';

const STREAM = { tenantId: '5eb673aa-293d-492f-8139-d8bd4e0bdbfc', storeId: 'e075fa56-58b9-4411-b010-faf3832b768b' };
const SEQUENCER_ID = '7897b0db-1f74-408d-b6c6-d4b0a8d895d3';
const URL_ = 'http://sequencer.test';
const raw = (uuid) => Buffer.from(uuid.replaceAll('-', ''), 'hex');
const hex = (bytes) => Buffer.from(bytes).toString('hex');

class World {
  entries = [];
  asked = [];
  /** Answers instead of the sequencer, once each. */
  instead = [];
  hasFeed = false;

  static async make() {
    const world = new World();
    world.key = await SigningKey.generate();
    world.agent = new Agent({ stream: STREAM, signer: await SigningKey.generate() });
    const sequencer = { sequencerId: SEQUENCER_ID, keys: { 1: hex(world.key.publicKey) } };
    world.client = new Client({ url: URL_, stream: STREAM, sequencer, agentKey: async () => hex(world.agent.signer.publicKey), fetch: (url, init) => world.answer(new URL(url), init) });
    return world;
  }

  async event(n) {
    return this.agent.sign({ entityType: 'order', entityId: 'ORD-1', eventType: 'order.created', payload: { n } });
  }

  async answer(url, init) {
    this.asked.push(url.pathname);
    const instead = this.instead.shift();
    if (instead) return instead(url, init);
    if (url.pathname === '/api/v1/ves/events/ingest') return json(await this.ingest(JSON.parse(init.body)));
    if (url.pathname === '/api/v1/ves/events') {
      const from = Number(url.searchParams.get('from'));
      return json({ events: this.entries.slice(from - 1, from + 1), head_sequence: this.entries.length });
    }
    const last = Number(new Headers(init.headers).get('last-event-id'));
    if (last > this.entries.length) return json({ error: { code: 'SEQUENCE_GAP', message: 'never told' } }, 409);
    if (url.pathname === '/api/v1/events/stream' && this.hasFeed) return this.sent(Number(url.searchParams.get('from')), init.signal);
    return json({ error: { code: 'RESOURCE_NOT_FOUND', message: 'no such route' } }, 404);
  }

  async ingest({ events }) {
    for (const event of events) {
      if (!this.entries.some((entry) => entry.envelope.event_id === event.event_id)) await this.store(event);
    }
    const of = (event) => this.entries.find((entry) => entry.envelope.event_id === event.event_id).receipt;
    return { batchId: SEQUENCER_ID, receipts: events.map(of), headSequence: this.entries.length };
  }

  async store(event) {
    const sequenceNumber = this.entries.length + 1;
    const place = Buffer.alloc(8);
    place.writeBigUInt64BE(BigInt(sequenceNumber));
    const signing = Buffer.from(await checkEvent(event), 'hex');
    const parts = [Buffer.from('VES_RECEIPT_V1'), raw(event.tenant_id), raw(event.store_id), raw(event.event_id), place, signing];
    const hash = createHash('sha256').update(Buffer.concat(parts)).digest();
    const receipt = { sequencerId: SEQUENCER_ID, eventId: event.event_id, sequenceNumber, sequencedAt: 'now', receiptHash: hex(hash), signatureAlg: 'ed25519', sequencerSignature: hex(await this.key.sign(hash)), sequencerKeyVersion: 1 };
    this.entries.push({ envelope: event, sequenced_at: 'now', receipt });
  }

  /** Two events and a piece of the third, then the connection is gone. */
  sent(from, signal) {
    const text = (n) => `: heartbeat\n\nid: ${n}\ndata: ${JSON.stringify(this.entries[n - 1])}\n\n`;
    const left = this.entries.slice(from - 1).map((_, at) => text(from + at));
    const body = 'retry: 2000\nid: 0\n\n' + left.slice(0, 2).join('') + (left[2] ?? '').slice(0, 40);
    const bytes = [...new TextEncoder().encode(body)];
    const stream = new ReadableStream({
      pull(controller) {
        if (bytes.length > 0) controller.enqueue(Uint8Array.from(bytes.splice(0, 7)));
        else if (left.length > 0) controller.error(new TypeError('the connection was cut'));
        else return new Promise((resolve) => signal.addEventListener('abort', () => resolve(controller.error(signal.reason))));
      },
    });
    return new Response(stream, { headers: { 'content-type': 'text/event-stream' } });
  }
}

const json = (body, status = 200, headers = {}) => new Response(JSON.stringify(body), { status, headers });

async function rejects(promise, kind, code) {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof kind, String(error.stack));
    assert.equal(error.code, code);
    return true;
  });
}

test('an answer that is lost is asked for again, and the event stands there once', async () => {
  const world = await World.make();
  const event = await world.event(1);
  world.instead.push(async (url, init) => {
    await world.ingest(JSON.parse(init.body));
    throw new TypeError('the connection was cut');
  });
  const pushed = await world.client.push([event]);
  assert.equal(pushed.receipts[0].sequenceNumber, 1);
  assert.equal((await world.client.push([event])).receipts[0].sequenceNumber, 1);
  assert.equal(world.entries.length, 1);
});

test('what is no answer to the question is told as that, and a page without its head ends no stream', async () => {
  const world = await World.make();
  await world.client.push([await world.event(1)]);
  const all = async () => {
    for await (const event of world.client.events()) void event;
  };
  for (const page of [{ events: [] }, { events: [], head_sequence: null }, { events: [], head_sequence: 'x' }, { head_sequence: 1 }, null, []]) {
    world.instead.push(() => json(page));
    await rejects(all(), UnreadableError, 'unreadable');
  }
  const { envelope, receipt } = world.entries[0];
  for (const entry of [null, 'x', {}, { envelope }, { receipt }, { envelope: null, receipt }]) {
    world.instead.push(() => json({ events: [entry], head_sequence: 1 }));
    await rejects(all(), UnreadableError, 'unreadable');
  }
  for (const answer of [{}, { commitments: null }, { commitments: [null] }]) {
    world.instead.push(() => json(answer));
    await rejects(world.client.commitmentOf(1), UnreadableError, 'unreadable');
  }
  for (const answer of [null, [], 'x', { receipts: 'x' }, { receipts: [null] }]) {
    world.instead.push(() => json(answer));
    await rejects(world.client.push([await world.event(2)]), UnreadableError, 'unreadable');
  }
  // Cut inside its compression, an answer is a shorter text.
  world.instead.push(() => new Response('{"events":[{"envelope":'));
  await all();
});

test('a server that is busy is asked again when it says, and one that refuses is not', async () => {
  const world = await World.make();
  world.instead.push(() => json({ error: { code: 'SERVICE_UNAVAILABLE', message: 'later' } }, 503, { 'retry-after': '0' }));
  await world.client.push([await world.event(1)]);
  assert.equal(world.asked.length, 2);
  world.instead.push(() => json({ error: { code: 'INSUFFICIENT_PERMISSIONS', message: 'no', request_id: 'r-1' } }, 403));
  await rejects(world.client.push([await world.event(2)]), RefusedError, 'INSUFFICIENT_PERMISSIONS');
  assert.equal(world.asked.length, 3);
  world.instead.push(() => json({ error: { code: 'RATE_LIMIT_EXCEEDED', message: 'no' } }, 429, { 'retry-after': '3600' }));
  await rejects(world.client.push([await world.event(3)]), RefusedError, 'RATE_LIMIT_EXCEEDED');
  world.instead.push(() => Promise.reject(Object.assign(new TypeError('fetch failed'), { cause: { code: 'ECONNREFUSED' } })));
  await rejects(world.client.push([await world.event(4)]), UnreachableError, 'unreachable');
});

test('a receipt that lies is noticed', async () => {
  const world = await World.make();
  const [one, two] = [await world.event(1), await world.event(2)];
  await world.client.push([one]);
  const lie = (change) => world.instead.push(async (url, init) => {
    const answer = await world.ingest(JSON.parse(init.body));
    return json({ ...answer, receipts: answer.receipts.map(change) });
  });
  lie((receipt) => ({ ...receipt, sequenceNumber: 9 }));
  await rejects(world.client.push([two]), UntrueError, 'receipt_of_other_event');
  lie((receipt) => ({ ...receipt, sequencerSignature: '00'.repeat(64) }));
  await rejects(world.client.push([two]), UntrueError, 'receipt_invalid_signature');
  lie((receipt) => ({ ...receipt, sequencerKeyVersion: 2 }));
  await rejects(world.client.push([two]), UntrueError, 'unknown_sequencer_key');
  lie((receipt) => ({ ...receipt, eventId: one.event_id }));
  await rejects(world.client.push([two]), UntrueError, 'answer_contradicts');
});

test('events are paged in order, and a gap, a change or a forgery is noticed', async () => {
  const world = await World.make();
  await world.client.push(await Promise.all([1, 2, 3, 4, 5].map((n) => world.event(n))));
  const numbers = [];
  for await (const event of world.client.events()) {
    assert.equal(event.signatureVerified, true);
    numbers.push(event.sequenceNumber);
  }
  assert.deepEqual(numbers, [1, 2, 3, 4, 5]);
  const all = async () => {
    for await (const event of world.client.events()) void event;
  };
  const whole = world.entries;
  world.entries = whole.filter((_, at) => at !== 2);
  await rejects(all(), UntrueError, 'sequence_gap');
  world.entries = whole.map((entry, at) => (at === 1 ? { ...entry, envelope: { ...entry.envelope, payload: { n: 20 } } } : entry));
  await rejects(all(), UntrueError, 'invalid_payload_hash');
  const forged = await new Agent({ stream: STREAM, signer: await SigningKey.generate(), agentId: world.agent.agentId }).sign({ entityType: 'order', entityId: 'O', eventType: 'x', payload: 1 });
  world.entries = [];
  await world.store(forged);
  await rejects(all(), UntrueError, 'invalid_signature');
});

test('an agent whose key is not listed is asked about once', async () => {
  const world = await World.make();
  await world.client.push(await Promise.all([1, 2, 3].map((n) => world.event(n))));
  const client = new Client({ url: URL_, stream: STREAM, sequencer: await world.client.sequencer(), fetch: (url, init) => world.answer(new URL(url), init) });
  world.instead = [() => json({ events: world.entries, head_sequence: 3 }), () => json({ keys: [] })];
  const found = [];
  for await (const event of client.events()) found.push(event.signatureVerified);
  assert.deepEqual(found, [false, false, false]);
  assert.equal(world.asked.filter((path) => path === '/api/v1/agents/keys').length, 1);
});

test('what has no JSON form is not signed as something else', async () => {
  const world = await World.make();
  for (const value of [NaN, Infinity, 10n, () => 1]) {
    const draft = { entityType: 'order', entityId: 'O', eventType: 'order.created', payload: { amounts: [value] } };
    await rejects(world.agent.sign(draft), VesError, 'invalid_json');
  }
});

// The member was left out, or null stood in its place, and the integer may have been another one.
test('what JSON leaves out or rounds is not signed, and its place is named', async () => {
  const world = await World.make();
  const sign = (payload) => world.agent.sign({ entityType: 'order', entityId: 'O', eventType: 'order.created', payload });
  const shared = { total: 1 };
  for (const [payload, code, place] of [
    [{ lines: [shared, { sku: undefined }] }, 'invalid_json', 'lines[1].sku'],
    [{ note: undefined }, 'invalid_json', 'note'],
    [[1, undefined], 'invalid_json', '[1]'],
    [{ holes: [1, , 2] }, 'invalid_json', 'holes[1]'],
    [{ lines: [{ amounts: [1, 2 ** 53] }] }, 'inexact_number', 'lines[0].amounts[1]'],
    [{ first: shared, second: shared, cents: -(2 ** 53) }, 'inexact_number', 'cents'],
    [2 ** 64, 'inexact_number', 'it'],
    [{ rates: { usd: NaN } }, 'invalid_json', 'rates.usd'],
  ]) {
    await assert.rejects(sign(payload), (error) => {
      assert.ok(error instanceof VesError && error.code === code, `${error}`);
      assert.ok(error.message.startsWith(`payload: ${place}: `), error.message);
      return true;
    });
  }
  await rejects(sign(undefined), VesError, 'invalid_input');
  const cents = Number.MAX_SAFE_INTEGER;
  assert.deepEqual((await sign({ cents, at: new Date(0), share: 0.1 })).payload, { cents, at: '1970-01-01T00:00:00.000Z', share: 0.1 });
});

test('without the list of keys no signature goes unchecked', async () => {
  const world = await World.make();
  await world.client.push([await world.event(1)]);
  for (const answer of [{}, { keys: null }, { keys: [null] }]) {
    const client = new Client({ url: URL_, stream: STREAM, sequencer: await world.client.sequencer(), fetch: (url, init) => world.answer(new URL(url), init) });
    world.instead = [() => json({ events: world.entries, head_sequence: 1 }), () => json(answer)];
    await rejects(client.events().next(), UnreadableError, 'unreadable');
  }
});

test('the feed goes on after lost connections, without gap or repetition', async () => {
  const world = await World.make();
  world.hasFeed = true;
  await world.client.push(await Promise.all([1, 2, 3, 4, 5].map((n) => world.event(n))));
  const [numbers, stop] = [[], new AbortController()];
  for await (const event of world.client.feed({ from: 2, signal: stop.signal })) {
    numbers.push(event.sequenceNumber);
    if (numbers.length === 4) stop.abort();
  }
  assert.deepEqual(numbers, [2, 3, 4, 5]);
  assert.ok(world.asked.filter((path) => path.endsWith('/stream')).length >= 2);
});

test('a log that has not come to the last number is refused', async () => {
  const world = await World.make();
  world.hasFeed = true;
  await world.client.push([await world.event(1)]);
  await rejects(world.client.feed({ from: 3 }).next(), RefusedError, 'SEQUENCE_GAP');
});

test('where the server has no live feed, it is asked for pages', async () => {
  const world = await World.make();
  await world.client.push([await world.event(1), await world.event(2)]);
  const [numbers, stop] = [[], new AbortController()];
  for await (const event of world.client.feed({ signal: stop.signal, pollMs: 10 })) {
    numbers.push(event.sequenceNumber);
    if (numbers.length === 2) await world.client.push([await world.event(3)]);
    if (numbers.length === 3) stop.abort();
  }
  assert.deepEqual(numbers, [1, 2, 3]);
});

test('messages are read however they are cut', async () => {
  const text = 'event: end\r\ndata: a\r\ndata:b\r\n\r\n: no\n\ndata: c\rid: 1\r\rdata: never sent';
  for (const size of [1, 2, 3, 7, 100]) {
    const bytes = new TextEncoder().encode(text);
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
      },
    });
    const found = [];
    for await (const message of messages(body)) found.push(message);
    assert.deepEqual(found, [{ event: 'end', data: 'a\nb' }, { event: 'message', data: 'c' }]);
  }
});

test('an address that is none, and events that do not belong together, are refused before anything is sent', async () => {
  for (const url of ['127.0.0.1:8080', 'ftp://x', 'http://', 'http://a b']) {
    assert.throws(() => new Client({ url, stream: STREAM }), /should look like/);
  }
  const world = await World.make();
  const event = await world.event(1);
  await rejects(world.client.push([event, event]), VesError, 'invalid_input');
  assert.deepEqual(await world.client.push([]), { results: [], receipts: [], rejections: [] });
  assert.equal(world.asked.length, 0);
});
