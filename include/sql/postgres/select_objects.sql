-- The large objects that columns of the tables refer to, each with its whole content.
select
    m.oid as loid,
    lo_get(m.oid) as data
from pg_largeobject_metadata as m
where m.oid in ({references})
