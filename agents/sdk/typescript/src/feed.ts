/** Events as they come: server-sent events where the server has them, pages asked again and again where not. */

import { RefusedError, UnreadableError } from './errors.js';
import { sleep, type Http, type Query } from './http.js';
import type { EventEntry } from './types.js';

export interface FeedOptions {
  /** First sequence number. */
  from?: number;
  signal?: AbortSignal;
  /** Pause between two questions, where the server has no live feed. */
  pollMs?: number;
}

/** Delivers entries from a number on, until it cannot any more; then it is asked anew from where it stopped. */
type Source = (from: number, signal: AbortSignal) => AsyncIterable<EventEntry>;

const STREAM_PATH = '/api/v1/events/stream';
/** Three signs of life of the server have not come: the connection is dead. */
const SILENCE_MS = 60_000;
const PAUSE_FIRST_MS = 250;
const PAUSE_MAX_MS = 10_000;
/** Of one event that is sent; a payload is at most 1 MiB by default. */
const EVENT_CHARACTERS_MAX = 32 * 1024 * 1024;

interface Page {
  events: EventEntry[];
  head_sequence: number;
}

export async function* follow<T>(
  http: Http,
  stream: Query,
  page: (from: number) => Promise<Page>,
  verify: (entry: EventEntry, expected: number) => Promise<T>,
  { from = 1, signal = new AbortController().signal, pollMs = 1000 }: FeedOptions,
): AsyncGenerator<T, void, undefined> {
  let source: Source = sentEvents(http, stream, () => (source = pages(page, pollMs)));
  let [next, pause] = [Math.max(1, from), PAUSE_FIRST_MS];
  while (!signal.aborted) {
    try {
      for await (const entry of source(next, signal)) {
        const verified = await verify(entry, next);
        [next, pause] = [next + 1, PAUSE_FIRST_MS];
        yield verified;
        if (signal.aborted) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      // What another attempt cannot mend is the caller's: a refusal of the key, an answer that is untrue.
      if (!isPassing(error)) throw error;
    }
    await sleep(pause, signal);
    pause = Math.min(2 * pause, PAUSE_MAX_MS);
  }
}

function isPassing(error: unknown): boolean {
  if (error instanceof RefusedError) return [408, 429, 500, 502, 503, 504].includes(error.status);
  const code = (error as { code?: unknown }).code;
  return typeof code !== 'string' || code === 'unreachable' || /^(E[A-Z]+|UND_ERR_)/.test(code);
}

/** Server-sent events. Where the server has none, `without` is called and nothing delivered. */
function sentEvents(http: Http, stream: Query, without: () => void): Source {
  return async function* (from, signal) {
    const silence = new AbortController();
    const stop = () => silence.abort();
    signal.addEventListener('abort', stop, { once: true });
    let timer = setTimeout(stop, SILENCE_MS);
    try {
      const response = await http.stream(STREAM_PATH, { ...stream, from }, from - 1, silence.signal);
      if (!response?.body) return without();
      for await (const message of messages(response.body, () => (clearTimeout(timer), (timer = setTimeout(stop, SILENCE_MS))))) {
        if (message.event === 'end') return;
        if (message.event === 'message' && message.data) yield parsed(message.data);
      }
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      stop();
    }
  };
}

function parsed(data: string): EventEntry {
  try {
    return JSON.parse(data) as EventEntry;
  } catch (error) {
    throw new UnreadableError(STREAM_PATH, String(error));
  }
}

function pages(page: (from: number) => Promise<Page>, pollMs: number): Source {
  return async function* (from, signal) {
    for (let next = from; !signal.aborted; ) {
      const { events, head_sequence } = await page(next);
      yield* events;
      next += events.length;
      if (next > head_sequence || events.length === 0) await sleep(pollMs, signal);
    }
  };
}

/** One message of a stream of server-sent events (WHATWG HTML, section 9.2). */
export interface Message {
  event: string;
  data: string;
}

export async function* messages(body: ReadableStream<Uint8Array>, heard: () => void = () => {}): AsyncGenerator<Message, void, undefined> {
  const [reader, decoder] = [body.getReader(), new TextDecoder()];
  let [rest, event, data] = ['', 'message', [] as string[]];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      // A line may end with \r\n, \n or \r; a \r at the very end waits for what follows it.
      const text = rest + decoder.decode(value, { stream: true });
      const lines = text.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? '';
      if (rest.length > EVENT_CHARACTERS_MAX) throw new UnreadableError(STREAM_PATH, 'an event is too long');
      for (const line of lines) {
        if (line === '') {
          if (data.length > 0) yield { event, data: data.join('\n') };
          [event, data] = ['message', []];
        } else {
          const colon = line.indexOf(':');
          const [name, content] = colon < 0 ? [line, ''] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
          if (name === 'event') event = content;
          if (name === 'data') data.push(content);
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
