-- What the values of these tables' rows depend on although a change of it touches no row, as digests: for each
-- partition or child (`member`) what holds for its rows alone, and for the whole table (`member` is 0) the identity of
-- the database and of the types. `obstacle` names what makes rows comparable by their values alone: a table of another
-- access method than heap, whose xmin need not mean the same, or a type whose text depends on other objects or is made
-- by unknown code.
with recursive tree as (
    select
        requested.top,
        requested.member
    from unnest(%(tops)s::oid[], %(members)s::oid[]) as requested (top, member)
),

used as (
    select
        a.attrelid as top,
        a.atttypid as type
    from pg_attribute as a
    where a.attrelid = any(%(tables)s) and a.attnum > 0 and not a.attisdropped
    union
    select
        used.top,
        inside.type
    from used
    inner join pg_type as t on used.type = t.oid
    inner join lateral (
        select unnest(array[t.typelem, t.typbasetype]) as type
        union all
        select a.atttypid from pg_attribute as a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        union all
        select r.rngsubtype from pg_range as r
        where t.oid in (r.rngtypid, r.rngmultitypid)
    ) as inside on inside.type <> 0
),

types as (
    select
        used.top,
        t.oid,
        t.typtype,
        t.typrelid,
        format_type(t.oid, null) as name,
        t.typnamespace = 'pg_catalog'::regnamespace as builtin,
        -- An array has no code of its own: its elements are among the types as well.
        t.typtype = 'b' and t.typsubscript <> 'array_subscript_handler'::regproc as has_code,
        (
            select concat_ws(' ', e.extname, e.extversion, e.xmin)
            from pg_depend as d
            inner join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
            where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'
        ) as extension
    from used
    inner join pg_type as t on used.type = t.oid
),

facts as (
    select
        tree.top,
        tree.member,
        concat_ws(
            ' ', 'table', c.oid, c.relkind,
            -- Parts by physical position hold other rows as soon as a table is rewritten.
            case when tree.top = any(%(positioned)s::oid[]) then c.relfilenode end
        ) as fact,
        case
            when m.amname <> 'heap' then concat('table ', n.nspname, '.', c.relname, ' with access method ', m.amname)
        end as obstacle
    from tree
    inner join pg_class as c on tree.member = c.oid
    inner join pg_namespace as n on c.relnamespace = n.oid
    left join pg_am as m on c.relam = m.oid
    union all
    -- A column that was dropped and added again may have another default, which rows from before it came then have.
    select
        tree.top,
        tree.member,
        concat_ws(' ', 'column', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attcollation) as fact,
        null as obstacle
    from tree
    inner join pg_attribute as a on tree.member = a.attrelid and a.attnum > 0 and not a.attisdropped
    union all
    select
        types.top,
        0 as member,
        concat_ws(' ', 'type', types.oid, types.typtype, types.extension) as fact,
        case
            when
                (types.builtin and (left(types.name, 3) = 'reg' or types.name = 'aclitem'))
                or (types.has_code and not types.builtin and types.extension is null)
                then concat('type ', types.name)
        end as obstacle
    from types
    union all
    -- A label's xmin shows that it was renamed, whatever it is called now.
    select
        types.top,
        0 as member,
        concat_ws(' ', 'label', e.enumtypid, e.oid, e.xmin) as fact,
        null as obstacle
    from types
    inner join pg_enum as e on types.oid = e.enumtypid
    union all
    select
        types.top,
        0 as member,
        concat_ws(' ', 'attribute', types.oid, a.attnum, a.atttypid, a.attisdropped) as fact,
        null as obstacle
    from types
    inner join pg_attribute as a on types.typrelid = a.attrelid and a.attnum > 0
    where types.typtype = 'c'
    union all
    select
        requested.oid as top,
        0 as member,
        concat_ws(' ', 'database', d.oid) as fact,
        null as obstacle
    from unnest(%(tables)s::oid[]) as requested (oid)
    inner join pg_database as d on d.datname = current_database()
)

select
    top::bigint as table_oid,
    member::bigint as member,
    min(obstacle) as obstacle,
    encode(sha256(convert_to(string_agg(fact, ', ' order by fact collate "C"), 'UTF8')), 'hex') as state
from facts
group by top, member
