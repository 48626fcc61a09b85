-- Whether an incident with one of these recovery keys is still open. The index of unresolved keys makes it cheap.
select exists(
    select 1
    from mindguard.incidents
    where
        recovery_key = any(%(keys)s)
        and state <> 'resolved'
) as unresolved
