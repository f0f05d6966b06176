-- Documents: which event continued a running total that an earlier one committed to.

CREATE TABLE ves_running_totals (key BLOB PRIMARY KEY NOT NULL, text TEXT NOT NULL, content BLOB NOT NULL) STRICT;
