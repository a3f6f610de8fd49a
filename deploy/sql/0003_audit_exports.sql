-- What was exported to the object store. A plan is written before the object, its result afterwards;
-- a plan without a result is finished by the next run with the very same bytes.
set role audit_owner;

create table if not exists audit.audit_exports (
  export_id bigint generated always as identity primary key,
  -- Of audit_events.seq, both included; the next export begins where this one ends.
  from_seq bigint not null unique check (from_seq > 0),
  to_seq bigint not null unique,
  events integer not null check (events > 0),
  bucket text not null,
  key text not null unique,
  -- Of the object.
  sha256 text not null check (sha256 ~ '^[0-9a-f]{64}$'),
  planned_at timestamptz not null default now(),
  check (to_seq >= from_seq)
);

create table if not exists audit.audit_export_results (
  export_id bigint primary key references audit.audit_exports,
  -- Empty when the object was there already: its version was not told.
  version_id text not null,
  stored_at timestamptz not null default now()
);

grant select on audit.audit_exports, audit.audit_export_results to audit_archiver, audit_reader;
grant insert (from_seq, to_seq, events, bucket, key, sha256) on audit.audit_exports
  to audit_archiver;
grant insert (export_id, version_id) on audit.audit_export_results to audit_archiver;

reset role;
