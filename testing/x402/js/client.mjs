// Pays a URL with a public client, unmodified, and prints what came back as one line of JSON.
//
//   node client.mjs v1|v2 URL PRIVATE_KEY COUNT [NETWORK TOKEN]
//
// COUNT requests are sent at once. NETWORK and TOKEN name a token that clients of version 2 would refuse otherwise.
import { privateKeyToAccount } from "viem/accounts";

const [version, url, key, count, network, token] = process.argv.slice(2);

async function payer() {
  const account = privateKeyToAccount(key);
  if (version === "v1") {
    const { createWalletClient, http } = await import("viem");
    const { baseSepolia } = await import("viem/chains");
    const { wrapFetchWithPayment } = await import("x402-fetch");
    // Signs only: the transport is never used.
    return wrapFetchWithPayment(fetch, createWalletClient({ account, chain: baseSepolia, transport: http() }));
  }
  const { wrapFetchWithPaymentFromConfig } = await import("@x402/fetch");
  const { ExactEvmScheme } = await import("@x402/evm");
  const schemes = [{ network: "eip155:*", client: new ExactEvmScheme(account) }];
  const config = token
    ? { schemes, spendControls: { allowedAssets: [{ network, asset: token, maxAmountPerPayment: "1000000" }] } }
    : { schemes };
  return wrapFetchWithPaymentFromConfig(fetch, config);
}

const paidFetch = await payer();
const header = version === "v1" ? "x-payment-response" : "payment-response";
const answers = Array.from({ length: Number(count) }, async () => {
  const response = await paidFetch(url, { method: "GET" });
  const settlement = response.headers.get(header);
  return {
    status: response.status,
    body: await response.text(),
    settlement: settlement && JSON.parse(Buffer.from(settlement, "base64").toString("utf8")),
  };
});
console.log(JSON.stringify(await Promise.all(answers)));
