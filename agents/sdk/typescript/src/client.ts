/** One stream of one server, through a client that checks what it is told. */

import type { components } from './generated/api.js';
import { RefusedError, UnreadableError, UntrueError, VesError } from './errors.js';
import { checkEvent, type Agent } from './events.js';
import { follow, type FeedOptions } from './feed.js';
import { Http, sleep, type Fetch } from './http.js';
import { checkCommitment, leafHash, verifyCheckpoint, verifyConsistency, verifyInclusion, verifyReceipt, type Checkpoint } from './proofs.js';
import { toHex } from './core.js';
import type { Commitment, Event, EventEntry, Receipt, Rejection, Sequencer, Stream } from './types.js';

type Schemas = components['schemas'];

/** Events of one request: half of what a server admits by default. */
const BATCH_EVENTS_MAX = 500;
/** Characters of one request, well under the 10 MiB a server admits by default. */
const BATCH_CHARACTERS_MAX = 4 * 1024 * 1024;
const COMMIT_POLL_MS = 250;
/** An agent whose key is not listed is asked about again after this. */
const LISTED_AGAIN_MS = 30_000;

export interface ClientOptions {
  /** Such as `http://127.0.0.1:8080`. */
  url: string;
  apiKey?: string;
  stream: Stream;
  /** Whose receipts are believed. Left out, the server's own word is taken for it, once: pin it where you can. */
  sequencer?: Sequencer;
  /** The key of an agent, 64 hex digits. Left out, the server's list is believed. `undefined`: unknown. */
  agentKey?: (agentId: string, keyId: number) => Promise<string | undefined>;
  fetch?: Fetch;
}

/** What became of a push. */
export interface Pushed {
  /** In the order of the events: its receipt, verified, or why it was refused. */
  results: ({ event: Event; receipt: Receipt } | { event: Event; rejection: Rejection })[];
  receipts: Receipt[];
  rejections: Rejection[];
}

/** An event of the stream. Hash, receipt and place were verified; the signature where the agent's key is known. */
export interface VerifiedEvent {
  sequenceNumber: number;
  sequencedAt: string;
  event: Event;
  receipt: Receipt;
  signatureVerified: boolean;
}

/** That an event is in a batch, verified; everything that another needs to verify it again. */
export interface InclusionProof {
  event: Event;
  sequenceNumber: number;
  commitment: Commitment;
  leafIndex: number;
  proofPath: string[];
}

const EVENTS_PATH = '/api/v1/ves/events';
const INGEST_PATH = '/api/v1/ves/events/ingest';
const KEYS_PATH = '/api/v1/agents/keys';
const COMMITMENTS_PATH = '/api/v1/ves/commitments';
const CONSISTENCY_PATH = '/api/v1/ves/consistency';
const SEQUENCER_PATH = '/api/v1/ves/sequencer';

export class Client {
  readonly stream: Stream;
  readonly #http: Http;
  readonly #agentKey: NonNullable<ClientOptions['agentKey']>;
  #sequencer: Sequencer | undefined;
  #listed = new Map<string, string>();
  #listedAt = new Map<string, number>();

  constructor(options: ClientOptions) {
    this.stream = options.stream;
    this.#http = new Http(options.url, options.apiKey, options.fetch);
    this.#sequencer = options.sequencer;
    this.#agentKey = options.agentKey ?? ((agent, key) => this.#listedKey(agent, key));
  }

  /** Whose receipts are believed: as pinned, else as the server says, asked once. */
  async sequencer(): Promise<Sequencer> {
    if (!this.#sequencer) {
      const body = await this.#http.get<Schemas['SequencerBody']>(SEQUENCER_PATH, {});
      const listed = list(SEQUENCER_PATH, 'keys', body.keys, 'object');
      const keys = Object.fromEntries(listed.map((key) => [key.key_version, key.public_key]));
      this.#sequencer = { sequencerId: body.sequencer_id, keys: { ...keys, [body.key_version]: body.public_key } };
    }
    return this.#sequencer;
  }

  /** Registers the agent's signing key. Needs an administrator's API key; registering the same again is a refusal. */
  async registerKey(agent: Agent): Promise<void> {
    const body: Schemas['RegisterKeyRequest'] = {
      tenantId: agent.stream.tenantId,
      agentId: agent.agentId,
      keyId: agent.keyId,
      publicKey: toHex(agent.signer.publicKey),
      proofOfPossession: await agent.provePossession(),
    };
    await this.#http.post(KEYS_PATH, body);
  }

  /** Registers a key that others seal for; `recipientKid` is its number in the tenant. */
  async registerOpeningKey(agentId: string, recipientKid: number, publicKey: string): Promise<void> {
    const key = { tenantId: this.stream.tenantId, agentId, keyId: recipientKid, publicKey, keyAlgorithm: 2 };
    const body: Schemas['RegisterKeyRequest'] = key;
    await this.#http.post(KEYS_PATH, body);
  }

  /**
   * Pushes events of one agent and verifies every receipt. After an error, pushing the same events again is safe: an event
   * that the stream has gets its first receipt.
   */
  async push(events: readonly Event[]): Promise<Pushed> {
    const pushed: Pushed = { results: [], receipts: [], rejections: [] };
    const [first] = events;
    if (!first) return pushed;
    if (new Set(events.map((event) => event.event_id)).size !== events.length || events.some((event) => event.source_agent_id !== first.source_agent_id)) {
      throw new VesError('invalid_input', 'events of one push are of one agent, each with an id of its own');
    }
    for (let from = 0; from < events.length; ) {
      const batch = events.slice(from, from + batchLength(events, from));
      from += batch.length;
      const body: Schemas['IngestRequest'] = { agentId: first.source_agent_id, events: batch };
      await this.#take(pushed, batch, await this.#http.post<Schemas['IngestAnswer']>(INGEST_PATH, body));
    }
    return pushed;
  }

  async #take(pushed: Pushed, batch: Event[], answer: Schemas['IngestAnswer']): Promise<void> {
    for (const list of [answer.receipts ?? [], answer.rejections ?? []]) {
      if (!Array.isArray(list) || list.some((entry) => typeof entry !== 'object' || entry === null)) {
        throw new UnreadableError(INGEST_PATH, 'receipts and rejections are lists of objects');
      }
    }
    const receipts = new Map((answer.receipts ?? []).map((receipt) => [receipt.eventId, receipt]));
    const rejections = new Map((answer.rejections ?? []).map((rejection) => [rejection.event_id, rejection]));
    for (const event of batch) {
      const [receipt, rejection] = [receipts.get(event.event_id), rejections.get(event.event_id)];
      if (!receipt === !rejection) {
        throw new UntrueError('answer_contradicts', `event ${event.event_id} has not one receipt or one rejection`);
      }
      if (receipt) {
        await this.#verifyReceipt(event, receipt);
        pushed.results.push({ event, receipt });
        pushed.receipts.push(receipt);
      } else if (rejection) {
        pushed.results.push({ event, rejection });
        pushed.rejections.push(rejection);
      }
    }
  }

  /** The events of the stream from a number on, in order and without gaps, up to the head as it is when it is reached. */
  async *events({ from = 1, pageSize = 500 } = {}): AsyncGenerator<VerifiedEvent, void, undefined> {
    for (let next = Math.max(1, from); ; ) {
      const page = await this.#page(next, pageSize);
      for (const entry of page.events) yield await this.verify(entry, next++);
      if (page.events.length === 0 || next > page.head_sequence) {
        if (next <= page.head_sequence) throw new UntrueError('sequence_gap', `no event ${next}, the head is ${page.head_sequence}`);
        return;
      }
    }
  }

  async #page(from: number, limit: number): Promise<Schemas['EventsPage']> {
    const page = await this.#http.get<Schemas['EventsPage']>(EVENTS_PATH, { ...this.#query(), from, limit });
    // Without its head an empty page would look like the end of the stream.
    if (!Array.isArray(page.events) || !Number.isSafeInteger(page.head_sequence) || page.head_sequence < 0) {
      throw new UnreadableError(EVENTS_PATH, 'a page has events, and as head_sequence a whole number');
    }
    return page;
  }

  /**
   * The events of the stream as they come, for ever: from a number on, in order, without gaps and repetitions, through lost
   * connections. To go on after a restart, begin after the last number that was handled. Ends when `signal` is aborted.
   */
  feed(options: FeedOptions = {}): AsyncGenerator<VerifiedEvent, void, undefined> {
    const page = (from: number) => this.#page(from, 500);
    return follow(this.#http, this.#query(), page, (entry, at) => this.verify(entry, at), options);
  }

  /** One event by its id. */
  async event(eventId: string): Promise<VerifiedEvent> {
    const entry = await this.#http.get<EventEntry>(`/api/v1/ves/events/${encodeURIComponent(eventId)}`, this.#query());
    const verified = await this.verify(entry, Number(whole(entry).receipt.sequenceNumber));
    if (verified.event.event_id !== eventId) throw new UntrueError('receipt_of_other_event', 'another event was answered');
    return verified;
  }

  /** Checks one entry of a page or feed: stream, payload hash, receipt, place, and the signature where the key is known. */
  async verify(entry: EventEntry, expected: number): Promise<VerifiedEvent> {
    const { envelope: event, receipt } = whole(entry);
    if (event.tenant_id !== this.stream.tenantId || event.store_id !== this.stream.storeId) {
      throw new UntrueError('other_stream', `event ${event.event_id} is of another stream`);
    }
    if (receipt.sequenceNumber !== expected || !Number.isSafeInteger(expected)) {
      throw new UntrueError('sequence_gap', `event ${receipt.sequenceNumber} came where ${expected} was to come`);
    }
    await this.#verifyReceipt(event, receipt);
    const key = await this.#agentKey(event.source_agent_id, event.agent_key_id);
    const signatureVerified = await claimed(async () => {
      await checkEvent(event);
      if (key === undefined || (event.agent_signature_scheme ?? 1) > 1) return false;
      await checkEvent(event, key);
      return true;
    });
    return { sequenceNumber: expected, sequencedAt: entry.sequenced_at, event, receipt, signatureVerified };
  }

  async #verifyReceipt(event: Event, receipt: Receipt): Promise<void> {
    const { sequencerId, keys } = await this.sequencer();
    const version = receipt.sequencerKeyVersion ?? 0;
    const key = keys[version];
    if (receipt.sequencerId !== sequencerId || key === undefined) {
      throw new UntrueError('unknown_sequencer_key', `sequencer ${receipt.sequencerId}, key version ${version} is not believed`);
    }
    await claimed(() => verifyReceipt(event, receipt, key));
  }

  async #listedKey(agentId: string, keyId: number): Promise<string | undefined> {
    const name = `${agentId}/${keyId}`;
    if (!this.#listed.has(name) && Date.now() - (this.#listedAt.get(agentId) ?? -LISTED_AGAIN_MS) >= LISTED_AGAIN_MS) {
      const query = { tenant_id: this.stream.tenantId, agent_id: agentId };
      const { keys } = await this.#http.get<Schemas['AgentKeyList']>(KEYS_PATH, query);
      for (const key of list(KEYS_PATH, 'keys', keys, 'object')) {
        if (key.keyAlgorithm === 1) this.#listed.set(`${key.agentId}/${key.keyId}`, key.publicKey);
      }
      this.#listedAt.set(agentId, Date.now());
    }
    return this.#listed.get(name);
  }

  /** Commits a range, which must continue the chain of commitments. A service does so by itself after a while. */
  async commit(sequenceStart: number, sequenceEnd: number): Promise<Commitment> {
    const body = { ...this.#query(), sequence_start: sequenceStart, sequence_end: sequenceEnd };
    return this.#checked(await this.#http.post<Commitment>(COMMITMENTS_PATH, body));
  }

  /** The commitment that holds an event, if one does yet. */
  async commitmentOf(sequenceNumber: number): Promise<Commitment | undefined> {
    const query = { ...this.#query(), from: sequenceNumber, limit: 1 };
    const { commitments } = await this.#http.get<Schemas['CommitmentList']>(COMMITMENTS_PATH, query);
    const found = list(COMMITMENTS_PATH, 'commitments', commitments, 'object').find((one) => one.sequence_start <= sequenceNumber && sequenceNumber <= one.sequence_end);
    return found && this.#checked(found);
  }

  /**
   * Fetches and verifies the proof that an event is in a committed batch. Refused with `NOT_COMMITTED` where it is in none
   * within `waitMs`.
   */
  async prove(event: Event, sequenceNumber: number, { waitMs = 0 } = {}): Promise<InclusionProof> {
    const until = Date.now() + waitMs;
    let commitment = await this.commitmentOf(sequenceNumber);
    while (!commitment && Date.now() < until) {
      await sleep(COMMIT_POLL_MS);
      commitment = await this.commitmentOf(sequenceNumber);
    }
    if (!commitment) throw new RefusedError(404, 'NOT_COMMITTED', `event ${sequenceNumber} is in no commitment yet`, undefined);
    const query = { ...this.#query(), batch_id: commitment.batch_id };
    const path = `/api/v1/ves/proofs/${sequenceNumber}`;
    const body = await this.#http.get<Schemas['InclusionProofBody']>(path, query);
    const proofPath = list(path, 'proof_path', body.proof_path, 'string');
    const proof = { event, sequenceNumber, commitment, leafIndex: sequenceNumber - commitment.sequence_start, proofPath };
    await claimed(() => verifyProof(proof));
    return proof;
  }

  /** What the sequencer's newest signed checkpoint says of the stream, verified; or the one of a size. Keep it: see {@link verifyGrowth}. */
  async checkpoint(size?: number): Promise<Checkpoint> {
    const text = await this.#http.text('/api/v1/ves/checkpoint', { ...this.#query(), size });
    const sequencer = await this.sequencer();
    return claimed(() => verifyCheckpoint(text, this.stream, sequencer));
  }

  /** That the log of an earlier checkpoint is the beginning of that of a later one: a fork or a cut is noticed here. */
  async verifyGrowth(from: Checkpoint, to: Checkpoint): Promise<void> {
    const query = { ...this.#query(), from: from.size, to: to.size };
    const { hashes } = await this.#http.get<Schemas['ConsistencyBody']>(CONSISTENCY_PATH, query);
    const path = list(CONSISTENCY_PATH, 'hashes', hashes, 'string');
    await claimed(() => verifyConsistency(from, to, path));
  }

  async #checked(commitment: Commitment): Promise<Commitment> {
    if (commitment.tenant_id !== this.stream.tenantId || commitment.store_id !== this.stream.storeId) {
      throw new UntrueError('other_stream', `commitment ${commitment.batch_id} is of another stream`);
    }
    await claimed(() => checkCommitment(commitment));
    return commitment;
  }

  #query(): { tenant_id: string; store_id: string } {
    return { tenant_id: this.stream.tenantId, store_id: this.stream.storeId };
  }
}

/** A list that an answer has to have: without it its use would end in an error that has no code. */
function list<T>(path: string, name: string, value: T[], of: 'object' | 'string'): T[] {
  const fits = (entry: unknown) => typeof entry === of && entry !== null;
  if (!Array.isArray(value) || !value.every(fits)) throw new UnreadableError(path, `${name} is a list of ${of}s`);
  return value;
}

/** An entry of a page or feed that has its parts. */
function whole(entry: EventEntry): EventEntry {
  const isObject = (value: unknown) => typeof value === 'object' && value !== null;
  if (!isObject(entry) || !isObject(entry.envelope) || !isObject(entry.receipt)) {
    throw new UnreadableError(EVENTS_PATH, 'an event has an envelope and a receipt');
  }
  return entry;
}

/** Verifies a proof from anywhere: that the event is in the batch. Whether the batch is the right one says its chain or anchor. */
export async function verifyProof({ event, sequenceNumber, commitment, leafIndex, proofPath }: InclusionProof): Promise<void> {
  await checkCommitment(commitment);
  if (leafIndex !== sequenceNumber - commitment.sequence_start) {
    throw new VesError('proof_index_out_of_range', 'the index is not that of the event in the batch');
  }
  await verifyInclusion({
    leafHash: await leafHash(event, sequenceNumber),
    leafIndex,
    leafCount: commitment.leaf_count,
    proofPath,
    merkleRoot: commitment.merkle_root,
  });
}

/** What the server claims: a rule that it breaks is an untruth. */
async function claimed<T>(check: () => Promise<T>): Promise<T> {
  try {
    return await check();
  } catch (error) {
    if (error instanceof VesError) throw new UntrueError(error.code, error.message, { cause: error });
    throw error;
  }
}

function batchLength(events: readonly Event[], from: number): number {
  let [count, characters] = [0, 0];
  for (; from + count < events.length && count < BATCH_EVENTS_MAX; count++) {
    characters += JSON.stringify(events[from + count]).length;
    if (count > 0 && characters > BATCH_CHARACTERS_MAX) break;
  }
  return count;
}
