-- Large objects that the tables refer to and this session's role may not read. pg_read_all_data does not cover them.
select count(*) as objects
from pg_largeobject_metadata as m
where
    m.oid in ({references})
    and current_setting('lo_compat_privileges') = 'off'
    and not pg_has_role(m.lomowner, 'usage')
    and not exists (
        select 1 from aclexplode(m.lomacl) as g
        where
            g.privilege_type = 'SELECT'
            and case when g.grantee = 0 then true else pg_has_role(g.grantee, 'usage') end
    )
