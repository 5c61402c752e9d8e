-- One row per account. `seq` is the log seq of the last event that the row contains; it alone
-- decides whether an update is newer. `id` is the order in which listRepos pages.
-- No foreign key to hosts: host rows are never deleted, and a flush must not fail for one.
CREATE TABLE accounts (
  id bigint NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
  seq bigint NOT NULL,
  host_id integer NOT NULL,
  is_upstream_active boolean NOT NULL,
  did text COLLATE "C" PRIMARY KEY,
  upstream_status text,
  local_status text,
  rev text COLLATE "C",
  commit_cid bytea,
  data_cid bytea,
  CONSTRAINT accounts_seq_check CHECK (seq >= 0),
  CONSTRAINT accounts_commit_cid_check CHECK (length(commit_cid) = 36),
  CONSTRAINT accounts_data_cid_check CHECK (length(data_cid) = 36)
) WITH (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.05
);

-- Counts per host are derived from this index. A host or a deletion changes seldom, so the
-- common update, a new rev, touches no index.
CREATE INDEX accounts_by_host ON accounts (host_id, id)
  WHERE upstream_status IS DISTINCT FROM 'deleted';

-- What the directory said of a DID. A row may exist before its account's, or without one.
CREATE TABLE identities (
  resolved_ms bigint NOT NULL,
  is_stale boolean NOT NULL DEFAULT false,
  did text COLLATE "C" PRIMARY KEY,
  state text NOT NULL,
  pds_host text,
  signing_key text,
  handle text
) WITH (
  fillfactor = 80,
  autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_analyze_scale_factor = 0.05
);
