-- One scan gives, for each part and each partition or child that has rows in it, the row count and the tuple digest. Of
-- the values, it reads the key alone; where values can be long, on request their lengths.
-- The transaction's number is hashed before it is summed: otherwise one transaction that replaces rows of two others
-- could leave the sum as it was.
select
    part,
    member,
    count(*) as row_count,
    sum(tuple_hash) as tuples,
    {largest_row} as largest_row
from (
    select
        {part} as part,
        {member} as member,
        {tuple_hash} as tuple_hash,
        {row_bytes} as bytes,
        -- See fingerprint_parts. Without it, the planner takes each key for a part of its own.
        pg_is_in_recovery() as barrier
    from {table}
    where {range}
) as keyed
group by part, member
order by part
