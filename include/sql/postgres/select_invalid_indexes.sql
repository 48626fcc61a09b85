-- Partitioned indexes that are not valid although every partition has a valid index attached. One that lacks a part may
-- have been like that in the source.
select i.indexrelid::regclass::text as name
from pg_index as i
inner join pg_class as c on i.indexrelid = c.oid
where
    c.relkind = 'I' and not i.indisvalid
    and not exists (
        select 1 from pg_inherits as partition
        where
            partition.inhparent = i.indrelid
            and not exists (
                select 1
                from pg_inherits as attached
                inner join pg_index as part on attached.inhrelid = part.indexrelid
                where
                    attached.inhparent = i.indexrelid and part.indrelid = partition.inhrelid and part.indisvalid
            )
    )
order by name
