-- Documents: receivers of webhooks with their secrets, and what became of deliveries to them.

CREATE TABLE webhook_endpoints (key BLOB PRIMARY KEY NOT NULL, text TEXT NOT NULL, content BLOB NOT NULL) STRICT;
CREATE TABLE webhook_deliveries (key BLOB PRIMARY KEY NOT NULL, text TEXT NOT NULL, content BLOB NOT NULL) STRICT;
