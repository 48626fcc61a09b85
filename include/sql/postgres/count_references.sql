-- Large objects that a column of object identifiers refers to. Reading their list needs no right to read themselves.
select count(distinct m.oid) as objects
from pg_largeobject_metadata as m
where m.oid in (
    select {column}::oid from {table}
)
