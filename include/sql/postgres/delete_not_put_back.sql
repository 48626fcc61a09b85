-- What was not put back needs no reversal.
delete from {before} as b
where
    not exists (
        select 1 from {after} as r
        where {shown_key}
    )
