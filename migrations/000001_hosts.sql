-- Hosts we subscribe to. Rows are never deleted: a dormant host is a row and nothing else.
-- `cursor` is the last host seq that is durable in our log or finally rejected; NULL = none yet.
-- No index on a column that changes while a host runs, so that updates stay in their page (HOT).
CREATE TABLE hosts (
  id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
  failures integer NOT NULL DEFAULT 0,
  cursor bigint,
  -- The log may hold events of the host beyond its cursor, in records above this log seq: the host
  -- was not back yet when the last process ended. NULL = only above the checkpoint.
  replay_from bigint,
  -- Most accounts that are taken from the host; NULL = the configured default.
  account_limit bigint,
  created_at timestamptz NOT NULL DEFAULT now(),
  last_connected_at timestamptz,
  hostname text COLLATE "C" NOT NULL UNIQUE,
  status text NOT NULL DEFAULT 'active',
  is_insecure boolean NOT NULL DEFAULT false,
  -- Rates that differ from the formulae, by name; NULL = none.
  limits jsonb,
  CONSTRAINT hosts_hostname_check CHECK (length(hostname) BETWEEN 1 AND 253),
  CONSTRAINT hosts_status_check
    CHECK (status IN ('active', 'idle', 'offline', 'throttled', 'banned')),
  CONSTRAINT hosts_cursor_check CHECK (cursor >= 0),
  CONSTRAINT hosts_replay_from_check CHECK (replay_from >= 0),
  CONSTRAINT hosts_account_limit_check CHECK (account_limit >= 0),
  CONSTRAINT hosts_limits_check CHECK (jsonb_typeof(limits) = 'object')
) WITH (fillfactor = 50);
