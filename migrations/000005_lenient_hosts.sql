-- Hosts whose commits may come as they were before sync v1.1: an operator's decision.
ALTER TABLE hosts ADD COLUMN is_lenient boolean NOT NULL DEFAULT false;
