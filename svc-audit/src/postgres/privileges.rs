//! Whether a database role may do what it must and nothing that it must not.

use sqlx::postgres::PgPool;
use sqlx::{FromRow, Row as _};

use super::{DatabaseError, failed};

/// What this process uses the database for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Inserts events.
    Ingest,
    /// Reads events and records exports.
    Archive,
    /// Reads what waits and records what was told.
    Sweep,
    /// Asks what is archived.
    Keep,
    /// Reads events.
    Read,
}

/// What the present role may do with one table; ownership and superuser count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromRow)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one column each of a query for privileges"
)]
pub struct Privileges {
    superuser: bool,
    /// Is the owner, or may become it.
    owner: bool,
    insert: bool,
    update: bool,
    delete: bool,
    truncate: bool,
    /// May add triggers, which could suppress or change rows.
    trigger: bool,
}

const EVENTS: &str = "audit.audit_events";
const EXPORTS: &str = "audit.audit_exports";
const OVERDUE: &str = "audit.overdue";
const RESULTS: &str = "audit.audit_export_results";

/// Table-level and column-level grants both count (PostgreSQL, "Access privilege inquiry functions").
const QUERY: &str = "\
    select r.rolsuper as superuser, \
      pg_has_role(current_user, c.relowner, 'MEMBER') as owner, \
      has_any_column_privilege(c.oid, 'INSERT') as insert, \
      has_any_column_privilege(c.oid, 'UPDATE') as update, \
      has_table_privilege(c.oid, 'DELETE') as delete, \
      has_table_privilege(c.oid, 'TRUNCATE') as truncate, \
      has_table_privilege(c.oid, 'TRIGGER') as trigger \
    from pg_catalog.pg_class c, pg_catalog.pg_roles r \
    where c.oid = to_regclass($1) and r.rolname = current_user";

impl Purpose {
    /// The tables, and whether the purpose needs to insert into them.
    const fn tables(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Ingest => &[(EVENTS, true)],
            Self::Read => &[(EVENTS, false)],
            Self::Keep => &[(EVENTS, false), (EXPORTS, false), (RESULTS, false)],
            Self::Sweep => &[(EVENTS, false), (OVERDUE, true)],
            Self::Archive => &[(EVENTS, false), (EXPORTS, true), (RESULTS, true)],
        }
    }
}

/// Refuses a role that could change what was recorded.
pub async fn check(pool: &PgPool, purpose: Purpose) -> Result<(), DatabaseError> {
    let role = sqlx::query("select current_user::text as role")
        .fetch_one(pool)
        .await
        .and_then(|row| row.try_get::<String, _>("role"))
        .map_err(failed("asking for the database role"))?;
    let mut violations = Vec::new();
    for (table, needs_insert) in purpose.tables() {
        let privileges: Option<Privileges> = sqlx::query_as(QUERY)
            .bind(table)
            .fetch_optional(pool)
            .await
            .map_err(failed("asking for the privileges of the database role"))?;
        let privileges = privileges.ok_or(DatabaseError::NoTable(table))?;
        let found = violations_of(privileges, *needs_insert);
        if !found.is_empty() {
            violations.push(format!("{} on {table}", found.join(", ")));
        }
    }
    if violations.is_empty() {
        Ok(())
    } else {
        Err(DatabaseError::Privileges {
            role,
            violations: violations.join("; "),
        })
    }
}

/// Every violation, not only the first.
fn violations_of(privileges: Privileges, needs_insert: bool) -> Vec<&'static str> {
    let must_not = [
        (privileges.superuser, "is a superuser"),
        (privileges.owner, "is or can become the owner"),
        (privileges.update, "may UPDATE"),
        (privileges.delete, "may DELETE"),
        (privileges.truncate, "may TRUNCATE"),
        (privileges.trigger, "may add triggers"),
        (privileges.insert && !needs_insert, "may INSERT"),
        (!privileges.insert && needs_insert, "may not INSERT"),
    ];
    must_not
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, text)| text)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_privileges_are_accepted() {
        let none = Privileges::default();
        let insert = Privileges {
            insert: true,
            ..none
        };
        let cases = [
            (insert, true, vec![]),
            (none, false, vec![]),
            (none, true, vec!["may not INSERT"]),
            (insert, false, vec!["may INSERT"]),
            (
                Privileges {
                    update: true,
                    ..insert
                },
                true,
                vec!["may UPDATE"],
            ),
            (
                Privileges {
                    delete: true,
                    truncate: true,
                    trigger: true,
                    ..insert
                },
                true,
                vec!["may DELETE", "may TRUNCATE", "may add triggers"],
            ),
            (
                Privileges {
                    owner: true,
                    ..none
                },
                false,
                vec!["is or can become the owner"],
            ),
            (
                Privileges {
                    superuser: true,
                    ..none
                },
                false,
                vec!["is a superuser"],
            ),
        ];
        for (privileges, needs_insert, expected) in cases {
            assert_eq!(
                violations_of(privileges, needs_insert),
                expected,
                "{privileges:?}"
            );
        }
    }
}
