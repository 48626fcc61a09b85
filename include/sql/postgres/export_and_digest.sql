-- noqa: disable=AM09
-- The rows of a part, each with the two digests of its values, which the reader sums: see fingerprint_parts.
select
    {columns},
    hash_record_extended(row(int8send(hash_record_extended(row({values}), 1))), 1) as digest_1,
    hash_record_extended(row(int8send(hash_record_extended(row({values}), 2))), 2) as digest_2
from (
    select {read}
    from {table}
    where {range}
    -- Keeps the planner from merging this subquery into the outer query, where each text would be made three times.
    offset 0
) as read_once
