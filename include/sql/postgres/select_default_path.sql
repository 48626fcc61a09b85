-- The search_path that new sessions of this role have in this database.
select s.reset_val as search_path
from pg_settings as s
where s.name = 'search_path'
