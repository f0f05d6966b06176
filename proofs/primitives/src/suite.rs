//! Names of the proof suites (section 6) and of the commitment suite (section 4.1): a change of the field or of a
//! parameter is a new name.

use std::fmt;

/// Name of the field commitment of section 4.1; it enters the binding message.
pub const COMMITMENT_SUITE: &str = "kb-p2-1";

/// A proof system with all its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SuiteId {
    /// `p3.kb5.p2.b3.zk.v1`: at least 100 conjectured bits, zero-knowledge.
    #[default]
    Standard,
    /// `p3.kb5.p2.b3.zk.proven.v1`: at least 100 proven bits, zero-knowledge.
    Proven,
    /// `wf.gl.rp.b3.v0`: proofs of an older system without zero-knowledge. Read, never made, and not verified here.
    Legacy,
}

impl SuiteId {
    pub const ALL: [Self; 3] = [Self::Standard, Self::Proven, Self::Legacy];

    /// The name that enters the transcript.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Standard => "p3.kb5.p2.b3.zk.v1",
            Self::Proven => "p3.kb5.p2.b3.zk.proven.v1",
            Self::Legacy => "wf.gl.rp.b3.v0",
        }
    }

    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.text() == text)
    }

    /// Whether proofs of the suite hide their witness.
    pub const fn is_zero_knowledge(self) -> bool {
        !matches!(self, Self::Legacy)
    }
}

impl fmt::Display for SuiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}
