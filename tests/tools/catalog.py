"""What a database's catalog says about its tables, in a form that compares with ==.

    python3 tests/tools/catalog.py URI URI

prints every difference between the two databases and ends with 1 when there is one. The api
suite uses catalog() and differences() to hold schema/sql/mlflow.sql against a database that
stock MLflow has made. Needs psycopg (which a stock server on PostgreSQL needs too).

Left out on purpose: OIDs, owners, privileges, and the attribute numbers that dropped columns have
used up: the order of the columns that exist is compared, the holes between them are not.
"""

import re
import sys

import psycopg

# The tables, sequences and functions of the schema, less those of MLflow's basic-auth application
# (it brings its own and may share the database).
AUTH_TABLES = {
    "alembic_version_auth", "experiment_permissions", "gateway_endpoint_permissions",
    "gateway_model_definition_permissions", "gateway_secret_permissions",
    "registered_model_permissions", "role_permissions", "roles", "scorer_permissions",
    "user_role_assignments", "users", "workspace_permissions",
}

# Each query gives rows (table, kind of thing, its name, what is compared...).
QUERIES = [
    # Relations themselves.
    """SELECT c.relname, 'relation', c.relname, c.relkind, c.relpersistence, c.relreplident,
              c.reloptions, c.relrowsecurity, a.amname
         FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam
        WHERE c.relnamespace = %(ns)s::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')""",
    # Columns, numbered without the holes.
    """SELECT c.relname, 'column', a.attname,
              row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum),
              format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
              a.attstorage, a.attcompression, co.collname, pg_get_expr(d.adbin, d.adrelid)
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
              LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
              LEFT JOIN pg_collation co ON co.oid = a.attcollation
        WHERE c.relnamespace = %(ns)s::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
              AND a.attnum > 0 AND NOT a.attisdropped""",
    # Primary and unique keys, checks, foreign keys.
    """SELECT c.relname, 'constraint', k.conname, k.contype, k.condeferrable, k.condeferred,
              k.convalidated, pg_get_constraintdef(k.oid)
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.connamespace = %(ns)s::regnamespace AND k.contype <> 'n'""",
    # Indexes, those behind constraints too.
    """SELECT c.relname, 'index', i.relname, x.indisunique, x.indisprimary, x.indisvalid,
              x.indisclustered, i.reloptions, pg_get_indexdef(x.indexrelid)
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
              JOIN pg_class c ON c.oid = x.indrelid
        WHERE c.relnamespace = %(ns)s::regnamespace""",
    # Statistics over expressions or several columns.
    """SELECT c.relname, 'statistics', s.stxname, pg_get_statisticsobjdef(s.oid)
         FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid
        WHERE c.relnamespace = %(ns)s::regnamespace""",
    # Triggers; those that foreign keys make for themselves are the constraint's business.
    """SELECT c.relname, 'trigger', t.tgname, t.tgenabled, pg_get_triggerdef(t.oid)
         FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        WHERE c.relnamespace = %(ns)s::regnamespace AND NOT t.tgisinternal""",
    # Sequences, and the column that each belongs to. last_value is data.
    """SELECT coalesce(o.relname, c.relname), 'sequence', c.relname, format_type(s.seqtypid, NULL),
              s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle, a.attname,
              d.deptype
         FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
              LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
                   AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
              LEFT JOIN pg_class o ON o.oid = d.refobjid
              LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
        WHERE c.relnamespace = %(ns)s::regnamespace""",
    # Functions, word for word.
    """SELECT '', 'function', p.proname, pg_get_functiondef(p.oid)
         FROM pg_proc p WHERE p.pronamespace = %(ns)s::regnamespace AND p.prokind = 'f'""",
    # Types of its own: enums, domains.
    """SELECT '', 'type', t.typname, t.typtype
         FROM pg_type t WHERE t.typnamespace = %(ns)s::regnamespace AND t.typtype IN ('e', 'd')""",
]


def plain_uri(uri):
    """SQLAlchemy's spelling (postgresql+psycopg://) as libpq's."""
    return re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", uri)


def catalog(uri, schema=None, with_auth=False):
    """{(table, kind, name): (what is compared...)} of one schema, the current one by default."""
    found = {}
    with psycopg.connect(plain_uri(uri)) as connection:
        if schema is None:
            schema = connection.execute("SELECT current_schema()").fetchone()[0]
        for query in QUERIES:
            for table, kind, name, *rest in connection.execute(query, {"ns": schema}):
                if table in AUTH_TABLES and not with_auth:
                    continue
                assert (table, kind, name) not in found, (table, kind, name)
                found[table, kind, name] = tuple(
                    tuple(value) if isinstance(value, list) else value for value in rest)
    return found


def tables(found):
    """The names of the tables in what catalog() gave."""
    return {name for _, kind, name in found if kind == "relation"}


def differences(left, right):
    """Lines of text, one for each thing that is not the same on both sides."""
    lines = []
    for key in sorted(left.keys() | right.keys()):
        a, b = left.get(key), right.get(key)
        if a != b:
            label = " ".join(part for part in key if part)
            lines.append(f"- {label}: {a}" if b is None else
                         f"+ {label}: {b}" if a is None else f"! {label}: {a} | {b}")
    return lines


def main(argv):
    if len(argv) != 3:
        sys.exit(f"usage: {argv[0]} URI URI")
    left, right = catalog(argv[1]), catalog(argv[2])
    lines = differences(left, right)
    for line in lines:
        print(line)
    print(f"{len(tables(left))} and {len(tables(right))} tables, {len(left)} and {len(right)} "
          f"things, {len(lines)} differences")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
