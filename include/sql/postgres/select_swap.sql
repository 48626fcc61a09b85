-- The statements that put a restored table in the place of a live one, in order. All of them are composed before the
-- first is executed, and they refer to tables by name, so what is created after the move belongs to the new table.
-- noqa: disable=AL03
with live as (
    select
        c.oid,
        c.relowner,
        c.relacl,
        n.nspname as schema,
        c.relname as name,
        c.oid::regclass::text as relation
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where c.oid = {oid}
),

identities as (
    select
        a.attname as name,
        old.oid,
        old.relname as old_name,
        pg_get_serial_sequence({relation}, a.attname) as new_sequence
    from pg_attribute as a
    inner join pg_depend as d
        on
            a.attrelid = d.refobjid and a.attnum = d.refobjsubid
            and d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype = 'i'
    inner join pg_class as old on d.objid = old.oid and old.relkind = 'S'
    where a.attrelid = {oid} and a.attidentity <> ''
),

renamed as (
    select
        'index' as kind,
        c.oid,
        c.relname::text as old_name
    from pg_index as i
    inner join pg_class as c on i.indexrelid = c.oid
    where i.indrelid = {oid}
    union all
    select
        'sequence' as kind,
        i.oid,
        i.old_name::text
    from identities as i
),

foreign_keys as (
    select
        k.conname as name,
        k.conrelid,
        k.conrelid::regclass as relation,
        pg_get_constraintdef(k.oid) as definition
    from pg_constraint as k
    where k.contype = 'f' and k.conparentid = 0 and {oid} in (k.conrelid, k.confrelid)
)

select
    steps.number,
    steps.step
from (
    select
        1 as number,
        format('alter table %s drop constraint %I', k.relation, k.name) as step
    from foreign_keys as k
    where k.conrelid = {oid} or k.conrelid <> all({together}::oid[])
    union all
    -- Rows written since the snapshot have used numbers of the live sequence, so the new one continues after both.
    select
        2,
        format(
            'select pg_catalog.setval(%L::regclass, greatest(o.last_value, n.last_value), o.is_called or n.is_called) '
            'from %s as o, %s as n',
            i.new_sequence, i.oid::regclass, i.new_sequence
        )
    from identities as i
    union all
    select
        3,
        format(
            'alter %s %s rename to %I', r.kind, r.oid::regclass,
            case
                when octet_length(r.old_name) <= {room} then r.old_name
                -- Names that are cut must not become equal. A character has up to four bytes.
                else left(r.old_name, ({room} - 9) / 4) || '_' || left(md5(r.old_name), 8)
            end || {suffix}
        )
    from renamed as r
    union all
    select
        4,
        format('alter table %s rename to %I', l.relation, {kept})
    from live as l
    union all
    -- The new owner of a table must have the right to create tables in the table's schema.
    select
        4,
        format('grant usage, create on schema %s to %I', c.relnamespace::regnamespace, pg_get_userbyid(l.relowner))
    from live as l
    inner join pg_class as c on c.oid = {relation}::regclass
    where l.relowner <> c.relowner
    union all
    -- The new sequence would otherwise meet one that fed the column before it became an identity.
    select
        5,
        format('alter sequence %s rename to %I', i.new_sequence, i.old_name)
    from identities as i
    where (parse_ident(i.new_sequence))[2] <> i.old_name
    union all
    select
        5,
        format('alter table %s owner to %I', {relation}, pg_get_userbyid(l.relowner))
    from live as l
    inner join pg_class as c on c.oid = {relation}::regclass
    where l.relowner <> c.relowner
    union all
    select
        6,
        format('alter table %s set schema %I', {relation}, l.schema)
    from live as l
    union all
    select
        7,
        format('alter sequence %s owned by %s.%I', s.oid::regclass, l.relation, a.attname)
    from live as l
    inner join pg_depend as d
        on l.oid = d.refobjid and d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass
    inner join pg_class as s on d.objid = s.oid and s.relkind = 'S'
    inner join pg_attribute as a on l.oid = a.attrelid and d.refobjsubid = a.attnum
    where d.deptype = 'a'
    union all
    select
        8,
        pg_get_triggerdef(t.oid)
    from pg_trigger as t
    where t.tgrelid = {oid} and not t.tgisinternal
    union all
    select
        9,
        format(
            'alter table %s %s trigger %I', l.relation,
            case t.tgenabled when 'D' then 'disable' when 'R' then 'enable replica' else 'enable always' end, t.tgname
        )
    from live as l
    inner join pg_trigger as t on l.oid = t.tgrelid
    where not t.tgisinternal and t.tgenabled <> 'O'
    union all
    select
        9,
        format(
            'grant %s on table %s to %s%s', g.privilege_type, l.relation,
            case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
            case when g.is_grantable then ' with grant option' else '' end
        )
    from live as l
    cross join lateral aclexplode(l.relacl) as g
    where g.grantee <> l.relowner
    union all
    select
        9,
        format(
            'grant %s (%I) on table %s to %s%s', g.privilege_type, a.attname, l.relation,
            case when g.grantee = 0 then 'public' else quote_ident(pg_get_userbyid(g.grantee)) end,
            case when g.is_grantable then ' with grant option' else '' end
        )
    from live as l
    inner join pg_attribute as a on l.oid = a.attrelid
    cross join lateral aclexplode(a.attacl) as g
    where not a.attisdropped
    union all
    select
        9,
        format('alter table %s set (%s)', l.relation, options.list)
    from live as l
    inner join pg_class as c on l.oid = c.oid
    left join pg_class as toast on c.reltoastrelid = toast.oid
    cross join
        lateral (
            select string_agg(format('%s = %L', o.name, o.value), ', ') as list
            from (
                select
                    option_name as name,
                    option_value as value
                from pg_options_to_table(c.reloptions)
                union all
                select
                    'toast.' || option_name as name,
                    option_value as value
                from pg_options_to_table(toast.reloptions)
            ) as o
        ) as options
    where options.list is not null
    union all
    select
        9,
        format(
            'alter table %s replica identity %s', l.relation,
            case c.relreplident
                when 'n' then 'nothing' when 'f' then 'full' else format('using index %I', identity_index.relname)
            end
        )
    from live as l
    inner join pg_class as c on l.oid = c.oid
    left join pg_index as x on l.oid = x.indrelid and x.indisreplident
    left join pg_class as identity_index on x.indexrelid = identity_index.oid
    where c.relreplident in ('n', 'f') or (c.relreplident = 'i' and identity_index.oid is not null)
    union all
    select
        10,
        format('alter table %s add constraint %I %s', k.relation, k.name, k.definition)
    from foreign_keys as k
    where k.conrelid = {oid} or k.conrelid <> all({together}::oid[])
) as steps
order by steps.number, steps.step
