// The calls of testing/vectors/libraries.json, made through what this library exports. Runs anywhere: the browser test
// bundles it.

import * as ves from '../dist/index.js';
import { call } from '../dist/core.js';

const agentOf = async (draft, seed) =>
  new ves.Agent({
    stream: { tenantId: draft.tenant_id, storeId: draft.store_id },
    agentId: draft.source_agent_id,
    keyId: draft.agent_key_id,
    signer: await ves.SigningKey.fromSeed(seed),
  });

const draftOf = (draft) => ({
  entityType: draft.entity_type,
  entityId: draft.entity_id,
  eventType: draft.event_type,
  createdAt: draft.created_at,
  payloadJson: draft.payload_json,
  eventId: draft.event_id,
  commandId: draft.command_id,
  baseVersion: draft.base_version,
});

const recipientsOf = (recipients) => recipients.map((one) => ({ recipientKid: one.recipient_kid, publicKey: one.public_key }));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const bytes = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

const calls = {
  canonicalize: async ({ text, strict }) => ({ canonical: await ves.canonicalize(text, { strict }) }),
  public_keys: ({ seed }) => ves.publicKeys(seed),
  sign: async ({ seed, message }) => ({ signature: hex(await (await ves.SigningKey.fromSeed(seed)).sign(bytes(message))) }),
  possession_challenge: (input) => call('possession_challenge', input),
  async sign_event({ draft, seed }) {
    const event = await (await agentOf(draft, seed)).sign(draftOf(draft));
    return { event, event_signing_hash: await ves.checkEvent(event) };
  },
  async seal_event({ draft, recipients, randomness, seed }, { error }) {
    // Randomness is no parameter of the library: a good case is that of the module, a bad one that of the library.
    if (!error) return call('seal_event', { draft, recipients, randomness, seed });
    return { event: await (await agentOf(draft, seed)).seal(draftOf(draft), recipientsOf(recipients)) };
  },
  async open_event({ event, recipient_kid, secret_key }) {
    const key = await ves.OpeningKey.fromSecret(secret_key);
    return { payload_json: await key.open(event, recipient_kid) };
  },
  check_event: async ({ event, public_key }) => ({ event_signing_hash: await ves.checkEvent(event, public_key) }),
  verify_receipt: ({ event, receipt, sequencer_public_key }) => ves.verifyReceipt(event, receipt, sequencer_public_key),
  leaf_hash: async ({ event, sequence_number }) => ({ leaf_hash: await ves.leafHash(event, sequence_number) }),
  verify_inclusion: ({ leaf_hash, leaf_index, leaf_count, proof_path, merkle_root }) =>
    ves.verifyInclusion({
      leafHash: leaf_hash,
      leafIndex: leaf_index,
      leafCount: leaf_count,
      proofPath: proof_path,
      merkleRoot: merkle_root,
    }),
  check_commitment: ({ commitment }) => ves.checkCommitment(commitment),
  verify_checkpoint: ({ text, tenant_id, store_id, sequencer_id, sequencer_public_key }) =>
    ves.verifyCheckpoint(
      text,
      { tenantId: tenant_id, storeId: store_id },
      { sequencerId: sequencer_id, keys: { 1: sequencer_public_key } },
    ),
  verify_log_inclusion: ({ leaf_hash, sequence_number, size, root, hashes }) =>
    ves.verifyLogInclusion({ leafHash: leaf_hash, sequenceNumber: sequence_number, size, root, hashes }),
  verify_consistency: ({ from, to, from_root, to_root, hashes }) =>
    ves.verifyConsistency({ size: from, root: from_root }, { size: to, root: to_root }, hashes),
  verify_webhook: ({ secret, id, timestamp, signature, body, now }) =>
    ves.verifyWebhook(
      secret,
      { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature },
      body,
      { now },
    ),
};

/** What is wrong with one case; nothing, if it holds. */
export async function check(vector) {
  const { call: name, input, output, error } = vector;
  let found;
  try {
    found = { output: (await calls[name](input, vector)) ?? {} };
  } catch (problem) {
    if (!(problem instanceof ves.VesError)) return `${name}/${vector.name}: ${problem}`;
    found = { error: problem.code };
  }
  const expected = error === undefined ? { output } : { error };
  return sorted(found) === sorted(expected) ? undefined : `${name}/${vector.name}: ${sorted(found)}, expected ${sorted(expected)}`;
}

/** The JSON with its members in order: what is compared is the value. */
function sorted(value) {
  return JSON.stringify(value, (_, inner) =>
    inner && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

/** Seals with fresh randomness and opens again: what the file cannot hold. */
export async function sealedOpens() {
  const [signer, opening] = [await ves.SigningKey.generate(), await ves.OpeningKey.generate()];
  const agent = new ves.Agent({ stream: { tenantId: '5eb673aa-293d-492f-8139-d8bd4e0bdbfc', storeId: 'e075fa56-58b9-4411-b010-faf3832b768b' }, signer });
  const draft = { entityType: 'order', entityId: 'ORD-1', eventType: 'order.created', payload: { total: '1.00', note: 'café 🎉' } };
  const recipients = [{ recipientKid: 7, publicKey: opening.publicKey }];
  const [one, two] = [await agent.seal(draft, recipients), await agent.seal(draft, recipients)];
  if (one.payload_encrypted.nonce_b64u === two.payload_encrypted.nonce_b64u) return 'a nonce was used twice';
  await ves.checkEvent(one, hex(signer.publicKey));
  const opened = await opening.open(one, 7);
  return opened === '{"note":"café 🎉","total":"1.00"}' ? undefined : `opened: ${opened}`;
}
