-- The signed statements that contradict one another, as JSON, where a fault is about such.
ALTER TABLE faults ADD COLUMN evidence TEXT;
