// Builds the package into dist: types from the OpenAPI document, the WebAssembly module as text, then tsc.
//
//   node scripts/build.mjs VES_WASM      (cargo xtask sdk names the module that it has built)

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

import openapi, { astToString } from 'openapi-typescript';

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const wasm = process.argv[2] ?? process.env.VES_WASM;
if (!wasm) throw new Error('name the WebAssembly module: node scripts/build.mjs VES_WASM');

mkdirSync(here('src/generated'), { recursive: true });
const document = JSON.parse(readFileSync(here('../../../sequencer/api/openapi.json'), 'utf8'));
writeFileSync(here('src/generated/api.ts'), astToString(await openapi(document)));
// As text, since every bundler, browser and runtime loads a JavaScript module alike.
const text = readFileSync(wasm).toString('base64');
writeFileSync(here('src/generated/module.ts'), `export const MODULE_BASE64 = '${text}';\n`);
const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
execFileSync(process.execPath, [tsc, '--project', here('tsconfig.json')], { stdio: 'inherit' });
