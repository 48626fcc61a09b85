-- Materialized views without rows, each with what decides whether a refresh fills it rightly. They are followed through
-- views, functions whose body the server knows, operators, partitions and children:
-- `view`: another materialized view without rows; `rows`: a table whose rows are not held; `security`: a table whose
-- policies may have hidden rows in the source; `function`: a function that can read anything.
with recursive held as (
    select c.oid
    from unnest(%(schemas)s::text[], %(relations)s::text[]) as requested (schema, name)
    inner join pg_namespace as n on requested.schema = n.nspname
    inner join pg_class as c on n.oid = c.relnamespace and requested.name = c.relname
),

-- Tables that have the rows of their children as their own.
whole as (
    select c.oid
    from unnest(%(whole_schemas)s::text[], %(whole_relations)s::text[]) as requested (schema, name)
    inner join pg_namespace as n on requested.schema = n.nspname
    inner join pg_class as c on n.oid = c.relnamespace and requested.name = c.relname
),

own as (
    select
        c.oid,
        c.relkind,
        c.relispopulated,
        c.relrowsecurity
    from pg_class as c
    where
        c.oid >= 16384 and c.relkind in ('r', 'p', 'f', 'm')
        and c.relnamespace <> 'information_schema'::regnamespace
        and not exists (
            select 1 from pg_depend as d
            where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
        )
),

unfilled as (
    select own.oid from own
    where own.relkind = 'm' and not own.relispopulated
),

reached as (
    select
        unfilled.oid as view_oid,
        'pg_class'::regclass::oid as catalog,
        unfilled.oid
    from unfilled
    union
    select
        reached.view_oid,
        needed.catalog,
        needed.oid
    from reached
    inner join lateral (
        select
            d.refclassid as catalog,
            d.refobjid as oid
        from pg_rewrite as r
        inner join pg_class as v on r.ev_class = v.oid
        inner join pg_depend as d on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
        where
            reached.catalog = 'pg_class'::regclass and reached.oid = v.oid
            and (v.relkind = 'v' or v.oid = reached.view_oid)
        union all
        select
            d.refclassid as catalog,
            d.refobjid as oid
        from pg_depend as d
        where
            reached.catalog in ('pg_proc'::regclass, 'pg_operator'::regclass)
            and reached.catalog = d.classid and reached.oid = d.objid
        union all
        select
            'pg_class'::regclass::oid as catalog,
            i.inhrelid as oid
        from pg_inherits as i
        where
            reached.catalog = 'pg_class'::regclass and reached.oid = i.inhparent
            and i.inhparent not in (select whole.oid from whole)
    ) as needed on true
),

decides as (
    select
        reached.view_oid,
        'view' as kind,
        reached.oid::regclass::text as name
    from reached
    inner join unfilled on reached.oid = unfilled.oid
    where reached.catalog = 'pg_class'::regclass and reached.oid <> reached.view_oid
    union all
    select
        reached.view_oid,
        case when own.relrowsecurity then 'security' else 'rows' end as kind,
        own.oid::regclass::text as name
    from reached
    inner join own on reached.oid = own.oid
    where
        reached.catalog = 'pg_class'::regclass and own.relkind::text = any(%(kinds)s)
        and (own.relrowsecurity or own.oid not in (select held.oid from held))
    union all
    select
        reached.view_oid,
        'function' as kind,
        p.oid::regprocedure::text as name
    from reached
    inner join pg_proc as p on reached.oid = p.oid
    left join pg_depend as member
        on p.oid = member.objid and member.classid = 'pg_proc'::regclass and member.deptype = 'e'
    where
        reached.catalog = 'pg_proc'::regclass and p.oid >= 16384 and p.prosqlbody is null and p.prokind <> 'a'
        and case
            when member.objid is not null then p.provolatile <> 'i'
            else exists (
                select 1 from own
                where own.relkind::text = any(%(kinds)s) and own.oid not in (select held.oid from held)
            )
        end
)

select
    unfilled.oid::regclass::text as view,
    array_agg(decides.kind order by decides.kind, decides.name) filter (where decides.kind is not null) as kinds,
    array_agg(decides.name order by decides.kind, decides.name) filter (where decides.kind is not null) as names
from unfilled
left join decides on unfilled.oid = decides.view_oid
group by unfilled.oid
order by view
