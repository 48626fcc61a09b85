-- The sequence of a live table's identity column, and the name that PostgreSQL would give such a sequence by default.
-- The column can own another sequence, which fed it before it became an identity.
-- noqa: disable=RF02
select
    (
        select format('%I.%I', n.nspname, s.relname)
        from pg_attribute as a
        inner join pg_depend as d on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        inner join pg_class as s on d.objid = s.oid and s.relkind = 'S'
        inner join pg_namespace as n on s.relnamespace = n.oid
        where
            a.attrelid = to_regclass({table}) and a.attname = {column}
            and d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'i'
    ) as live,
    format('%s_%s_seq', {table}, {column}) as usual
