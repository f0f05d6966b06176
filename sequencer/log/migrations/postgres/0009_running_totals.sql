-- Documents: which event continued a running total that an earlier one committed to.

CREATE TABLE ves_running_totals (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
