-- Whether an incident that one of these keys would end is still open; the index of unresolved keys answers it.
select exists(
    select 1
    from mindguard.incidents
    where
        recovery_key = any(%(keys)s)
        and state <> 'resolved'
) as unresolved
