-- Sequences of the database whose position this role may not read; members of extensions do not count.
select format('%I.%I', n.nspname, s.relname) as name
from pg_class as s
inner join pg_namespace as n on s.relnamespace = n.oid
where
    -- The function fails for what is no sequence, and conditions are evaluated in any order.
    case s.relkind when 'S' then not has_sequence_privilege(s.oid, 'select') else false end
    and s.relpersistence <> 't'
    and not exists (
        select 1 from pg_depend as member
        where member.classid = 'pg_class'::regclass and member.objid = s.oid and member.deptype = 'e'
    )
order by name
