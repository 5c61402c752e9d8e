-- What operators decided. `id` is the order in which the admin interface pages.
CREATE TABLE takedowns (
  id bigint NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
  created_at timestamptz NOT NULL DEFAULT now(),
  did text COLLATE "C" PRIMARY KEY,
  reason text
);

-- A ban of a domain covers every host name below it.
CREATE TABLE domain_bans (
  created_at timestamptz NOT NULL DEFAULT now(),
  domain text COLLATE "C" PRIMARY KEY,
  CONSTRAINT domain_bans_domain_check CHECK (length(domain) BETWEEN 1 AND 253)
);
