-- Tables and sequences that pg_dump would have to lock or read, but this role may not. Members of extensions are left
-- out, because pg_dump does not dump them.
select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as relation
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    c.relkind in ('r', 'p', 'S')
    and c.relpersistence <> 't'
    and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    and c.oid not in (
        select d.objid from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.deptype = 'e'
    )
    and not (
        has_schema_privilege(n.oid, 'usage')
        and case c.relkind
            when 'S' then has_sequence_privilege(c.oid, 'select')
            else has_table_privilege(c.oid, 'select')
        end
    )
order by relation
