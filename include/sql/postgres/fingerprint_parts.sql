-- One scan of the table gives, for each part and each partition or child that has rows in it, the row count, the value
-- digest, the tuple digest, whether a time is out of Parquet's range, and the bytes of the largest row.
-- The digest of a row is hashed a second time before it is summed: hash_record_extended is linear in its columns, so
-- otherwise the sum would not change if two rows swapped their values in one column.
select
    part,
    member,
    count(*) as row_count,
    coalesce(sum(hash_record_extended(row(int8send(hash_record_extended(row_value, 1))), 1)), 0) as sum_1,
    coalesce(sum(hash_record_extended(row(int8send(hash_record_extended(row_value, 2))), 2)), 0) as sum_2,
    sum(tuple_hash) as tuples,
    coalesce(bool_or(time_out_of_range), false) as times_as_text,
    max(bytes) as largest_row
from (
    select
        {part} as part,
        {member} as member,
        row({values}) as row_value,
        {time_out_of_range} as time_out_of_range,
        {row_bytes} as bytes,
        {tuple_hash} as tuple_hash,
        -- A volatile column keeps the planner from merging this subquery into the outer query, where each row would
        -- be turned into text twice, once for each seed. Unlike OFFSET 0, it allows a parallel scan, and this function
        -- costs a third of what clock_timestamp does.
        pg_is_in_recovery() as barrier
    from {table}
    where {range}
) as keyed
group by part, member
order by part
