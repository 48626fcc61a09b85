-- The sequence that feeds a column, and the highest number in the rows that were put back.
select
    pg_get_serial_sequence({relation}, {column}) as sequence,
    (select max({key}) from {after})::bigint as highest
