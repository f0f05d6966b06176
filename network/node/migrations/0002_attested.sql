-- 1: taken on the word of attesters, without what is behind it. 0: found valid here.
ALTER TABLE transactions ADD COLUMN vouched INTEGER NOT NULL DEFAULT 0 CHECK (vouched IN (0, 1));
CREATE INDEX transactions_vouched ON transactions (tx_id) WHERE vouched = 1;

-- Who may read a transaction and what is behind it without taking part: attesters that were asked.
CREATE TABLE readers (
    tx_id  BLOB NOT NULL,
    entity BLOB NOT NULL CHECK (length(entity) = 20),
    PRIMARY KEY (tx_id, entity)
) STRICT, WITHOUT ROWID;
