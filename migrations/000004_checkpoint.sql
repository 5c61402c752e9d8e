-- The one checkpoint: every event up to `seq` is in accounts, and the cursors in hosts belong to
-- it. `writer` counts processes that took over, `revision` the writes of the present one: a write
-- of an older process, or one that was delayed beyond its successor, changes nothing.
CREATE TABLE checkpoint (
  seq bigint NOT NULL DEFAULT 0,
  writer bigint NOT NULL DEFAULT 0,
  revision bigint NOT NULL DEFAULT 0,
  written_at timestamptz NOT NULL DEFAULT now(),
  is_only boolean PRIMARY KEY DEFAULT true,
  CONSTRAINT checkpoint_is_only_check CHECK (is_only),
  CONSTRAINT checkpoint_seq_check CHECK (seq >= 0)
) WITH (fillfactor = 50);

INSERT INTO checkpoint DEFAULT VALUES;
