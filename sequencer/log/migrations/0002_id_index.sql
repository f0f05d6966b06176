-- The derived index of ids in sorted runs. It may be deleted whole: it is read again from the events.

-- state: 0 being written, 1 published, 2 replaced or given up, its pages not yet removed.
CREATE TABLE ves_index_runs (
    run INTEGER PRIMARY KEY,
    state INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
    tier INTEGER NOT NULL,
    entries INTEGER NOT NULL,
    data_pages INTEGER NOT NULL,
    fence_pages INTEGER NOT NULL,
    filter_pages INTEGER NOT NULL
) STRICT;

-- page = run * 2^32 + number of the page in its run. A page's content fills one page of the file.
CREATE TABLE ves_index_pages (
    page INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

-- Up to which number the published runs hold the ids of a stream.
CREATE TABLE ves_index_covered (
    stream INTEGER PRIMARY KEY REFERENCES ves_streams,
    sequence_number INTEGER NOT NULL
) STRICT;
