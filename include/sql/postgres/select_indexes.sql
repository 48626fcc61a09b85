-- Statements that create the keys and indexes of this table on another table, under the same names.
select
    case
        when k.oid is not null
            then format('alter table %s add constraint %I %s', {relation}, k.conname, pg_get_constraintdef(k.oid))
        else
            format(
                'create %sindex %I on %s%s',
                case when i.indisunique then 'unique ' else '' end, c.relname, {relation},
                -- The part of the definition that follows the table's name.
                substr(
                    pg_get_indexdef(i.indexrelid),
                    length(format(
                        'CREATE %sINDEX %I ON %s%s',
                        case when i.indisunique then 'UNIQUE ' else '' end, c.relname,
                        case when c.relkind = 'I' then 'ONLY ' else '' end, i.indrelid::regclass
                    )) + 1
                )
            )
    end as step,
    c.relname as name,
    array(
        select pg_get_indexdef(i.indexrelid, number, true)
        from generate_series(1, i.indnkeyatts) as number
    ) as keys,
    pg_get_expr(i.indpred, i.indrelid) as predicate,
    -- Of an exclusion constraint, one for each key.
    array(
        select format('operator(%I.%s)', n.nspname, o.oprname)
        from unnest(k.conexclop) with ordinality as excluding (operator_oid, number)
        inner join pg_operator as o on excluding.operator_oid = o.oid
        inner join pg_namespace as n on o.oprnamespace = n.oid
        order by excluding.number
    ) as operators
from pg_index as i
inner join pg_class as c on i.indexrelid = c.oid
left join pg_constraint as k
    on i.indexrelid = k.conindid and i.indrelid = k.conrelid and k.contype in ('p', 'u', 'x')
where i.indrelid = {oid} and i.indisvalid
order by k.oid is null, c.relname
