/** The rules of VES, compiled to WebAssembly: a call as JSON in, its answer as JSON out. */

import { VesError } from './errors.js';
import { MODULE_BASE64 } from './generated/module.js';

interface Module {
  memory: WebAssembly.Memory;
  request(bytes: number): number;
  call(): number;
  answer(): number;
}

let loading: Promise<Module> | undefined;

/** Makes one call. Throws a {@link VesError} with the code of the rule that is broken. */
export async function call<T>(name: string, input: unknown): Promise<T> {
  loading ??= load();
  const { memory, request, call: run, answer } = await loading;
  const bytes = new TextEncoder().encode(JSON.stringify({ call: name, input }));
  // Memory may move with every call, so each view is of now. Addresses are unsigned, numbers of WebAssembly are not.
  const at = request(bytes.length) >>> 0;
  new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
  const length = run() >>> 0;
  const text = new TextDecoder().decode(new Uint8Array(memory.buffer, answer() >>> 0, length));
  // What was asked and answered may be secret: the module wipes it, and so do we with our copy.
  request(0);
  bytes.fill(0);
  const said = JSON.parse(text) as { output: T } | { error: { code: string; message: string } };
  if ('error' in said) throw new VesError(said.error.code, said.error.message);
  return said.output;
}

async function load(): Promise<Module> {
  const module = await WebAssembly.compile(fromBase64(MODULE_BASE64));
  const instance = await WebAssembly.instantiate(module, importsOf(module));
  const found: Record<string, unknown> = { memory: instance.exports['memory'] };
  // Names of functions end in a hash of the build.
  for (const [name, value] of Object.entries(instance.exports)) {
    const plain = /^(request|call|answer)(_[0-9a-f]{16})?$/.exec(name)?.[1];
    if (plain) found[plain] = value;
  }
  return found as unknown as Module;
}

/** The module computes and asks nobody; what its build names besides is never called. */
function importsOf(module: WebAssembly.Module): WebAssembly.Imports {
  const imports: Record<string, Record<string, () => never>> = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    (imports[from] ??= {})[name] = () => {
      throw new Error(`the module called ${from}.${name}: another build`);
    };
  }
  return imports;
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

export function toHex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

export function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.startsWith('0x') ? text.slice(2) : text;
  if (digits.length % 2 || !/^[0-9a-fA-F]*$/.test(digits)) throw new VesError('invalid_input', 'not hex');
  const bytes = new Uint8Array(digits.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = parseInt(digits.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Bytes of the platform's secure generator. */
export function random(length: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(length));
}

/** A random id. Not `crypto.randomUUID`, which browsers withhold from pages without TLS. */
export function newId(): string {
  const bytes = random(16);
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return toHex(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
