-- Who sees some namespaces only is answered from these, not from the whole ledger. On a large ledger this takes
-- a while, in which rows wait in their streams.
set role audit_owner;

create index if not exists audit_events_namespace on audit.audit_events (namespace, seq);

reset role;
