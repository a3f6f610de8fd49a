-- The roles of the ledger. They belong to the whole server; passwords are set by the installer.
do $$
declare
  wanted record;
begin
  for wanted in
    select * from (values
      ('audit_owner', 'nologin'),
      ('audit_ingest', 'login'),
      ('audit_archiver', 'login'),
      ('audit_sweeper', 'login'),
      ('audit_keeper', 'login'),
      ('audit_reader', 'login')
    ) as roles (name, login)
  loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
      begin
        execute format(
          'create role %I %s noinherit nosuperuser nocreatedb nocreaterole noreplication nobypassrls',
          wanted.name, wanted.login);
      exception
        -- Another database of the same server was being set up at the same time.
        when duplicate_object or unique_violation then null;
      end;
    end if;
  end loop;

  execute format('revoke all on database %I from public', current_database());
  execute format(
    'grant connect on database %I to audit_ingest, audit_archiver, audit_sweeper, audit_keeper,
     audit_reader',
    current_database());
end
$$;

revoke create on schema public from public;
