delete from {live} as l
using {after} as r
inner join {before} as b on {shown_key}
where
    b.mindguard_missing
    and {same_key}
    and record_image_eq(row({live_image}), row({restored_image}))
