-- The post-quantum parts of keys (VES-PQC-1). The classical key of 32 bytes is zero where a key has no such part.
ALTER TABLE agent_signing_keys ADD COLUMN ml_dsa_65 BLOB CHECK (length(ml_dsa_65) = 1952);

-- 2 is X25519, the only algorithm before this.
ALTER TABLE agent_encryption_keys ADD COLUMN key_algorithm INTEGER NOT NULL DEFAULT 2;
ALTER TABLE agent_encryption_keys ADD COLUMN ml_kem_768 BLOB CHECK (length(ml_kem_768) = 1184);
