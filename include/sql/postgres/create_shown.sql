-- Keeps the difference that a person is shown: of rows that differ, the live values; of rows that are missing, those of
-- the snapshot. What is put back later is chosen from this alone.
create table {before} as
select
    false as mindguard_missing,
    {live_columns}
from {restored} as r
inner join {live} as l on {same_key}
where record_image_ne(row({live_image}), row({restored_image}))
union all
select
    true as mindguard_missing,
    {restored_columns}
from {restored} as r
where
    not exists (
        select 1 from {live} as l
        where {same_key}
    )
