//! The worlds: how much of what happens in them.

/// What the scheduler may do next; the order of [`Profile::weights`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client sends a request.
    Send,
    /// A client sends again what got no answer.
    Retry,
    /// The network delivers one of the requests on their way.
    Deliver,
    /// The turn that fills is closed.
    Seal,
    /// The log answers for the turn that syncs.
    Sync,
    /// Batches due by size and age are made.
    CommitDue,
    /// A caller asks for a batch.
    CommitRange,
    /// Steps of a flush of recent ids into the index, or of a merge of its runs.
    Index,
    /// The engine forgets what the index has.
    Forget,
    /// An observer takes a checkpoint and a consistency proof.
    Observe,
    /// An agent takes its next key; the old one may be revoked.
    Rotate,
    /// Time passes, or is set back.
    Tick,
    /// The process is killed.
    Kill,
    /// The power fails.
    PowerLoss,
    /// The next sync fails.
    FailSync,
    /// The next write fails.
    FailWrite,
    /// The machine will stop inside one of its next operations on the disk.
    StopSoon,
    /// The disk fills up, or gets room again.
    Fill,
}

pub const ACTIONS: [Action; 18] = [
    Action::Send,
    Action::Retry,
    Action::Deliver,
    Action::Seal,
    Action::Sync,
    Action::CommitDue,
    Action::CommitRange,
    Action::Index,
    Action::Forget,
    Action::Observe,
    Action::Rotate,
    Action::Tick,
    Action::Kill,
    Action::PowerLoss,
    Action::FailSync,
    Action::FailWrite,
    Action::StopSoon,
    Action::Fill,
];

/// One kind of world.
#[derive(Debug, Clone)]
pub struct Profile {
    pub name: &'static str,
    pub about: &'static str,
    pub steps: u32,
    pub clients: usize,
    pub streams: usize,
    pub request_events_max: usize,
    /// New, replay of an answered event, retry of a waiting one, forged, bad signature, bad hash.
    pub event_weights: [u32; 6],
    /// An event stands twice in its request.
    pub repeat_percent: u32,
    /// The network delivers a request twice, or never; an answer never.
    pub copy_percent: u32,
    pub loss_percent: u32,
    pub commit_events_max: u32,
    /// Of the times that the clock is moved, those that set it ahead or back by up to a month.
    pub leap_percent: u32,
    /// In the order of [`ACTIONS`].
    pub weights: [u32; 18],
}

const CALM: Profile = Profile {
    name: "calm",
    about: "nothing fails: the plain path, and the yardstick of the others",
    steps: 260,
    clients: 2,
    streams: 2,
    request_events_max: 4,
    event_weights: [80, 5, 5, 0, 0, 0],
    repeat_percent: 0,
    copy_percent: 0,
    loss_percent: 0,
    commit_events_max: 16,
    leap_percent: 0,
    weights: [30, 4, 30, 20, 20, 6, 3, 4, 3, 4, 0, 6, 0, 0, 0, 0, 0, 0],
};

/// Every world, the harshest first.
pub const PROFILES: [Profile; 8] = [
    Profile {
        name: "sequencer",
        about: "everything at once: crashes, torn and lost writes, failed syncs, a full disk, repeats, forgeries",
        clients: 3,
        event_weights: [64, 10, 8, 4, 3, 3],
        repeat_percent: 5,
        copy_percent: 15,
        loss_percent: 10,
        weights: [30, 8, 30, 20, 20, 5, 3, 5, 4, 4, 1, 5, 2, 2, 2, 2, 3, 2],
        ..CALM
    },
    CALM,
    Profile {
        name: "crash",
        about: "the process is killed and the power fails, often inside a write, a sync or a recovery",
        loss_percent: 5,
        copy_percent: 5,
        weights: [30, 8, 30, 20, 20, 5, 3, 4, 3, 3, 0, 4, 5, 5, 0, 0, 10, 0],
        ..CALM
    },
    Profile {
        name: "failing-disk",
        about: "writes and syncs fail; nobody knows how far they came",
        weights: [30, 8, 30, 20, 20, 5, 3, 4, 3, 3, 0, 4, 0, 2, 8, 8, 0, 0],
        ..CALM
    },
    Profile {
        name: "full-disk",
        about: "the disk fills up in the middle of turns and batches; turns are taken back and tried again",
        weights: [30, 8, 30, 20, 20, 6, 3, 4, 3, 3, 1, 4, 0, 1, 0, 0, 0, 14],
        ..CALM
    },
    Profile {
        name: "duplicates",
        about: "requests come twice, late, in any order; ids are repeated, forged, forgotten and asked for again",
        clients: 4,
        streams: 1,
        event_weights: [40, 30, 15, 10, 5, 5],
        repeat_percent: 15,
        copy_percent: 50,
        loss_percent: 15,
        weights: [30, 15, 40, 15, 15, 4, 2, 10, 10, 2, 3, 4, 2, 1, 0, 0, 0, 1],
        ..CALM
    },
    Profile {
        name: "batches",
        about: "many small batches, asked for and due by age, while turns fail",
        streams: 3,
        request_events_max: 12,
        commit_events_max: 5,
        weights: [30, 4, 30, 20, 20, 20, 20, 3, 2, 15, 0, 15, 1, 1, 1, 1, 2, 3],
        ..CALM
    },
    Profile {
        name: "clock-steps",
        about: "the clock is set ahead and back by up to a month, while keys change and processes are killed",
        leap_percent: 40,
        commit_events_max: 8,
        weights: [30, 6, 30, 20, 20, 12, 3, 4, 3, 6, 3, 20, 3, 1, 0, 0, 0, 0],
        ..CALM
    },
];

/// The world of this name.
pub fn profile(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}
