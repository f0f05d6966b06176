// node --test; VES_STARK_WASM names the module. `cargo xtask test` builds it and runs this.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import vm from 'node:vm';
import { gzipSync } from 'node:zlib';

import { load } from './ves-stark.mjs';

const COMPRESSED_BYTES_MAX = 400 * 1024;

const bytes = readFileSync(process.env.VES_STARK_WASM);
const golden = JSON.parse(readFileSync(new URL('../tests/golden.json', import.meta.url), 'utf8'));
const { bundle, ...asked } = golden;
const verifier = await load(bytes);

test('the module is small', () => {
  const compressed = gzipSync(bytes, { level: 9 }).length;
  console.log(`WebAssembly module: ${bytes.length} bytes, ${compressed} compressed`);
  assert.ok(compressed <= COMPRESSED_BYTES_MAX, `${compressed} bytes`);
});

test('a good bundle is accepted', () => {
  const verdict = verifier.verifyBundle(bundle, asked);
  assert.equal(verdict.valid, true);
  assert.equal(verdict.agentSignature, 'verified');
  assert.ok(verdict.security.conjecturedBits >= 100 && verdict.security.zk);
  assert.deepEqual(verifier.verifyBundle(bundle, { ...asked, inputs: JSON.parse(asked.inputs) }), verdict);
});

test('a changed byte of the proof is refused', async () => {
  const object = JSON.parse(bundle);
  const proof = Buffer.from(object.proof, 'base64url');
  for (let at = 0; at < proof.length; at += 997) {
    const changed = Buffer.from(proof);
    changed[at] ^= 1;
    // With its own hash: else the hash alone would give it away.
    const proofHash = await hashOf(changed);
    const text = JSON.stringify({ ...object, proof: changed.toString('base64url'), proofHash });
    const { valid, reason } = verifier.verifyBundle(text, asked);
    assert.equal(valid, false, `byte ${at}`);
    assert.match(reason, /^the proof /, `byte ${at}`);
  }
  assert.equal(await hashOf(proof), object.proofHash);
});

async function hashOf(proof) {
  const domain = new TextEncoder().encode('STATESET_VES_COMPLIANCE_PROOF_HASH_V1');
  const digest = await crypto.subtle.digest('SHA-256', Buffer.concat([domain, proof]));
  return Buffer.from(digest).toString('hex');
}

test('another policy is refused', () => {
  const inputs = JSON.parse(asked.inputs);
  // The same effective limit under another name (specification section 11, item 3).
  inputs.policyId = 'order_total.cap';
  inputs.policyParams = { cap: 9999 };
  delete inputs.policyHash;
  assert.throws(() => verifier.verifyBundle(bundle, { ...asked, inputs }), TypeError);
  inputs.policyHash = '6f31'.repeat(16);
  assert.throws(() => verifier.verifyBundle(bundle, { ...asked, inputs }), /policyHash/);
  inputs.policyHash = OTHER_POLICY_HASH;
  assert.match(verifier.verifyBundle(bundle, { ...asked, inputs }).reason, /policyId differs/);
});

const OTHER_POLICY_HASH = await policyHash('order_total.cap', { cap: 9999 });

async function policyHash(policyId, policyParams) {
  const text = 'STATESET_VES_COMPLIANCE_POLICY_HASH_V1' + JSON.stringify({ policyId, policyParams });
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Buffer.from(digest).toString('hex');
}

test('an expired statement, another deployment and another key are refused', () => {
  const refused = (change) => verifier.verifyBundle(bundle, { ...asked, ...change }).reason;
  assert.match(refused({ now: 1_800_000_001_000 }), /validUntil has passed/);
  assert.match(refused({ chainContext: 'production' }), /another deployment/);
  assert.match(refused({ agentKey: `d759793bbc13a2819a827c76adb6fba8a49aee007f49f2d0992d99b825ad2c48` }), /signature/);
  const { agentKey, ...without } = asked;
  assert.equal(verifier.verifyBundle(bundle, without).agentSignature, 'not_checked');
});

test('a question that cannot be read is an error, not a verdict', () => {
  assert.throws(() => verifier.verifyBundle(bundle, { ...asked, now: undefined }), TypeError);
  assert.throws(() => verifier.verifyBundle(bundle, { ...asked, agentKey: '00' }), /agentKey/);
  assert.throws(() => verifier.verifyBundle(bundle, { ...asked, inputs: '{}' }), /inputs/);
});

test('another module is refused when it is loaded', async () => {
  const empty = new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0]);
  await assert.rejects(load(empty), /not the verifier/);
});

test('text of any size goes through', () => {
  const long = ' '.repeat(5_000_000);
  assert.match(verifier.verifyBundle(long + bundle, asked).reason, /bytes, more than/);
  assert.equal(verifier.verifyBundle(bundle, asked).valid, true);
});

test('the wrapper runs where there is nothing but what browsers have', async () => {
  const source = readFileSync(new URL('./ves-stark.mjs', import.meta.url), 'utf8');
  assert.doesNotMatch(source, /^\s*import\s|\brequire\(|\bprocess\b|\bBuffer\b|node:/m);
  // A page knows these and ECMAScript; it has no Node.
  const page = vm.createContext({ TextEncoder, TextDecoder, bytes: new Uint8Array(bytes), bundle, asked });
  const script = source.replace(/^export /gm, '') + '\n;load(bytes).then((v) => v.verifyBundle(bundle, asked).valid)';
  assert.equal(await vm.runInContext(script, page), true);
});
