//! The checks that need the order of all events: log, batch roots, state chain, checkpoints.

use std::collections::VecDeque;

use ves::commitment::Commitment;
use ves::log::LogTree;
use ves::{Digest, SequenceNumber, StreamKey, merkle};

use super::chunk::Checked;
use super::{Anchor, Report, Source};
use crate::Identity;
use crate::client::verified_checkpoint;

/// Grows the log leaf by leaf and compares every published root on the way.
pub(super) struct Growth<'a> {
    stream: &'a StreamKey,
    source: &'a dyn Source,
    sequencer: &'a Identity,
    log: LogTree,
    /// Commitments whose end has not been reached, in order.
    coming: VecDeque<Commitment>,
    previous: Option<Commitment>,
    /// Leaves since the end of the last batch.
    batch: Vec<Digest>,
    /// Roots known from elsewhere that have not been reached, by size.
    anchors: VecDeque<Anchor>,
    event_ids: Vec<([u8; 16], u64)>,
    command_ids: Vec<([u8; 16], u64)>,
    report: Report,
}

impl<'a> Growth<'a> {
    pub fn new(
        stream: &'a StreamKey,
        source: &'a dyn Source,
        sequencer: &'a Identity,
        commitments: Vec<Commitment>,
        mut anchors: Vec<Anchor>,
    ) -> Self {
        anchors.sort_by_key(|anchor| anchor.size);
        Self {
            stream,
            source,
            sequencer,
            log: LogTree::new(),
            coming: commitments.into(),
            previous: None,
            batch: Vec::new(),
            anchors: anchors.into(),
            event_ids: Vec::new(),
            command_ids: Vec::new(),
            report: Report::default(),
        }
    }

    /// Takes the next chunk in order.
    pub fn take(&mut self, checked: Checked) -> Result<(), String> {
        self.report.signatures += checked.signatures;
        self.report.receipts_unsigned += checked.receipts_unsigned;
        self.report.payloads_sealed += checked.payloads_sealed;
        for problem in checked.problems {
            self.report.problem(problem);
        }
        self.event_ids.extend(checked.event_ids);
        self.command_ids.extend(checked.command_ids);
        for leaf in checked.leaves {
            self.log.push(&leaf);
            self.check_anchors();
            self.batch.push(leaf);
            if self.coming.front().is_some_and(|commitment| commitment.sequence_end.get() == self.log.size())
            {
                let commitment = self.coming.pop_front().expect("it was looked at");
                self.end_batch(commitment)?;
            }
        }
        Ok(())
    }

    /// The roots known of the size that the log has now.
    fn check_anchors(&mut self) {
        while self.anchors.front().is_some_and(|anchor| anchor.size <= self.log.size()) {
            let anchor = self.anchors.pop_front().expect("it was looked at");
            if anchor.root != self.log.root() {
                let text = format!(
                    "fork: {} of size {} has root {}, that many events of the source have {}",
                    anchor.what,
                    anchor.size,
                    anchor.root,
                    self.log.root()
                );
                self.report.problem(text);
            }
        }
    }

    fn end_batch(&mut self, commitment: Commitment) -> Result<(), String> {
        let leaves = std::mem::take(&mut self.batch);
        let place = format!(
            "commitment {} ({}..={})",
            commitment.batch_id, commitment.sequence_start, commitment.sequence_end
        );
        let mut wrong = Vec::new();
        if let Err(problem) = commitment.check() {
            wrong.push(problem.to_string());
        }
        if let Err(problem) = commitment.follows(self.previous.as_ref()) {
            wrong.push(problem.to_string());
        }
        if commitment.stream != *self.stream || leaves.len() as u64 != u64::from(commitment.leaf_count) {
            wrong.push("it is not of the events since the last commitment".to_owned());
        } else if merkle::root(&leaves) != commitment.merkle_root {
            wrong.push("its merkle_root is not the root of its events".to_owned());
        }
        wrong.extend(self.check_checkpoint(commitment.sequence_end.get())?);
        for problem in wrong {
            self.report.problem(format!("{place}: {problem}"));
        }
        self.report.commitments += 1;
        self.report.committed_to = commitment.sequence_end;
        self.report.state_root = commitment.new_state_root;
        self.previous = Some(commitment);
        Ok(())
    }

    /// The checkpoint that ends with this batch says the root that the events have.
    fn check_checkpoint(&mut self, size: u64) -> Result<Option<String>, String> {
        let Some(text) = self.source.checkpoint(self.stream, size)? else {
            return Ok(Some(format!("there is no checkpoint of size {size}")));
        };
        self.report.checkpoints += 1;
        Ok(match verified_checkpoint(&text, self.stream, self.sequencer) {
            Err(problem) => Some(problem.to_string()),
            Ok(says) if says.size != size => Some(format!("the checkpoint is of size {}", says.size)),
            Ok(says) if says.root != self.log.root() => {
                Some("the checkpoint's root is not the root of the events".to_owned())
            }
            Ok(_) => None,
        })
    }

    /// The report, once every chunk was taken.
    pub fn finish(mut self, head: SequenceNumber) -> Result<Report, String> {
        self.report.events = self.log.size();
        self.report.log_root = self.log.root();
        if self.log.size() < head.get() {
            let text = format!("the source announced {head} events and gave {}", self.log.size());
            self.report.problem(text);
        }
        for anchor in std::mem::take(&mut self.anchors) {
            self.report.problem(format!(
                "truncated: {} is of size {}, the source has {} events",
                anchor.what,
                anchor.size,
                self.log.size()
            ));
        }
        for (what, mut ids) in [
            ("event id", std::mem::take(&mut self.event_ids)),
            ("command id", std::mem::take(&mut self.command_ids)),
        ] {
            ids.sort_unstable();
            for pair in ids.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
                let (first, again) = (pair[0].1, pair[1].1);
                self.report.problem(format!("event {again}: its {what} is that of event {first} too"));
            }
        }
        if let Some(beyond) = self.coming.front() {
            let text = format!(
                "commitment {} ends at {}, beyond or off the events up to {head}",
                beyond.batch_id, beyond.sequence_end
            );
            self.report.problem(text);
        }
        Ok(self.report)
    }
}
