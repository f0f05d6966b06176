/** What a sequencer claims, checked. Each function throws a {@link VesError} that says what does not hold. */

import { call } from './core.js';
import type { Commitment, Event, Receipt, Sequencer, Stream } from './types.js';
import { VesError } from './errors.js';

/**
 * That the sequencer gave this event this place.
 *
 * Codes: `receipt_of_other_event`, `receipt_unsigned`, `receipt_invalid_signature`, `unusable_key`.
 */
export async function verifyReceipt(event: Event, receipt: Receipt, sequencerKey: string): Promise<void> {
  await call('verify_receipt', { event, receipt, sequencer_public_key: sequencerKey });
}

/** The leaf of an event in the tree of its batch, and its entry in the log. */
export async function leafHash(event: Event, sequenceNumber: number): Promise<string> {
  const input = { event, sequence_number: sequenceNumber };
  return (await call<{ leaf_hash: string }>('leaf_hash', input)).leaf_hash;
}

export interface InclusionClaim {
  /** Made by {@link leafHash} from an event at hand, never taken from whoever sent the proof. */
  leafHash: string;
  leafIndex: number;
  leafCount: number;
  proofPath: readonly string[];
  merkleRoot: string;
}

/** Codes: `proof_index_out_of_range`, `proof_wrong_length`, `proof_root_mismatch`. */
export async function verifyInclusion(claim: InclusionClaim): Promise<void> {
  await call('verify_inclusion', {
    leaf_hash: claim.leafHash,
    leaf_index: claim.leafIndex,
    leaf_count: claim.leafCount,
    proof_path: claim.proofPath,
    merkle_root: claim.merkleRoot,
  });
}

/**
 * That range, tree and state root of a commitment agree.
 *
 * Codes: `unsupported_version`, `commitment_wrong_range`, `commitment_wrong_shape`, `commitment_wrong_state_root`.
 */
export async function checkCommitment(commitment: Omit<Commitment, 'batch_id' | 'committed_at'>): Promise<void> {
  await call('check_commitment', { commitment });
}

export interface Checkpoint {
  /** Events in the log. */
  size: number;
  root: string;
}

/**
 * What a signed checkpoint of a stream says.
 *
 * Codes: `checkpoint_malformed`, `checkpoint_by_other_key`, `checkpoint_invalid_signature`, `checkpoint_of_other_stream`.
 */
export async function verifyCheckpoint(text: string, stream: Stream, sequencer: Sequencer): Promise<Checkpoint> {
  let last = new VesError('checkpoint_by_other_key', 'no key of the sequencer is known');
  for (const key of Object.values(sequencer.keys)) {
    try {
      return await call<Checkpoint>('verify_checkpoint', {
        text,
        tenant_id: stream.tenantId,
        store_id: stream.storeId,
        sequencer_id: sequencer.sequencerId,
        sequencer_public_key: key,
      });
    } catch (error) {
      if (!(error instanceof VesError) || error.code !== 'checkpoint_by_other_key') throw error;
      last = error;
    }
  }
  throw last;
}

export interface LogInclusionClaim {
  leafHash: string;
  sequenceNumber: number;
  size: number;
  root: string;
  hashes: readonly string[];
}

/** That an event stands in the log of a checkpoint. Codes: as of {@link verifyInclusion}. */
export async function verifyLogInclusion(claim: LogInclusionClaim): Promise<void> {
  const { leafHash: leaf_hash, sequenceNumber: sequence_number, size, root, hashes } = claim;
  await call('verify_log_inclusion', { leaf_hash, sequence_number, size, root, hashes });
}

/** That the log of `to` begins with the log of `from`: nothing was changed or left out. Codes: as of {@link verifyInclusion}. */
export async function verifyConsistency(from: Checkpoint, to: Checkpoint, hashes: readonly string[]): Promise<void> {
  await call('verify_consistency', {
    from: from.size,
    to: to.size,
    from_root: from.root,
    to_root: to.root,
    hashes,
  });
}
