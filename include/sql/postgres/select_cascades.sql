-- The tables whose rows go or lose their reference when a row that they refer to is deleted.
select distinct k.conrelid::regclass::text as name
from pg_constraint as k
where k.contype = 'f' and k.confrelid = {oid} and k.conparentid = 0 and k.confdeltype in ('c', 'n', 'd')
order by name
