/**
 * Sign, seal, push, pull and verify events of Stateset, in Node and browsers.
 *
 * The rules of VES are the same code as everywhere else, compiled to WebAssembly and part of this package; nothing here is of
 * one runtime. Start with {@link Client} and {@link Agent}.
 */

export { Client, verifyProof, type ClientOptions, type InclusionProof, type Pushed, type VerifiedEvent } from './client.js';
export { RefusedError, StatesetError, UnreachableError, UnreadableError, UntrueError, VesError } from './errors.js';
export { Agent, canonicalize, checkEvent, OpeningKey, publicKeys, SigningKey } from './events.js';
export type { FeedOptions } from './feed.js';
export type { Fetch } from './http.js';
export {
  checkCommitment,
  leafHash,
  verifyCheckpoint,
  verifyConsistency,
  verifyInclusion,
  verifyLogInclusion,
  verifyReceipt,
  type Checkpoint,
  type InclusionClaim,
  type LogInclusionClaim,
} from './proofs.js';
export type {
  Commitment,
  components,
  Draft,
  Event,
  EventEntry,
  operations,
  paths,
  Receipt,
  Recipient,
  Rejection,
  Sequencer,
  Signer,
  Stream,
} from './types.js';
export { verifyWebhook, WEBHOOK_TOLERANCE_SECONDS, type WebhookHeaders } from './webhook.js';
