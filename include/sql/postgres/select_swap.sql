-- The statements that put a restored table in the place of a live one, in order. All of them are composed before the
-- first is executed, and they refer to tables by name, so what is created after the move belongs to the new table.
-- noqa: disable=AL03,ST09
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

-- The table itself, and its indexes under their names after the swap.
objects as (
    select
        l.oid,
        l.name,
        'r' as relkind,
        c.reltablespace,
        format('table %s', l.relation) as object
    from live as l
    inner join pg_class as c on l.oid = c.oid
    union all
    select
        c.oid,
        c.relname,
        c.relkind,
        c.reltablespace,
        format('index %I.%I', l.schema, c.relname) as object
    from live as l
    inner join pg_index as i on l.oid = i.indrelid
    inner join pg_class as c on i.indexrelid = c.oid
    where i.indisvalid
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

listed as (
    select
        s.stxrelid as table_oid,
        n.nspname as schema,
        s.stxname as name,
        s.stxkind as kinds,
        s.stxstattarget as target,
        pg_get_statisticsobjdef_columns(s.oid) as columns,
        row_number() over (
            partition by s.stxrelid, s.stxkind, pg_get_statisticsobjdef_columns(s.oid)
            order by s.stxname
        ) as number
    from pg_statistic_ext as s
    inner join pg_namespace as n on s.stxnamespace = n.oid
    where s.stxrelid in ({oid}, {relation}::regclass)
),

-- Extended statistics of the live table, and those that were made like them, under names that PostgreSQL chose.
statistics as (
    select
        old.schema,
        old.name as old_name,
        old.target,
        new.schema as new_schema,
        new.name as new_name
    from listed as old
    inner join listed as new
        on old.kinds = new.kinds and old.columns = new.columns and old.number = new.number
    where old.table_oid = {oid} and new.table_oid = {relation}::regclass
),

renamed as (
    select
        'index' as kind,
        c.oid::regclass::text as object,
        c.relname::text as old_name
    from pg_index as i
    inner join pg_class as c on i.indexrelid = c.oid
    where i.indrelid = {oid}
    union all
    select
        'sequence' as kind,
        i.oid::regclass::text as object,
        i.old_name::text
    from identities as i
    union all
    select
        'statistics' as kind,
        format('%I.%I', s.schema, s.old_name) as object,
        s.old_name::text
    from statistics as s
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
            'alter %s %s rename to %I', r.kind, r.object,
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
        format('alter statistics %I.%I rename to %I', s.new_schema, s.new_name, s.old_name)
    from statistics as s
    where s.new_name <> s.old_name
    union all
    select
        8,
        format('alter statistics %I.%I set schema %I', s.new_schema, s.old_name, s.schema)
    from statistics as s
    union all
    select
        9,
        format('alter statistics %I.%I set statistics %s', s.schema, s.old_name, s.target)
    from statistics as s
    where s.target >= 0
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
        9,
        format('alter table %s set unlogged', l.relation)
    from live as l
    inner join pg_class as c on l.oid = c.oid
    where c.relpersistence = 'u'
    union all
    select
        9,
        format('alter %s set tablespace %I', own.object, space.spcname)
    from objects as own
    inner join pg_tablespace as space on own.reltablespace = space.oid
    union all
    select
        9,
        format(
            'alter %s alter column %s set statistics %s',
            own.object, case own.relkind when 'i' then a.attnum::text else quote_ident(a.attname) end, a.attstattarget
        )
    from objects as own
    inner join pg_attribute as a on own.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped and a.attstattarget >= 0
    union all
    select
        9,
        format('alter table %s alter column %I set (%s)', l.relation, a.attname, array_to_string(a.attoptions, ', '))
    from live as l
    inner join pg_attribute as a on l.oid = a.attrelid
    where a.attnum > 0 and not a.attisdropped and a.attoptions is not null
    union all
    select
        9,
        format('alter table %s cluster on %I', l.relation, own.name)
    from live as l
    inner join pg_index as mark on l.oid = mark.indrelid
    inner join objects as own on mark.indexrelid = own.oid
    where mark.indisclustered
    union all
    select
        11,
        format('comment on %s is %L', own.object, obj_description(own.oid, 'pg_class'))
    from objects as own
    where obj_description(own.oid, 'pg_class') is not null
    union all
    select
        11,
        format('comment on constraint %I on %s is %L', k.conname, l.relation, obj_description(k.oid, 'pg_constraint'))
    from live as l
    inner join pg_constraint as k on l.oid = k.conrelid
    where obj_description(k.oid, 'pg_constraint') is not null
    union all
    select
        11,
        format('comment on trigger %I on %s is %L', t.tgname, l.relation, obj_description(t.oid, 'pg_trigger'))
    from live as l
    inner join pg_trigger as t on l.oid = t.tgrelid
    where not t.tgisinternal and obj_description(t.oid, 'pg_trigger') is not null
    union all
    select
        10,
        format('alter table %s add constraint %I %s', k.relation, k.name, k.definition)
    from foreign_keys as k
    where k.conrelid = {oid} or k.conrelid <> all({together}::oid[])
) as steps
order by steps.number, steps.step
