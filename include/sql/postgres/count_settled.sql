-- One scan gives, for each partition or child, the row counts and the tuple digests of the settled rows and of the
-- others: see count_tuples. Filters are faster here than a group for each.
select
    member,
    count(*) filter (where settled) as settled_rows,
    sum(tuple_hash) filter (where settled) as settled_tuples,
    count(*) filter (where not settled) as newer_rows,
    sum(tuple_hash) filter (where not settled) as newer_tuples
from (
    select
        {member} as member,
        {tuple_hash} as tuple_hash,
        ({range}) is true as settled
    from {table}
) as keyed
group by member
