-- What waits of one entity, however much waits of others: a present state asks for it each time.
CREATE INDEX outbox_open_by_entity ON outbox (entity_type, entity_id) WHERE state IN (0, 1);
