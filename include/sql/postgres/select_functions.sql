-- The functions of these names (schema and name, separated by a space) that have no search path of their own.
-- noqa: disable=RF02
select p.oid::regprocedure::text as function
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where
    n.nspname || ' ' || p.proname = any({names}::text[]) and p.prokind = 'f'
    and not coalesce(array_to_string(p.proconfig, ' ') like '%search_path=%', false)
