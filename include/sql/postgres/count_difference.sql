-- Pairs the rows of the restored and the live table by key and compares them byte by byte, so 1.10 differs from 1.1.
with restored as (
    select
        {key},
        row({columns}) as mindguard_image,
        true as mindguard_present
    from {table}
),

live as (
    select
        {key},
        row({columns}) as mindguard_image,
        true as mindguard_present
    from {live}
    where {range}
)

select
    count(*) filter (where live.mindguard_present is null) as only_restored,
    count(*) filter (where restored.mindguard_present is null) as only_live,
    count(*) filter (where record_image_ne(restored.mindguard_image, live.mindguard_image)) as changed,
    count(*) filter (where record_image_eq(restored.mindguard_image, live.mindguard_image)) as equal
from restored
full join live using ({key}) -- noqa: ST07
