-- Large objects that a column of object identifiers refers to. Reading their list needs no right to read them.
select count(distinct found.object) as objects
from (
    select {column}::oid as object from {table}
) as found
where found.object in (
    select m.oid from pg_largeobject_metadata as m
)
