//! What a node's answer to a sent transaction means. Nodes agree on the cases and not on the words.

use set_registry::RpcError;

/// What became of the request to take a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The node has it, now or from before.
    Taken,
    /// The account has used the nonce: by one of our attempts or by another transaction. The chain tells.
    NonceUsed,
    /// Higher fees are asked for.
    TooCheap,
    /// The account can't pay what the transaction may cost at most.
    NoFunds,
    /// The endpoint failed. It may have taken the transaction or not: the chain tells.
    Unknown,
    /// Refused for another reason.
    Refused,
}

/// Words by which nodes name a case: geth, reth, erigon, nethermind and anvil.
const WORDS: &[(Sent, &[&str])] = &[
    (Sent::Taken, &["already known", "already imported", "known transaction", "alreadyknown"]),
    (Sent::NonceUsed, &["nonce too low", "nonce is too low", "invalid nonce", "oldnonce"]),
    (Sent::NoFunds, &["insufficient funds", "insufficient balance", "insufficientfunds"]),
    (
        Sent::TooCheap,
        &[
            "underpriced",
            "less than block base fee",
            "fee cap too low",
            "feetoolow",
            "fee too low",
            "max fee per gas less than",
            "below the minimum",
            "gas price too low",
        ],
    ),
];

/// Reads the answer to `eth_sendRawTransaction`.
pub fn read<T>(answer: &Result<T, RpcError>) -> Sent {
    let message = match answer {
        Ok(_) => return Sent::Taken,
        Err(RpcError::Refused { message, .. }) => message.to_lowercase(),
        Err(_) => return Sent::Unknown,
    };
    let named = WORDS.iter().find(|(_, words)| words.iter().any(|word| message.contains(word)));
    named.map_or(Sent::Refused, |(sent, _)| *sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_say_the_same_in_many_words() {
        for (message, meaning) in [
            ("already known", Sent::Taken),
            ("transaction already imported", Sent::Taken),
            ("nonce too low: next nonce 5, tx nonce 4", Sent::NonceUsed),
            ("replacement transaction underpriced", Sent::TooCheap),
            (
                "max fee per gas less than block base fee: address 0x…, maxFeePerGas: 1, baseFee: 7",
                Sent::TooCheap,
            ),
            ("Insufficient funds for gas * price + value", Sent::NoFunds),
            ("transaction type not supported", Sent::Refused),
        ] {
            let (method, message) = ("eth_sendRawTransaction".to_owned(), message.to_owned());
            let answer = Err::<(), _>(RpcError::Refused {
                method,
                code: -32000,
                message: message.clone(),
                data: None,
            });
            assert_eq!(read(&answer), meaning, "{message}");
        }
        assert_eq!(read(&Ok(())), Sent::Taken);
    }

    /// The transaction may be in a block by now.
    #[test]
    fn no_answer_is_no_refusal() {
        let (endpoint, method) = ("http://x".to_owned(), "eth_sendRawTransaction".to_owned());
        let answer = Err::<(), _>(RpcError::Unanswered { endpoint, method, problem: "timeout".to_owned() });
        assert_eq!(read(&answer), Sent::Unknown);
    }
}
