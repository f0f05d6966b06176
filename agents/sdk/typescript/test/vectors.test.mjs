import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
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

const RUN = `Promise.all(JSON.parse(cases).map(tests.check)).then(async (found) => JSON.stringify([...found, await tests.sealedOpens()].filter(Boolean)))`;

/** The library with its vectors, as a page would load it. */
function bundle(folder) {
  const file = join(folder, 'bundle.js');
  const esbuild = createRequire(import.meta.url).resolve('esbuild/bin/esbuild');
  execFileSync(esbuild, [here('vectors.mjs'), '--bundle', '--platform=browser', '--format=iife', '--global-name=tests', '--log-level=error', `--outfile=${file}`]);
  return readFileSync(file, 'utf8');
}

async function inFolder(act) {
  const folder = mkdtempSync(join(tmpdir(), 'stateset-bundle-'));
  try {
    return await act(folder);
  } finally {
    rmSync(folder, { recursive: true, maxRetries: 10 });
  }
}

test('a bundle for browsers holds every vector without anything of Node', () =>
  inFolder(async (folder) => {
    // What every browser has, and no process, Buffer, require or module.
    const web = { crypto, TextEncoder, TextDecoder, atob, URL, setTimeout, clearTimeout, AbortController, AbortSignal, fetch, console };
    const context = vm.createContext({ ...web, cases: JSON.stringify(cases) });
    vm.runInContext(bundle(folder), context);
    assert.deepEqual(JSON.parse(await vm.runInContext(RUN, context)), []);
    assert.throws(() => vm.runInContext('process', context), 'the context is not that of a browser');
  }));

const browser = ['chromium', 'chromium-headless-shell', 'google-chrome']
  .flatMap((name) => (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name)))
  .find((path) => existsSync(path));

if (browser) {
  test('a browser holds every vector', () =>
    inFolder(async (folder) => {
      // The page fetches what it runs and posts what it found, so nothing depends on how long a browser takes.
      const served = {
        '/': ['text/html', '<!doctype html><meta charset=utf-8><script src=bundle.js></script><script src=run.js></script>'],
        '/bundle.js': ['text/javascript', bundle(folder)],
        '/run.js': ['text/javascript', `fetch('cases').then((r) => r.text()).then((cases) => ${RUN}).catch(String).then((body) => fetch('found', { method: 'POST', body }))`],
        '/cases': ['application/json', JSON.stringify(cases)],
      };
      let told;
      const found = new Promise((resolve) => (told = resolve));
      const server = createServer(async (request, response) => {
        if (request.method === 'POST') {
          let body = '';
          for await (const chunk of request) body += chunk;
          response.end();
          return told(body);
        }
        const [type, text] = served[request.url] ?? ['text/plain', ''];
        response.setHeader('content-type', `${type}; charset=utf-8`).end(text);
      });
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      const options = ['--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${folder}/profile`, '--remote-debugging-port=0'];
      const child = spawn(browser, [...options, `http://127.0.0.1:${server.address().port}/`], { stdio: 'ignore', detached: true });
      const ended = new Promise((resolve) => child.on('exit', (code) => resolve(`the browser ended with ${code}`)));
      const tooLong = setTimeout(() => told('the browser said nothing'), 60_000);
      try {
        assert.equal(await Promise.race([found, ended]), '[]');
      } finally {
        clearTimeout(tooLong);
        server.close();
        server.closeAllConnections();
        if (child.exitCode === null && child.signalCode === null) {
          // With all that it started: the program on the search path may be a script.
          process.kill(-child.pid, 'SIGKILL');
          await ended;
        }
      }
    }));
} else {
  console.log('no browser is installed: the vectors ran in a context without Node alone');
}
