// Asks our facilitator through the public client of facilitators, and prints its answers as one line of JSON.
//
//   node facilitator.mjs URL [TOKEN] < {"payload": …, "requirements": …}
import { HTTPFacilitatorClient } from "@x402/core/http";
import { readFileSync } from "node:fs";

const [url, token] = process.argv.slice(2);
const headers = token ? { authorization: `Bearer ${token}` } : {};
const createAuthHeaders = async () => ({ supported: headers, verify: headers, settle: headers });
const client = new HTTPFacilitatorClient({ url, createAuthHeaders });
const { payload, requirements } = JSON.parse(readFileSync(0, "utf8"));
const supported = await client.getSupported();
const verified = await client.verify(payload, requirements);
const settled = await client.settle(payload, requirements);
console.log(JSON.stringify({ supported, verified, settled }));
