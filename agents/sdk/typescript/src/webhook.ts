/** Webhooks by the public standard: `webhook-id`, `webhook-timestamp`, `webhook-signature` over `id.timestamp.body`. */

import { fromBase64 } from './core.js';
import { VesError } from './errors.js';

/** How far the time of a webhook may lie from now. */
export const WEBHOOK_TOLERANCE_SECONDS = 300;

export interface WebhookHeaders {
  get(name: string): string | null | undefined;
}

/**
 * Throws unless the body was signed with the secret (`whsec_…`) within the last five minutes. `body` is what was received,
 * byte for byte: verify before parsing. A webhook may come again: remember its `webhook-id`.
 *
 * - `headers`: a `Headers` object, or a plain object with lower-case names as Node's server has it.
 * - `now`: seconds since 1970, for tests.
 *
 * Codes: `webhook_secret`, `webhook_headers`, `webhook_too_old`, `webhook_too_new`, `webhook_invalid_signature`.
 */
export async function verifyWebhook(
  secret: string,
  headers: WebhookHeaders | Record<string, string | string[] | undefined>,
  body: string | Uint8Array,
  { now = Date.now() / 1000 } = {},
): Promise<void> {
  const key = secretBytes(secret);
  const [id, timestamp, signatures] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => header(headers, name));
  if (!id || !signatures || !timestamp || !/^[0-9]{1,15}$/.test(timestamp)) {
    throw new VesError('webhook_headers', 'webhook-id, webhook-timestamp (seconds) and webhook-signature are needed');
  }
  const age = now - Number(timestamp);
  if (age > WEBHOOK_TOLERANCE_SECONDS) throw new VesError('webhook_too_old', `it was sent ${age} s ago`);
  if (age < -WEBHOOK_TOLERANCE_SECONDS) throw new VesError('webhook_too_new', `its time is ${-age} s ahead`);
  const encoder = new TextEncoder();
  const bytes = typeof body === 'string' ? encoder.encode(body) : body;
  const head = encoder.encode(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + bytes.length);
  signed.set(head);
  signed.set(bytes, head.length);
  const hmac = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: 'SHA-256' }, false, ['verify']);
  for (const entry of signatures.split(' ')) {
    const given = entry.startsWith('v1,') ? decoded(entry.slice(3)) : undefined;
    // The platform compares in constant time.
    if (given && (await crypto.subtle.verify('HMAC', hmac, given, signed))) return;
  }
  throw new VesError('webhook_invalid_signature', 'no signature is of this secret over this body');
}

function secretBytes(secret: string): Uint8Array<ArrayBuffer> {
  const key = decoded(secret.startsWith('whsec_') ? secret.slice(6) : secret);
  if (!key?.length) throw new VesError('webhook_secret', 'the secret is not whsec_ and base64');
  return key;
}

function decoded(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return fromBase64(text);
  } catch {
    return undefined;
  }
}

function header(headers: WebhookHeaders | Record<string, string | string[] | undefined>, name: string): string | undefined {
  const value = typeof headers.get === 'function' ? (headers as WebhookHeaders).get(name) : (headers as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : undefined;
}
