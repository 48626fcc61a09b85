-- One scan gives, for each part and each partition or child that has rows in it, the row count, the tuple digest, and
-- on request whether a time is out of Parquet's range, and the bytes of the largest row. Without these two, it reads no
-- value but the key.
-- The transaction's number is hashed before it is summed: otherwise one transaction that replaces rows of two others
-- could leave the sum as it was.
select
    part,
    member,
    count(*) as row_count,
    sum(tuple_hash) as tuples,
    bool_or(time_out_of_range) as times_as_text,
    max(bytes) as largest_row
from (
    select
        {part} as part,
        {member} as member,
        {tuple_hash} as tuple_hash,
        {time_out_of_range} as time_out_of_range,
        {row_bytes} as bytes
    from {table}
    where {range}
) as keyed
group by part, member
order by part
