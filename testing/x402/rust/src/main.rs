//! Pays a URL with the public Rust client of x402, unmodified, and prints what came back as one line of JSON, as
//! `../js/client.mjs` does.
//!
//! ```text
//! x402-public-client v1|v2 URL PRIVATE_KEY COUNT
//! ```
//!
//! COUNT requests are sent at once. The client reads the offer of version 2 wherever there is one, so for version 1 the
//! header that has it is taken away, as by a proxy that passes no header it does not know.

use std::error::Error;

use alloy_signer_local::PrivateKeySigner;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{ClientWithMiddleware, Middleware, Next};
use serde_json::{Value, json};
use x402_chain_eip155::{V1Eip155ExactClient, V2Eip155ExactClient};
use x402_reqwest::{ReqwestWithPayments as _, ReqwestWithPaymentsBuild as _, X402Client};
use x402_types::util::Base64Bytes;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Which form of the protocol is paid in.
#[derive(Clone, Copy, PartialEq)]
enum Version {
    One,
    Two,
}

/// Between the client and the server: the offer of version 2 does not pass.
struct WithoutVersion2;

#[async_trait::async_trait]
impl Middleware for WithoutVersion2 {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        let mut response = next.run(request, extensions).await?;
        response.headers_mut().remove("payment-required");
        Ok(response)
    }
}

/// Ready for both versions, as its makers show it.
fn paying_client(key: &str, version: Version) -> Outcome<ClientWithMiddleware> {
    let signer: PrivateKeySigner = key.parse()?;
    let schemes = X402Client::new()
        .register(V1Eip155ExactClient::new(signer.clone()))
        .register(V2Eip155ExactClient::new(signer));
    let client = reqwest::Client::new().with_payments(schemes).builder();
    Ok(match version {
        Version::One => client.with(WithoutVersion2).build(),
        Version::Two => client.build(),
    })
}

async fn buy(client: ClientWithMiddleware, url: String, header: &'static str) -> Outcome<Value> {
    let response = client.get(url).send().await?;
    let status = response.status().as_u16();
    let settlement = match response.headers().get(header) {
        Some(told) => serde_json::from_slice(&Base64Bytes::from(told.as_bytes()).decode()?)?,
        None => Value::Null,
    };
    Ok(json!({"status": status, "body": response.text().await?, "settlement": settlement}))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [version, url, key, count] = args.as_slice() else {
        return Err("usage: x402-public-client v1|v2 URL PRIVATE_KEY COUNT".into());
    };
    let (version, header) = match version.as_str() {
        "v1" => (Version::One, "x-payment-response"),
        "v2" => (Version::Two, "payment-response"),
        other => return Err(format!("{other}: v1 or v2").into()),
    };
    let client = paying_client(key, version)?;
    let buyers: Vec<_> =
        (0..count.parse::<u16>()?).map(|_| tokio::spawn(buy(client.clone(), url.clone(), header))).collect();
    let mut answers = Vec::new();
    for buyer in buyers {
        answers.push(buyer.await??);
    }
    println!("{}", Value::from(answers));
    Ok(())
}
