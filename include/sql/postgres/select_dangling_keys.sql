-- Foreign keys of these tables that refer to a table outside of them, or outside of their partitions and children.
with recursive held as (
    select requested.oid as member
    from unnest(%(tables)s::oid[]) as requested (oid)
    union
    select i.inhrelid as member
    from held
    inner join pg_inherits as i on held.member = i.inhparent
)

select
    c.conname as name,
    c.conrelid::regclass::text as relation,
    c.confrelid::regclass::text as refers_to
from pg_constraint as c
where
    c.contype = 'f' and c.conparentid = 0
    and c.conrelid = any(%(tables)s)
    and c.confrelid not in (select held.member from held)
order by relation, name
