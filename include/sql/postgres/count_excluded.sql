-- Rows that an exclusion constraint does not allow beside another row of the table.
select count(*) as excluded
from (
    select
        ctid as place,
        {keys}
    from {table}
    where {condition}
) as one
where exists (
    select 1
    from (
        select
            ctid as place,
            {keys}
        from {table}
        where {condition}
    ) as other
    where one.place <> other.place and {pairs}
)
