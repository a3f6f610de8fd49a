-- What an incident is about and what was concluded, for who reads the ledger (`svc-audit serve`) and for
-- the archive: names and words of ours, like every column. They are null in rows from before.
set role audit_owner;

alter table audit.audit_events
  -- The root owner.
  add column if not exists object_name text check (length(object_name) <= 253),
  -- What was detected; the name of the enumeration's value without its prefix, in lower case.
  add column if not exists failure_class text check (failure_class ~ '^[a-z_]{1,40}$'),
  -- Of a diagnosis the stable name of the cause; of an end how it ended: recovered, gone.
  add column if not exists conclusion text check (length(conclusion) <= 64);

grant insert (object_name, failure_class, conclusion) on audit.audit_events to audit_ingest;

reset role;
