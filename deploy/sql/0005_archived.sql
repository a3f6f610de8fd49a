-- What lies in the object store, for the keeper. The view runs with its owner's rights and shows places
-- in streams, so the keeper's role needs no right to read events.
set role audit_owner;

-- Exports are planned and finished in order, so everything below the newest finished one is stored.
create or replace view audit.archived as
select e.stream, e.stream_sequence, e.stored_at
from audit.audit_events e
where e.seq <= (
  select coalesce(max(x.to_seq), 0)
  from audit.audit_exports x
  join audit.audit_export_results r on r.export_id = x.export_id);

grant usage on schema audit to audit_keeper;
grant select on audit.archived to audit_keeper;

reset role;
