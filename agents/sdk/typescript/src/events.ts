/** One event: canonical JSON, keys, signing, sealing, opening, checking. */

import { call, fromHex, newId, random, toHex } from './core.js';
import { VesError } from './errors.js';
import type { Draft, Event, Recipient, Signer, Stream } from './types.js';

/**
 * The canonical form (RFC 8785) of a JSON text. `strict` refuses integers that no double holds, as signing does.
 *
 * Codes: `invalid_json`, `duplicate_member`, `number_out_of_range`, `too_deep`, `inexact_number`.
 */
export async function canonicalize(text: string, { strict = false } = {}): Promise<string> {
  return (await call<{ canonical: string }>('canonicalize', { text, strict })).canonical;
}

/** A private signing key in memory, of a 32-byte seed (RFC 8032). */
export class SigningKey implements Signer {
  readonly publicKey: Uint8Array;
  readonly #seed: Uint8Array;

  private constructor(seed: Uint8Array, publicKey: Uint8Array) {
    this.#seed = seed;
    this.publicKey = publicKey;
  }

  /** A new key of the platform's secure generator. */
  static async generate(): Promise<SigningKey> {
    return SigningKey.fromSeed(random(32));
  }

  static async fromSeed(seed: Uint8Array | string): Promise<SigningKey> {
    const bytes = typeof seed === 'string' ? fromHex(seed) : seed.slice();
    return new SigningKey(bytes, fromHex((await publicKeys(toHex(bytes))).ed25519));
  }

  async sign(message: Uint8Array): Promise<Uint8Array> {
    const input = { seed: toHex(this.#seed), message: toHex(message) };
    return fromHex((await call<{ signature: string }>('sign', input)).signature);
  }

  /** The seed, to be kept in a safe place. */
  seed(): Uint8Array {
    return this.#seed.slice();
  }
}

/** A private key that opens payloads sealed for its public half. Never the seed of a signing key. */
export class OpeningKey {
  /** X25519, 64 hex digits: what others seal for. */
  readonly publicKey: string;
  readonly #secret: Uint8Array;

  private constructor(secret: Uint8Array, publicKey: string) {
    this.#secret = secret;
    this.publicKey = publicKey;
  }

  static async generate(): Promise<OpeningKey> {
    return OpeningKey.fromSecret(random(32));
  }

  static async fromSecret(secret: Uint8Array | string): Promise<OpeningKey> {
    const bytes = typeof secret === 'string' ? fromHex(secret) : secret.slice();
    return new OpeningKey(bytes, (await publicKeys(toHex(bytes))).x25519);
  }

  /**
   * The canonical JSON text of a sealed payload. The event's signature is not looked at: see {@link checkEvent}.
   *
   * Codes: `not_encrypted`, `recipient_not_found`, `decryption_failed`, `invalid_payload_format`, `payload_hash_mismatch`.
   */
  async open(event: Event, recipientKid: number): Promise<string> {
    const input = { event, recipient_kid: recipientKid, secret_key: toHex(this.#secret) };
    return (await call<{ payload_json: string }>('open_event', input)).payload_json;
  }

  /** The secret, to be kept in a safe place. */
  secret(): Uint8Array {
    return this.#secret.slice();
  }
}

/** The public halves of 32 secret bytes, given in hex. */
export async function publicKeys(seed: string): Promise<{ ed25519: string; x25519: string }> {
  return call('public_keys', { seed });
}

/** Whoever writes events: a stream, an id, a signing key. */
export class Agent {
  readonly stream: Stream;
  readonly agentId: string;
  readonly keyId: number;
  readonly signer: Signer;

  constructor(options: { stream: Stream; signer: Signer; agentId?: string; keyId?: number }) {
    this.stream = options.stream;
    this.signer = options.signer;
    this.agentId = options.agentId ?? newId();
    this.keyId = options.keyId ?? 1;
  }

  /**
   * A signed event with its payload in clear.
   *
   * Codes: `schema_validation`, `null_payload`, and those of {@link canonicalize}.
   */
  async sign(draft: Draft): Promise<Event> {
    return this.#finish(await call<Unsigned>('sign_event', { draft: this.#input(draft) }));
  }

  /**
   * A signed event whose payload only the recipients can open.
   *
   * Codes: those of {@link sign}, `no_recipients`, `repeated_recipient`, `weak_recipient_key`.
   */
  async seal(draft: Draft, recipients: readonly Recipient[]): Promise<Event> {
    const randomness = {
      salt: toHex(random(16)),
      dek: toHex(random(32)),
      nonce: toHex(random(12)),
      ephemeral_secrets: recipients.map(() => toHex(random(32))),
    };
    const named = recipients.map(({ recipientKid, publicKey }) => ({ recipient_kid: recipientKid, public_key: publicKey }));
    const input = { draft: this.#input(draft), recipients: named, randomness };
    return this.#finish(await call<Unsigned>('seal_event', input));
  }

  /** A signature that proves to a registry that this agent holds its key: 128 hex digits. */
  async provePossession(): Promise<string> {
    const { challenge } = await call<{ challenge: string }>('possession_challenge', {
      tenant_id: this.stream.tenantId,
      agent_id: this.agentId,
      key_id: this.keyId,
      public_key: toHex(this.signer.publicKey),
    });
    return toHex(await this.signer.sign(fromHex(challenge)));
  }

  #input(draft: Draft): Record<string, unknown> {
    const payloadJson = draft.payloadJson ?? JSON.stringify(draft.payload, exact());
    if (payloadJson === undefined) throw new VesError('invalid_input', 'payload: it has no JSON form');
    return {
      tenant_id: this.stream.tenantId,
      store_id: this.stream.storeId,
      event_id: draft.eventId ?? newId(),
      source_agent_id: this.agentId,
      agent_key_id: this.keyId,
      entity_type: draft.entityType,
      entity_id: draft.entityId,
      event_type: draft.eventType,
      created_at: draft.createdAt ?? new Date().toISOString(),
      payload_json: payloadJson,
      command_id: draft.commandId,
      base_version: draft.baseVersion,
    };
  }

  async #finish({ event, event_signing_hash }: Unsigned): Promise<Event> {
    const signature = await this.signer.sign(fromHex(event_signing_hash));
    return { ...event, agent_signature: `0x${toHex(signature)}` };
  }
}

interface Unsigned {
  event: Event;
  event_signing_hash: string;
}

/**
 * Checks shape and payload hash of an event, and its signature where the agent's key is given (64 hex digits). Answers the
 * signing hash.
 *
 * Codes: `unsupported_version`, `schema_validation`, `invalid_payload_hash`, `invalid_cipher_hash`, `unusable_key`,
 * `unsupported_signature_scheme`, `invalid_signature`.
 */
export async function checkEvent(event: Event, publicKey?: string): Promise<string> {
  const input = { event, public_key: publicKey };
  return (await call<{ event_signing_hash: string }>('check_event', input)).event_signing_hash;
}

/**
 * For JSON.stringify: refuses what that would change or leave out without a word, as NaN into null, and names its place.
 * A new one for each text.
 */
function exact(): (this: unknown, name: string, value: unknown) => unknown {
  const places = new Map<unknown, string>();
  return function (name, value) {
    const holder = places.get(this);
    const place = holder === undefined ? '' : Array.isArray(this) ? `${holder}[${name}]` : holder ? `${holder}.${name}` : name;
    const refused = (code: string, problem: string) => new VesError(code, `payload: ${place || 'it'}: ${problem}`);
    if (typeof value === 'number' && !Number.isFinite(value)) throw refused('invalid_json', `${value} is no number of JSON`);
    if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
      throw refused('inexact_number', `${value} is beyond 2^53 - 1 and may stand for another number; write it as a string`);
    }
    if (['bigint', 'function', 'symbol'].includes(typeof value)) throw refused('invalid_json', `a ${typeof value} has no JSON form`);
    // A payload that is undefined itself has another word.
    if (value === undefined && holder !== undefined) {
      throw refused('invalid_json', 'undefined has no JSON form; leave the member out, or write null');
    }
    if (typeof value === 'object' && value !== null) places.set(value, place);
    return value;
  };
}
