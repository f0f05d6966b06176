/** Requests, their repetition, and the reading of refusals. */

import { RefusedError, StatesetError, UnreachableError, UnreadableError } from './errors.js';

/** A request is sent at most this often. */
const ATTEMPTS_MAX = 6;
/** Pause before the second attempt; it doubles from one to the next. */
const PAUSE_FIRST_MS = 100;
/** A server that asks for a longer pause than this is believed to be down. */
const PAUSE_MAX_MS = 10_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** Larger than any page: 1,000 events whose payloads share the server's limits. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;
export type Query = Record<string, string | number | undefined>;

export class Http {
  readonly base: string;
  readonly #headers: Record<string, string>;
  readonly #fetch: Fetch;

  constructor(url: string, apiKey: string | undefined, send: Fetch | undefined) {
    if (!/^https?:\/\/[^/?#\s]+\/*$/.test(url)) {
      throw new StatesetError('invalid_input', `url: ${JSON.stringify(url)} should look like http://127.0.0.1:8080`);
    }
    this.base = url.replace(/\/+$/, '');
    this.#headers = apiKey === undefined ? {} : { 'x-api-key': apiKey };
    this.#fetch = send ?? ((to, init) => fetch(to, init));
  }

  get<T>(path: string, query: Query): Promise<T> {
    return this.#json('GET', path, query, undefined);
  }

  /** Every post of this library may be repeated: the server answers a repetition like the first. */
  post<T>(path: string, body: unknown): Promise<T> {
    return this.#json('POST', path, {}, JSON.stringify(body));
  }

  text(path: string, query: Query): Promise<string> {
    return this.#repeat('GET', path, query, undefined);
  }

  /**
   * An answer that goes on; `undefined` where the server has no such route. A server whose log has not come to the last number
   * refuses: it is another log, or an older copy.
   */
  async stream(path: string, query: Query, last: number, signal: AbortSignal): Promise<Response | undefined> {
    const headers = { ...this.#headers, accept: 'text/event-stream', 'last-event-id': String(last) };
    const response = await this.#send('GET', path, query, { headers, signal });
    if (response.ok && response.headers.get('content-type')?.startsWith('text/event-stream')) return response;
    const text = await bounded(response);
    if (response.ok || response.status === 404 || response.status === 405) return undefined;
    throw refusal(response.status, text);
  }

  async #json<T>(method: string, path: string, query: Query, body: string | undefined): Promise<T> {
    const text = await this.#repeat(method, path, query, body, isWhole);
    let answer: unknown;
    try {
      answer = JSON.parse(text);
    } catch (error) {
      throw new UnreadableError(path, String(error));
    }
    if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) throw new UnreadableError(path, 'an answer is an object');
    return answer as T;
  }

  /** Sends until there is an answer. One that was cut inside its compression is a shorter text: `isUsable` says whether it is whole. */
  async #repeat(method: string, path: string, query: Query, body: string | undefined, isUsable = (_: string) => true): Promise<string> {
    let pause = PAUSE_FIRST_MS;
    for (let attempt = 1; ; attempt++, pause *= 2) {
      const last = attempt === ATTEMPTS_MAX;
      try {
        const headers = { ...this.#headers, accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
        const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
        const response = await this.#send(method, path, query, { headers, signal, ...(body === undefined ? {} : { body }) });
        const text = await bounded(response);
        if (response.ok) {
          // The last one is refused by whoever reads it.
          if (last || isUsable(text)) return text;
          await sleep(pause);
          continue;
        }
        const asked = retryAfter(response) ?? pause;
        if (last || ![429, 503, 504].includes(response.status) || asked > PAUSE_MAX_MS) throw refusal(response.status, text);
        await sleep(asked);
      } catch (error) {
        if (error instanceof StatesetError) throw error;
        // A refused connection means nobody listens: waiting for a server that is not there helps nobody.
        if (last || isConnectionRefused(error)) throw new UnreachableError(this.base, error);
        await sleep(pause);
      }
    }
  }

  #send(method: string, path: string, query: Query, init: RequestInit): Promise<Response> {
    const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
    const text = pairs.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join('&');
    return this.#fetch(`${this.base}${path}${text && `?${text}`}`, { ...init, method, redirect: 'error' });
  }
}

function isWhole(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

async function bounded(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  if (!reader) return '';
  const decoder = new TextDecoder();
  let [text, bytes] = ['', 0];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    bytes += value.length;
    if (bytes > ANSWER_BYTES_MAX) {
      await reader.cancel();
      throw new StatesetError('unreadable', `the answer is longer than ${ANSWER_BYTES_MAX} bytes`);
    }
    text += decoder.decode(value, { stream: true });
  }
}

function refusal(status: number, text: string): RefusedError {
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string; request_id?: string } };
    return new RefusedError(status, error.code, error.message, error.request_id);
  } catch {
    return new RefusedError(status, `HTTP_${status}`, text.slice(0, 200), undefined);
  }
}

function retryAfter(response: Response): number | undefined {
  const seconds = response.headers.get('retry-after');
  return seconds !== null && /^[0-9]{1,6}$/.test(seconds) ? Number(seconds) * 1000 : undefined;
}

export function isConnectionRefused(error: unknown): boolean {
  const cause = (error as { cause?: { code?: string } } | undefined)?.cause;
  return cause?.code === 'ECONNREFUSED';
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}
