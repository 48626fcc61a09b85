-- One scan of the table gives each part's row count, its value digest and whether a time is out of Parquet's range.
-- The digest of a row is hashed once more before it is summed: hash_record_extended is linear in its columns, so
-- without that, swapping two rows' values in one column would leave the sum as it was.
select
    part,
    count(*) as row_count,
    coalesce(sum(hash_record_extended(row(int8send(hash_record_extended(row_value, 1))), 1)), 0) as sum_1,
    coalesce(sum(hash_record_extended(row(int8send(hash_record_extended(row_value, 2))), 2)), 0) as sum_2,
    coalesce(bool_or(time_out_of_range), false) as times_as_text
from (
    select
        {part} as part,
        row({values}) as row_value,
        {time_out_of_range} as time_out_of_range,
        -- A volatile column keeps the planner from merging this level into the outer one, where each row would be
        -- turned into text twice, once for each seed. Unlike OFFSET 0 it leaves the scan parallel.
        clock_timestamp() as barrier
    from {table}
    where {range}
) as keyed
group by part
order by part
