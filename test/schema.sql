CREATE TABLE accounts (
  id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  seq bigint NOT NULL,
  host_id integer NOT NULL,
  is_upstream_active boolean NOT NULL,
  did text COLLATE "C" NOT NULL,
  upstream_status text,
  local_status text,
  rev text COLLATE "C",
  commit_cid bytea,
  data_cid bytea,
  CONSTRAINT accounts_commit_cid_check CHECK ((length(commit_cid) = 36)),
  CONSTRAINT accounts_data_cid_check CHECK ((length(data_cid) = 36)),
  CONSTRAINT accounts_id_key UNIQUE (id),
  CONSTRAINT accounts_pkey PRIMARY KEY (did),
  CONSTRAINT accounts_seq_check CHECK ((seq >= 0))
) WITH (fillfactor=80, autovacuum_vacuum_scale_factor=0.05, autovacuum_analyze_scale_factor=0.05);

CREATE INDEX accounts_by_host ON public.accounts USING btree (host_id, id) WHERE (upstream_status IS DISTINCT FROM 'deleted'::text);

CREATE INDEX accounts_taken_down ON public.accounts USING btree (id) WHERE (local_status = 'takendown'::text);

CREATE TABLE checkpoint (
  seq bigint NOT NULL DEFAULT 0,
  writer bigint NOT NULL DEFAULT 0,
  revision bigint NOT NULL DEFAULT 0,
  written_at timestamp with time zone NOT NULL DEFAULT now(),
  is_only boolean NOT NULL DEFAULT true,
  CONSTRAINT checkpoint_is_only_check CHECK (is_only),
  CONSTRAINT checkpoint_pkey PRIMARY KEY (is_only),
  CONSTRAINT checkpoint_seq_check CHECK ((seq >= 0))
) WITH (fillfactor=50);

CREATE TABLE domain_bans (
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  domain text COLLATE "C" NOT NULL,
  CONSTRAINT domain_bans_domain_check CHECK (((length(domain) >= 1) AND (length(domain) <= 253))),
  CONSTRAINT domain_bans_pkey PRIMARY KEY (domain)
);

CREATE TABLE hosts (
  id integer NOT NULL GENERATED ALWAYS AS IDENTITY,
  failures integer NOT NULL DEFAULT 0,
  cursor bigint,
  replay_from bigint,
  account_limit bigint,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  last_connected_at timestamp with time zone,
  hostname text COLLATE "C" NOT NULL,
  status text NOT NULL DEFAULT 'active'::text,
  is_insecure boolean NOT NULL DEFAULT false,
  limits jsonb,
  is_lenient boolean NOT NULL DEFAULT false,
  CONSTRAINT hosts_account_limit_check CHECK ((account_limit >= 0)),
  CONSTRAINT hosts_cursor_check CHECK ((cursor >= 0)),
  CONSTRAINT hosts_hostname_check CHECK (((length(hostname) >= 1) AND (length(hostname) <= 253))),
  CONSTRAINT hosts_hostname_key UNIQUE (hostname),
  CONSTRAINT hosts_limits_check CHECK ((jsonb_typeof(limits) = 'object'::text)),
  CONSTRAINT hosts_pkey PRIMARY KEY (id),
  CONSTRAINT hosts_replay_from_check CHECK ((replay_from >= 0)),
  CONSTRAINT hosts_status_check CHECK ((status = ANY (ARRAY['active'::text, 'idle'::text, 'offline'::text, 'throttled'::text, 'banned'::text])))
) WITH (fillfactor=50);

CREATE TABLE identities (
  resolved_ms bigint NOT NULL,
  is_stale boolean NOT NULL DEFAULT false,
  did text COLLATE "C" NOT NULL,
  state text NOT NULL,
  pds_host text,
  signing_key text,
  handle text,
  CONSTRAINT identities_pkey PRIMARY KEY (did)
) WITH (fillfactor=80, autovacuum_vacuum_scale_factor=0.05, autovacuum_analyze_scale_factor=0.05);

CREATE TABLE schema_migrations (
  id integer NOT NULL DEFAULT nextval('schema_migrations_id_seq'::regclass),
  name character varying(255) NOT NULL,
  run_on timestamp without time zone NOT NULL,
  CONSTRAINT schema_migrations_pkey PRIMARY KEY (id)
);
