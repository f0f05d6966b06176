-- Runs now also hold the events of each entity in order. The index is derived: it is emptied here, and filled again
-- from the events. Numbers of runs are not reused, so that no page of an old run is taken for one of a new run.

DELETE FROM ves_index_covered;
UPDATE ves_index_runs SET state = 2;
