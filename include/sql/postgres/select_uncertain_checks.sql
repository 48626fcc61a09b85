-- Checks that a restored row can fail although it passed in the source: their result rests on more than the row,
-- because they call a function of the application, or one that looks at the clock, at settings or at the catalog.
-- Functions below 16384 came with the server. Children come first: a parent's check merges with a child's.
select
    k.conname as name,
    pg_get_constraintdef(k.oid) as definition,
    k.convalidated as validated,
    obj_description(k.oid, 'pg_constraint') as comment,
    case when k.contypid = 0 then 'table' else 'domain' end as kind,
    case when k.contypid = 0 then k.conrelid::regclass::text else format_type(k.contypid, null) end as owner,
    pg_get_expr(k.conbin, k.conrelid) as expression
from pg_constraint as k
inner join pg_namespace as n on k.connamespace = n.oid
where
    k.contype = 'c' and k.conislocal and n.nspname not in ('pg_catalog', 'information_schema')
    and (
        k.conbin::text ~ '\{{(SQLVALUEFUNCTION|COERCEVIAIO|COERCETODOMAIN|NEXTVALUEEXPR) '
        or exists (
            select 1
            from regexp_matches(k.conbin::text, ':(?:funcid|opfuncid) (\d+)', 'g') as called (numbers)
            left join pg_proc as p on p.oid = called.numbers[1]::oid
            where called.numbers[1] <> '0' and (p.oid is null or p.oid >= 16384 or p.provolatile <> 'i')
        )
    )
    and not exists (
        select 1 from pg_depend as d
        where
            d.deptype = 'e'
            and (
                (d.classid = 'pg_class'::regclass and d.objid = k.conrelid)
                or (d.classid = 'pg_type'::regclass and d.objid = k.contypid)
            )
    )
order by k.coninhcount = 0, k.oid
