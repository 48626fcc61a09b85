select shobj_description(d.oid, 'pg_database') as comment
from pg_database as d
where d.datname = current_database()
