-- Columns in order, each with what an exact restore needs and the name of its type's output function.
select
    a.attrelid::bigint as table_oid,
    a.attname as name,
    format_type(a.atttypid, a.atttypmod) as type,
    case when t.typnamespace = 'pg_catalog'::regnamespace then t.typname end as builtin,
    t.typname = 'oid' or (t.typtype = 'd' and t.typbasetype = 'oid'::regtype) as is_oid,
    output_schema.nspname as output_schema,
    output.proname as output_name,
    -- The function can take another type (a refcursor is written as text is), which it could not be called with.
    (output.proargtypes[0] = t.oid or t.typtype <> 'b' or argument.typtype = 'p') as output_fits,
    collation_schema.nspname || '.' || coll.collname as collation,
    coalesce(coll.collisdeterministic, true) as deterministic,
    exists(
        select 1 from pg_index as i
        where i.indrelid = a.attrelid and i.indkey[0] = a.attnum and i.indpred is null and i.indisvalid
    ) as indexed,
    a.attnotnull as not_null,
    nullif(a.attidentity::text, '') as identity,
    nullif(a.attgenerated::text, '') as generated,
    pg_get_expr(d.adbin, d.adrelid) as default_expression
from pg_attribute as a
inner join pg_type as t on a.atttypid = t.oid
inner join pg_proc as output on t.typoutput = output.oid
inner join pg_type as argument on output.proargtypes[0] = argument.oid
inner join pg_namespace as output_schema on output.pronamespace = output_schema.oid
left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
left join pg_collation as coll on a.attcollation = coll.oid and a.attcollation <> t.typcollation
left join pg_namespace as collation_schema on coll.collnamespace = collation_schema.oid
where a.attrelid = any(%(tables)s) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
