-- Who writes the log. Only its newest epoch may.

CREATE TABLE sequencer_writer (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL,
    instance text NOT NULL,
    rest text,
    grpc text,
    -- The session it writes with.
    backend_pid integer,
    backend_start timestamptz,
    -- Whether that session also has the advisory lock, whose release tells of its end at once.
    holds_lock boolean NOT NULL,
    lease_ms bigint NOT NULL,
    -- Null: no one writes.
    renewed_at timestamptz
) WITH (fillfactor = 10);
INSERT INTO sequencer_writer (epoch, instance, holds_lock, lease_ms) VALUES (0, '', false, 0);

-- Refuses a writer whose epoch is over. It locks the row until its transaction ends, so that a take-over waits for
-- it; a look alone would see the epoch as it was when the statement began.
CREATE FUNCTION sequencer_fence(mine bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM sequencer_writer WHERE epoch = mine FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'epoch % is over', mine USING ERRCODE = 'SS001';
    END IF;
END
$$;
