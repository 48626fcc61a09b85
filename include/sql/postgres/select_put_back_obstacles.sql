-- What stands against putting rows back into a table, one line each; for a right that is missing, what grants it.
select
    found.what,
    found.remedy
from (
    select
        'it is no ordinary table' as what,
        null as remedy
    from pg_class as c
    where c.oid = {oid} and c.relkind not in ('r', 'p')
    union
    select
        format('rule %I is on it', r.rulename) as what,
        null as remedy
    from pg_rewrite as r
    where r.ev_class = {oid} and r.rulename <> '_RETURN'
    union
    select
        format('role %I lacks %s on it', current_user, needed.privilege) as what,
        format('GRANT %s ON %s TO %I', needed.privilege, c.oid::regclass, current_user) as remedy
    from pg_class as c
    cross join unnest({privileges}::text[]) as needed (privilege)
    where c.oid = {oid} and not has_table_privilege(c.oid, needed.privilege)
    union
    select
        'the live table has no unique index on its key of the snapshot' as what,
        null as remedy
    where
        not exists (
            select 1
            from pg_index as i
            where
                i.indrelid = {oid} and i.indisunique and i.indisvalid and i.indimmediate
                and i.indpred is null and i.indexprs is null
                and array(
                    select a.attname::text
                    from unnest(i.indkey::smallint[]) with ordinality as part (number, place)
                    inner join pg_attribute as a on a.attrelid = i.indrelid and part.number = a.attnum
                    where part.place <= i.indnkeyatts
                    order by a.attname::text
                ) = array(
                    select named.name
                    from unnest({names}::text[]) as named (name)
                    order by named.name
                )
        )
) as found
order by found.what
