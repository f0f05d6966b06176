// The verifier of compliance proofs in browsers, Node and whatever else runs WebAssembly: nothing here is of one of them.
//
//   import { load } from './ves-stark.mjs';
//   const verifier = await load(fetch('ves_stark_wasm.wasm'));
//   const verdict = verifier.verifyBundle(bundleText, { inputs, agentKey, now: Date.now(), chainContext });
//   if (!verdict.valid) console.log(verdict.reason);

/**
 * Makes a verifier of the module's bytes: an ArrayBuffer or a view of one, a Response, a WebAssembly.Module, or a promise
 * of one of these.
 */
export async function load(source) {
  const module = await compile(await source);
  const instance = await WebAssembly.instantiate(module, importsOf(module));
  return new Verifier(instance.exports);
}

async function compile(source) {
  if (source instanceof WebAssembly.Module) return source;
  // Not compileStreaming: it insists on a content type that not every server sends.
  const bytes = typeof source.arrayBuffer === 'function' ? await source.arrayBuffer() : source;
  return WebAssembly.compile(bytes);
}

/** The module computes and asks nobody; what its build names besides is never called. */
function importsOf(module) {
  const imports = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== 'function') throw new TypeError(`the module wants the ${kind} ${from}.${name}: another build`);
    imports[from] ??= {};
    imports[from][name] = () => {
      throw new Error(`the module called ${from}.${name}: another build`);
    };
  }
  return imports;
}

/** The module's functions by their own names: those that it exports end in a hash of the build. */
function functionsOf(exports) {
  const named = { memory: exports.memory };
  for (const [name, value] of Object.entries(exports)) {
    const found = /^(request|verify|answer)(_[0-9a-f]{16})?$/.exec(name);
    if (found) named[found[1]] = value;
  }
  if (!named.memory || !named.request || !named.verify || !named.answer) {
    throw new TypeError('the module is not the verifier of compliance proofs');
  }
  return named;
}

class Verifier {
  #module;

  constructor(exports) {
    this.#module = functionsOf(exports);
  }

  /**
   * Judges a bundle.
   *
   * - `inputs`: public inputs that the proof must be about, as text or as an object (numbers above 2^53 only as text).
   *   They come from the event service, not from the prover.
   * - `chainContext`: the deployment that the proof must be for.
   * - `now`: milliseconds since 1970.
   * - `agentKey`: public key of the agent that must have signed the commitment, 64 hex digits; without it the signature is
   *   not checked, and the verdict says so.
   *
   * Answers `{ valid: true, security, agentSignature, policyId, policyHash, statementDigest }` or
   * `{ valid: false, reason }`. Throws a TypeError where the question itself cannot be read.
   */
  verifyBundle(bundleText, { inputs, agentKey, now, chainContext }) {
    const request = {
      bundle: bundleText,
      inputs: typeof inputs === 'string' ? inputs : JSON.stringify(inputs),
      agentKey,
      now,
      chainContext,
    };
    const answer = JSON.parse(this.#ask(JSON.stringify(request)));
    if ('error' in answer) throw new TypeError(answer.error);
    return answer;
  }

  #ask(text) {
    const { memory, request, verify, answer } = this.#module;
    const bytes = new TextEncoder().encode(text);
    // Memory may move with every call, so each view is of now. Addresses are unsigned, numbers of WebAssembly are not.
    const at = request(bytes.length) >>> 0;
    new Uint8Array(memory.buffer, at, bytes.length).set(bytes);
    const length = verify() >>> 0;
    return new TextDecoder().decode(new Uint8Array(memory.buffer, answer() >>> 0, length));
  }
}
