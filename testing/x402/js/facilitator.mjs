// Asks our facilitator through the public client of facilitators, and prints its answers as one line of JSON.
//
//   node facilitator.mjs URL < {"payload": …, "requirements": …}
import { HTTPFacilitatorClient } from "@x402/core/http";
import { readFileSync } from "node:fs";

const client = new HTTPFacilitatorClient({ url: process.argv[2] });
const { payload, requirements } = JSON.parse(readFileSync(0, "utf8"));
const supported = await client.getSupported();
const verified = await client.verify(payload, requirements);
const settled = await client.settle(payload, requirements);
console.log(JSON.stringify({ supported, verified, settled }));
