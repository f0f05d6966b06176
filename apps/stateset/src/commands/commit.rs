//! `stateset commit`

use clap::Args;
use ves::SequenceNumber;
use ves_wire::commitments::CommitmentBody;

use crate::context::Context;
use crate::error::CliError;

#[derive(Debug, Args)]
pub struct CommitArgs {
    /// First event [default: the one after the last commitment]
    #[arg(long, value_name = "NUMBER")]
    pub from: Option<u64>,
    /// Last event [default: the head]
    #[arg(long, value_name = "NUMBER")]
    pub to: Option<u64>,
}

pub fn run(context: &Context, args: &CommitArgs) -> Result<(), CliError> {
    let (client, stream) = (context.client()?, context.stream()?);
    let head = client.head(&stream)?;
    let committed =
        head.latest_commitment.as_ref().and_then(|latest| latest.sequence_end).unwrap_or_default();
    let start = args.from.unwrap_or(committed.get() + 1);
    let end = args.to.unwrap_or(head.head_sequence.get());
    if start > end {
        let nothing = serde_json::json!({"committed": false, "committed_to": committed, "head_sequence": head.head_sequence});
        context.out.result(
            &nothing,
            &format!("Nothing to commit: all {end} events of the stream are in commitments."),
        );
        return Ok(());
    }
    let commitment = client.commit(&stream, SequenceNumber(start), SequenceNumber(end))?;
    let text = format!(
        "Committed {}..={}: {} events\n  batch        {}\n  merkle root  {}\n  state root   {}",
        commitment.sequence_start,
        commitment.sequence_end,
        commitment.leaf_count,
        commitment.batch_id,
        commitment.merkle_root,
        commitment.new_state_root
    );
    context.out.result(&CommitmentBody::from(&commitment), &text);
    Ok(())
}
