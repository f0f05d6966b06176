import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import vm from 'node:vm';
import { gzipSync } from 'node:zlib';

import { check, sealedOpens } from './vectors.mjs';

const COMPRESSED_BYTES_MAX = 300 * 1024;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { cases } = JSON.parse(readFileSync(here('../../../../testing/vectors/libraries.json'), 'utf8'));

test('every vector holds', async () => {
  assert.ok(cases.length > 200);
  const problems = (await Promise.all(cases.map(check))).filter(Boolean);
  assert.deepEqual(problems, []);
});

test('what is sealed for somebody opens', async () => {
  assert.equal(await sealedOpens(), undefined);
});

test('the module is small', async () => {
  const { MODULE_BASE64 } = await import('../dist/generated/module.js');
  const compressed = gzipSync(Buffer.from(MODULE_BASE64, 'base64'), { level: 9 }).length;
  console.log(`WebAssembly module: ${compressed} bytes compressed`);
  assert.ok(compressed <= COMPRESSED_BYTES_MAX, `${compressed} bytes`);
});

test('a bundle for browsers holds every vector without anything of Node', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'stateset-bundle-'));
  try {
    const bundle = join(folder, 'bundle.js');
    const esbuild = createRequire(import.meta.url).resolve('esbuild/bin/esbuild');
    execFileSync(esbuild, [here('vectors.mjs'), '--bundle', '--platform=browser', '--format=iife', '--global-name=tests', '--log-level=error', `--outfile=${bundle}`]);
    // What every browser has, and no process, Buffer, require or module.
    const web = { crypto, TextEncoder, TextDecoder, atob, URL, setTimeout, clearTimeout, AbortController, AbortSignal, fetch, console };
    const context = vm.createContext({ ...web, cases: JSON.stringify(cases) });
    vm.runInContext(readFileSync(bundle, 'utf8'), context);
    const found = await vm.runInContext(
      `Promise.all(JSON.parse(cases).map(tests.check)).then(async (found) => JSON.stringify([...found, await tests.sealedOpens()].filter(Boolean)))`,
      context,
    );
    assert.deepEqual(JSON.parse(found), []);
    assert.throws(() => vm.runInContext('process', context), 'the context is not that of a browser');
  } finally {
    rmSync(folder, { recursive: true });
  }
});
