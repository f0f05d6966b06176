#!/usr/bin/env node
// The npm compiler behind the command line that forge expects of `solc`: `--version`, else standard JSON from the
// standard input to the standard output. Every source is in that JSON, so nothing is looked up.
"use strict";
const { readFileSync, writeSync } = require("node:fs");
const solc = require("solc");

if (process.argv.includes("--version")) {
  // forge reads a platform tag at the end and does not know that of the JavaScript build.
  const version = solc.version().replace(/Emscripten\.clang/, "Linux.g++");
  process.stdout.write(`solc, the solidity compiler commandline interface\nVersion: ${version}\n`);
} else {
  const output = Buffer.from(solc.compile(readFileSync(0, "utf8")));
  // A pipe takes part of a large buffer at a time.
  for (let at = 0; at < output.length; ) {
    try {
      at += writeSync(1, output, at);
    } catch (problem) {
      if (problem.code !== "EAGAIN") throw problem;
    }
  }
}
