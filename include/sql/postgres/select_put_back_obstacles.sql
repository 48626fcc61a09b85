-- What stands against putting rows back into a table, one line each.
select found.what
from (
    select 'it is no ordinary table' as what
    from pg_class as c
    where c.oid = {oid} and c.relkind not in ('r', 'p')
    union
    select format('rule %I is on it', r.rulename)
    from pg_rewrite as r
    where r.ev_class = {oid} and r.rulename <> '_RETURN'
    union
    select 'the live table has no unique index on its key of the snapshot'
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
