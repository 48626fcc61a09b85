-- Large objects to which no value in these columns refers. Reading their list needs no right to read them.
select count(*) as objects
from pg_largeobject_metadata as m
where m.oid not in (
    select found.object
    from (
        {references}
    ) as found (object)
    where found.object is not null
)
