-- The ledger: one row per message of every stage but the raw one. Identifiers, hashes and counts;
-- never log lines, model text, object contents or credentials.
create schema if not exists audit authorization audit_owner;

set role audit_owner;

create table if not exists audit.audit_events (
  -- The order of recording. Has gaps: a repeated insert uses up a number.
  seq bigint generated always as identity primary key,
  -- A UUID of version 5 over stream, sequence and time of storage: a redelivery has the same.
  id uuid not null unique,
  event_type text not null check (event_type ~ '^[a-z_]{1,40}$'),
  -- For events of the system itself the identity of the service.
  user_id text not null check (length(user_id) <= 255),
  -- For events of the system itself the incident.
  session_id text not null check (length(session_id) <= 255),
  "timestamp" timestamptz not null,
  agent_version text not null check (length(agent_version) <= 128),
  -- What a person asked; null for events of the system itself.
  user_message text,
  -- [{"tool", "inputs_hash", "result_hash"}]
  tool_calls jsonb not null default '[]' check (jsonb_typeof(tool_calls) = 'array'),
  response_hash text check (response_hash ~ '^[0-9a-f]{64}$'),
  namespace text check (length(namespace) <= 63),
  ip_address inet,
  failure_reason text check (length(failure_reason) <= 512),
  latency_ms bigint check (latency_ms >= 0),
  token_count bigint check (token_count >= 0),
  stage text not null check (stage ~ '^[a-z]{1,20}$'),
  step text not null check (length(step) <= 512),
  subject text not null check (length(subject) <= 512),
  stream text not null check (length(stream) <= 64),
  stream_sequence bigint not null check (stream_sequence > 0),
  -- When the stream stored the message. A stream that was lost and made anew counts from 1 again,
  -- so the sequence alone does not name a message.
  stored_at timestamptz not null,
  -- SHA-256 of the message, which binds the row to it.
  payload_hash text not null check (payload_hash ~ '^[0-9a-f]{64}$'),
  recorded_at timestamptz not null default now(),
  unique (stream, stream_sequence, stored_at)
);

create index if not exists audit_events_session on audit.audit_events (session_id, seq);

-- The highest seq below which nothing is still being inserted, so that an export up to it misses
-- nothing: numbers are handed out before commit, and transactions commit in any order. SHARE mode
-- waits for the inserts that are under way and holds up new ones for the moment that this takes; it
-- needs rights that the archiver must not have, hence a function of the owner's. Rejected: xmin and
-- transaction ids as the watermark, which mean nothing after a dump and restore; an advisory lock,
-- which works only while every writer remembers to take it.
create or replace function audit.archive_horizon() returns bigint
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
  set lock_timeout = '10s'
as $$
declare
  horizon bigint;
begin
  lock table audit.audit_events in share mode;
  select coalesce(max(seq), 0) into horizon from audit.audit_events;
  return horizon;
end
$$;

revoke all on function audit.archive_horizon() from public;
grant execute on function audit.archive_horizon() to audit_archiver;

grant usage on schema audit to audit_ingest, audit_archiver, audit_reader;
-- Not seq and not recorded_at: a writer can choose neither its place nor its time.
grant insert (
  id, event_type, user_id, session_id, "timestamp", agent_version, tool_calls, response_hash,
  namespace, failure_reason, latency_ms, token_count, stage, step, subject, stream,
  stream_sequence, stored_at, payload_hash
) on audit.audit_events to audit_ingest;
grant select on audit.audit_events to audit_archiver, audit_reader;

reset role;
