select obj_description({oid}, 'pg_class') as comment
