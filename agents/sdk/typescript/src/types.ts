/** Bodies as the OpenAPI document has them, by the names that this library uses. */

import type { components } from './generated/api.js';

export type { components, operations, paths } from './generated/api.js';

type Schemas = components['schemas'];

/** A signed event: the envelope of VES, section 5. */
export type Event = Schemas['EventEnvelope'];
/** The sequencer's signed word that an event has its place. */
export type Receipt = Schemas['ReceiptBody'];
/** Why one event was refused. */
export type Rejection = Schemas['RejectionBody'];
/** A committed batch. */
export type Commitment = Schemas['CommitmentBody'];
/** An event of a stream with its receipt, as a page or the feed has it. */
export type EventEntry = Schemas['EventEntry'];

/** Who writes to one order: a tenant and one of its stores. */
export interface Stream {
  tenantId: string;
  storeId: string;
}

/** Whose receipts are believed. */
export interface Sequencer {
  sequencerId: string;
  /** Ed25519 keys by version, 64 hex digits each. */
  keys: Readonly<Record<number, string>>;
}

/** Something that signs with one Ed25519 key: in memory, in a device, behind a service. */
export interface Signer {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** Pure Ed25519 over the message: 64 bytes. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** Who may open a sealed payload. */
export interface Recipient {
  recipientKid: number;
  /** X25519, 64 hex digits. */
  publicKey: string;
}

/** An event before it is signed; `entityType` to `payload` are what the agent says. */
export interface Draft {
  entityType: string;
  entityId: string;
  eventType: string;
  /** Any JSON value but null. Money as a string or an integer: integers beyond 2^53 - 1 are refused, and so is `undefined` anywhere. */
  payload?: unknown;
  /** The payload as JSON text, instead of `payload`: numbers of the text are then checked to be exact. */
  payloadJson?: string;
  /** RFC 3339; now, if left out. The text itself is signed. */
  createdAt?: string;
  /** A random id, if left out. Pushing an event again with the same id is safe. */
  eventId?: string;
  commandId?: string;
  /** The version of the entity that this event is made on. */
  baseVersion?: number;
}
