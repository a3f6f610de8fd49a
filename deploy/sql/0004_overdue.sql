-- What waits for its next stage, for the sweeper. The view runs with its owner's rights and shows
-- identifiers and times, so the sweeper's role needs no right to read events.
set role audit_owner;

-- What the sweeper has told; a row is written when the stream has stored it, so that a crash in
-- between repeats a publish that the stream stores once.
create table if not exists audit.overdue (
  session_id text not null check (length(session_id) <= 255),
  awaited text not null check (awaited ~ '^[a-z]{1,20}$'),
  -- Of the message that nothing followed.
  step text not null check (length(step) <= 512),
  told_at timestamptz not null default now(),
  primary key (session_id, awaited, step)
);

create index if not exists audit_events_stage on audit.audit_events (stage, stored_at);

-- One row for every message that nothing followed and that was not told. Messages that were not
-- believed count neither as a question nor as an answer.
create or replace view audit.waiting as
select r.awaited, e.session_id, e.step, e.subject, e.stored_at
from (values
  -- what is awaited, after which stage, after which of its steps, in which stage; whether the end of
  -- the incident ends the waiting too
  ('evidence', 'detected', '^(open|reclassified-[0-9]+)$', 'redacted', true),
  ('diagnosis', 'redacted', '', 'diagnosed', true),
  ('decision', 'diagnosed', '', 'acted', true),
  ('change', 'acted', '^intended$', 'acted', false),
  ('verification', 'acted', '^applied$', 'acted', false),
  ('notice', 'acted', '^(proposed|applied|refused|verified|rolled-back|stuck)$', 'notified', false)
) as r (awaited, stage, steps, answer, has_end)
join audit.audit_events e on e.stage = r.stage and e.step ~ r.steps
where e.user_id <> 'unverified'
  and not exists (
    select from audit.audit_events a
    where a.session_id = e.session_id and a.stage = r.answer and a.user_id <> 'unverified'
      and case r.awaited
        -- A change is intended once in an incident, whatever diagnosis it rests on.
        when 'decision' then a.step = 'intended' or a.step =
          case e.step when 'open' then 'proposed' else 'proposed-' || e.step end
        when 'change' then a.step in ('applied', 'refused')
        when 'verification' then a.step in ('verified', 'rolled-back', 'stuck')
        -- <kind of notice>-<step>
        when 'notice' then right(a.step, length(e.step) + 1) = '-' || e.step
        else a.step = e.step
      end)
  and not (r.has_end and exists (
    select from audit.audit_events a
    where a.session_id = e.session_id and a.stage = 'detected' and a.step = 'resolved'
      and a.user_id <> 'unverified'))
  and not exists (
    select from audit.overdue o
    where o.session_id = e.session_id and o.awaited = r.awaited and o.step = e.step);

grant usage on schema audit to audit_sweeper;
grant select on audit.waiting to audit_sweeper;
grant insert (session_id, awaited, step) on audit.overdue to audit_sweeper;
grant select on audit.overdue to audit_reader;

reset role;
