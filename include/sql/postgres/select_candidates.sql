-- Tables that a snapshot could take, the largest first, each with the times by which its rows could be cut into parts:
-- columns that always have a value and with which an index begins.
select
    n.nspname as schema,
    c.relname as name,
    c.relkind = 'r' and c.oid in (select i.inhparent from pg_inherits as i) as has_children,
    has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable,
    row_security_active(c.oid) as row_security,
    case
        when c.relkind = 'p'
            then (select sum(pg_total_relation_size(member.relid)) from pg_partition_tree(c.oid) as member)
        else pg_total_relation_size(c.oid)
    end::bigint as bytes,
    greatest(c.reltuples, 0)::bigint as estimate,
    array(
        select distinct a.attname::text
        from pg_index as x
        inner join pg_attribute as a on x.indrelid = a.attrelid and x.indkey[0] = a.attnum
        where
            x.indrelid = c.oid and x.indisvalid and x.indpred is null and a.attnotnull
            and a.atttypid in ('timestamptz'::regtype, 'timestamp'::regtype, 'date'::regtype)
        order by a.attname::text
    ) as times
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where
    c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence <> 't'
    and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
    and not exists (
        select 1 from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
order by bytes desc, schema asc, name asc
