-- The derived index of ids in sorted runs. It may be deleted whole: it is read again from the events.

-- state: 0 being written, 1 published, 2 replaced or given up, its pages not yet removed.
CREATE TABLE ves_index_runs (
    run bigint PRIMARY KEY,
    state smallint NOT NULL CHECK (state IN (0, 1, 2)),
    tier bigint NOT NULL,
    entries bigint NOT NULL,
    data_pages bigint NOT NULL,
    fence_pages bigint NOT NULL,
    filter_pages bigint NOT NULL
);

-- Pages are made to fill one page of the file, hashes that do not shrink: they stay whole, in their row.
CREATE TABLE ves_index_pages (
    run bigint NOT NULL,
    page bigint NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (run, page)
) WITH (toast_tuple_target = 8160);
ALTER TABLE ves_index_pages ALTER COLUMN content SET STORAGE EXTERNAL;

-- Up to which number the published runs hold the ids of a stream.
CREATE TABLE ves_index_covered (
    stream integer PRIMARY KEY,
    sequence_number bigint NOT NULL
);
