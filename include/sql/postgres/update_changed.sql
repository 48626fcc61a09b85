-- A row that has changed since the difference was shown stays as it is. If another session is just changing one, the
-- server waits for it and then compares what that has written.
with done as (
    update {live} as l
    set {assignments}
    from {restored} as r
    inner join {before} as b on {shown_key}
    where
        not b.mindguard_missing
        and {same_key}
        and record_image_eq(row({live_image}), row({before_image}))
    returning {live_columns}
)

insert into {after} ({names})
select {names}
from done
