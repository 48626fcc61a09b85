-- Which of these tables refers to which other one.
select distinct
    k.conrelid::bigint as child,
    k.confrelid::bigint as parent
from pg_constraint as k
where
    k.contype = 'f' and k.conrelid = any({together}::oid[]) and k.confrelid = any({together}::oid[])
    and k.conrelid <> k.confrelid
