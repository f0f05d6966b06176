//! The compiled-in parameter sets (section 7). A proof made with any other set is refused.

use ves_stark_primitives::SuiteId;

/// Which parameter set a proof uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// At least 100 conjectured bits.
    Standard,
    /// At least 100 proven bits.
    Proven,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Proven];

    /// The suite that uses it (section 6).
    pub const fn suite(self) -> SuiteId {
        match self {
            Self::Standard => SuiteId::Standard,
            Self::Proven => SuiteId::Proven,
        }
    }

    /// The profile of a suite; `None` for a suite that this verifier does not verify.
    pub fn of_suite(suite: SuiteId) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.suite() == suite)
    }

    /// Number of the profile in a proof's header.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Standard => 1,
            Self::Proven => 2,
        }
    }
}

/// `log2` of the rows of the smallest and the largest table of a batch.
pub const BATCH_LOG_ROWS: std::ops::RangeInclusive<usize> = 3..=12;

/// `log2` of the slots of the smallest and the largest table of a payload.
pub const PAYLOAD_LOG_SLOTS: std::ops::RangeInclusive<usize> = 2..=6;

/// `log2` of the rows of the smallest and the largest table of clauses.
pub const CLAUSES_LOG_ROWS: std::ops::RangeInclusive<usize> = 6..=12;

/// One parameter set.
///
/// The rate of the code is `degree_bound / 2^log_domain`: a polynomial has at most `degree_bound` coefficients and
/// is committed by its values on `2^log_domain` points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    pub profile: Profile,
    /// `log2` of the number of points that polynomials are committed on.
    pub log_domain: usize,
    /// Most coefficients of a committed polynomial.
    pub degree_bound: usize,
    /// Random coefficients that hide each trace column.
    pub trace_masks: usize,
    /// Random coefficients that hide each chunk of the quotient.
    pub quotient_masks: usize,
    /// Positions at which commitments are opened.
    pub queries: usize,
    /// Zero bits that a prover must find before it learns the positions.
    pub grinding_bits: u32,
    /// `log2` of the folding factor of each round; none: the combined polynomial is sent as it is.
    pub folds: &'static [usize],
}

impl Parameters {
    /// Parameters of a proof about one event.
    pub const fn one_event(profile: Profile) -> Self {
        match profile {
            Profile::Standard => Self {
                profile,
                log_domain: 12,
                degree_bound: 128,
                trace_masks: 60,
                quotient_masks: 51,
                queries: 20,
                grinding_bits: 10,
                folds: &[],
            },
            Profile::Proven => Self {
                profile,
                log_domain: 13,
                degree_bound: 180,
                trace_masks: 90,
                quotient_masks: 80,
                queries: 35,
                grinding_bits: 16,
                folds: &[],
            },
        }
    }

    /// Parameters of a proof about a batch whose table has `2^log_rows` rows, [`BATCH_LOG_ROWS`] bounding them.
    ///
    /// The degree bound is little above the number of rows, not twice it: masks need no more room than the budget of
    /// section 7 asks for. Small tables are committed on a larger domain, where that room weighs more. Large ones of the
    /// standard suite have a rate near 1/8 and more queries: half the work of 1/16 for a fourth more bytes.
    pub const fn batch(profile: Profile, log_rows: usize) -> Self {
        let rows = 1 << log_rows;
        let (queries, grinding_bits, masks, room, log_domain) = match profile {
            Profile::Standard if log_rows <= 8 => (24, 12, 58, 64, log_rows + 5),
            Profile::Standard if log_rows == 9 => (25, 12, 60, 64, log_rows + 4),
            Profile::Standard => (33, 12, 76, 80, log_rows + 3),
            Profile::Proven if log_rows <= 10 => (45, 16, 100, 128, log_rows + 5),
            Profile::Proven => (45, 16, 100, 128, log_rows + 4),
        };
        let (smallest, log_smallest) = match profile {
            Profile::Standard => (128, 11),
            Profile::Proven => (256, 12),
        };
        Self {
            profile,
            log_domain: if log_domain < log_smallest { log_smallest } else { log_domain },
            degree_bound: if rows + room < smallest { smallest } else { rows + room },
            trace_masks: masks,
            quotient_masks: masks,
            queries,
            grinding_bits,
            folds: if log_rows < 9 {
                &[]
            } else if log_rows < 12 {
                &[3]
            } else {
                &[4]
            },
        }
    }

    /// Parameters of a proof about a payload whose table has `2^log_rows` rows.
    pub const fn payload(profile: Profile, log_rows: usize) -> Self {
        let rows = 1 << log_rows;
        let (queries, grinding_bits, trace_masks, quotient_masks, room, log_domain) = match profile {
            Profile::Standard if log_rows <= 8 => (24, 12, 68, 58, 80, log_rows + 5),
            Profile::Standard => (25, 12, 70, 60, 80, log_rows + 4),
            Profile::Proven if log_rows <= 10 => (45, 16, 110, 100, 128, log_rows + 5),
            Profile::Proven => (45, 16, 110, 100, 128, log_rows + 4),
        };
        Self {
            profile,
            log_domain,
            degree_bound: rows + room,
            trace_masks,
            quotient_masks,
            queries,
            grinding_bits,
            folds: if log_rows <= 8 { &[] } else { &[3] },
        }
    }

    /// Parameters of a proof about clauses whose table has `2^log_rows` rows, [`CLAUSES_LOG_ROWS`] bounding them.
    ///
    /// Every query opens 300 columns and more, so small tables have a low rate and few queries: a proof of 64 rows would be
    /// a fourth longer with the parameters of a batch.
    pub const fn clauses(profile: Profile, log_rows: usize) -> Self {
        let (queries, grinding_bits, log_blowup, room) = match (profile, log_rows) {
            (Profile::Standard, ..=7) => (16, 14, 7, 64),
            (Profile::Standard, 8 | 9) => (18, 12, 6, 80),
            (Profile::Standard, 10 | 11) => (20, 12, 5, 80),
            (Profile::Standard, _) => (24, 12, 4, 80),
            (Profile::Proven, ..=8) => (35, 16, 7, 128),
            (Profile::Proven, 9 | 10) => (40, 16, 6, 128),
            (Profile::Proven, 11) => (45, 16, 5, 128),
            (Profile::Proven, _) => (45, 16, 4, 128),
        };
        Self {
            profile,
            log_domain: log_rows + log_blowup,
            degree_bound: (1 << log_rows) + room,
            trace_masks: 2 * (queries + 10),
            quotient_masks: 2 * (queries + 5),
            queries,
            grinding_bits,
            folds: match log_rows {
                ..=8 => &[],
                9..=11 => &[3],
                _ => &[4],
            },
        }
    }

    /// Coefficients of the polynomial that is sent after the last fold.
    pub fn final_coefficients(&self) -> usize {
        self.degree_bound >> self.folds.iter().sum::<usize>()
    }
}
