-- What a put-back has done, counted in its own transaction. A trigger can keep a row from being written, move it to
-- another key, or change its values.
with b as (
    select
        {key},
        mindguard_missing,
        row({columns}) as mindguard_image
    from {before}
),

a as (
    select
        {key},
        true as mindguard_there
    from {after}
),

l as (
    select
        {key},
        true as mindguard_there,
        row({columns}) as mindguard_image
    from {live}
),

r as (
    select
        {key},
        row({columns}) as mindguard_image
    from {restored}
)

select
    count(*) filter (where b.mindguard_missing and a.mindguard_there) as inserted,
    count(*) filter (where not b.mindguard_missing and a.mindguard_there) as overwritten,
    count(*) filter (where b.mindguard_missing and not coalesce(a.mindguard_there, false)) as appeared,
    count(*) filter (where not b.mindguard_missing and not coalesce(a.mindguard_there, false)) as changed_since,
    count(*) filter (where b.mindguard_missing and l.mindguard_there is null) as still_missing,
    count(*) filter (
        where
        not b.mindguard_missing
        and a.mindguard_there is null
        and record_image_eq(l.mindguard_image, b.mindguard_image)
    ) as not_written,
    count(*) filter (
        where a.mindguard_there and record_image_ne(l.mindguard_image, r.mindguard_image)
    ) as altered,
    (select count(*) from {after}) as written
from b
left join a using ({key}) -- noqa: ST07
left join l using ({key}) -- noqa: ST07
left join r using ({key}) -- noqa: ST07
