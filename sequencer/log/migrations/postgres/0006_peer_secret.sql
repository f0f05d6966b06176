-- What the writer believes its peers by: 32 random bytes of its process. Null: it believes no one.

ALTER TABLE sequencer_writer ADD COLUMN secret bytea;
