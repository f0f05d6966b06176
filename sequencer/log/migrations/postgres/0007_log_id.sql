-- Which log this is: a server that is said to be its replica and has another id is a replica of another log.

ALTER TABLE sequencer_writer ADD COLUMN log_id uuid NOT NULL DEFAULT gen_random_uuid();
