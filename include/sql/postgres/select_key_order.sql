-- How PostgreSQL orders the values of these columns: the operators of the type's default B-tree operator class, which
-- ORDER BY uses as well. A domain is ordered like its base type. No row for a type that has no order, for an array, or
-- for an alias of object identifiers (regclass), whose text depends on other objects.
with recursive keys as (
    select
        a.attrelid,
        a.attname,
        a.attcollation,
        a.atttypid as type_oid
    from unnest(%(tables)s::oid[], %(names)s::text[]) as requested (oid, name)
    inner join pg_attribute as a on requested.oid = a.attrelid and requested.name = a.attname
    union all
    select
        keys.attrelid,
        keys.attname,
        keys.attcollation,
        t.typbasetype as type_oid
    from keys
    inner join pg_type as t on keys.type_oid = t.oid and t.typtype = 'd'
)

select distinct on (keys.attrelid)
    keys.attrelid::bigint as table_oid,
    -- Without a modifier, so that nothing is cut off: format_type(oid, null) would spell char(20) as char(1).
    format_type(t.oid, -1) as type,
    less_schema.nspname as less_schema,
    less.oprname as less_name,
    at_least_schema.nspname as at_least_schema,
    at_least.oprname as at_least_name,
    collation_schema.nspname as collation_schema,
    coll.collname as collation_name
from keys
inner join pg_type as t
    on
        keys.type_oid = t.oid
        and t.typtype <> 'd' and t.typcategory <> 'A' and left(t.typname, 3) <> 'reg'
inner join pg_opclass as c
    on
        c.opcdefault
        and (
            t.oid = c.opcintype
            or c.opcintype = case t.typtype
                when 'e' then 'anyenum'::regtype
                when 'r' then 'anyrange'::regtype
                when 'm' then 'anymultirange'::regtype
                when 'c' then 'record'::regtype
            end
            or exists (
                select 1 from pg_cast as binary_cast
                where
                    binary_cast.castsource = t.oid and binary_cast.casttarget = c.opcintype
                    and binary_cast.castmethod = 'b' and binary_cast.castcontext = 'i'
            )
        )
inner join pg_am as m on c.opcmethod = m.oid and m.amname = 'btree'
inner join pg_type as ordered on c.opcintype = ordered.oid
inner join pg_amop as first
    on
        c.opcfamily = first.amopfamily and c.opcintype = first.amoplefttype
        and c.opcintype = first.amoprighttype and first.amopstrategy = 1
inner join pg_operator as less on first.amopopr = less.oid
inner join pg_namespace as less_schema on less.oprnamespace = less_schema.oid
inner join pg_amop as fourth
    on
        c.opcfamily = fourth.amopfamily and c.opcintype = fourth.amoplefttype
        and c.opcintype = fourth.amoprighttype and fourth.amopstrategy = 4
inner join pg_operator as at_least on fourth.amopopr = at_least.oid
inner join pg_namespace as at_least_schema on at_least.oprnamespace = at_least_schema.oid
left join pg_collation as coll on keys.attcollation = coll.oid and coll.collname <> 'default'
left join pg_namespace as collation_schema on coll.collnamespace = collation_schema.oid
order by keys.attrelid asc, c.opcintype = t.oid desc, ordered.typispreferred desc
