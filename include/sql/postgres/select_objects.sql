-- The large objects that columns of the tables refer to, each with its content, of which not more is read than shows
-- that it is too large.
select
    m.oid as loid,
    lo_get(m.oid, 0, {most}) as data
from pg_largeobject_metadata as m
where m.oid in ({references})
