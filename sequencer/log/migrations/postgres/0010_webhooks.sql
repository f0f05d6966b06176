-- Documents: receivers of webhooks with their secrets, and what became of deliveries to them.

CREATE TABLE webhook_endpoints (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
CREATE TABLE webhook_deliveries (key bytea PRIMARY KEY, text text NOT NULL, content bytea NOT NULL);
