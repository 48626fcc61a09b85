update {live} as l
set {assignments}
from {after} as r
inner join {before} as b on {shown_key}
where
    not b.mindguard_missing
    and {same_key}
    and record_image_eq(row({live_image}), row({restored_image}))
