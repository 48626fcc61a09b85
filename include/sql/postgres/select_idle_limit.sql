-- Whether sessions of this role may be idle for ever by default; this session has a setting of its own.
select s.reset_val = '0' as unlimited
from pg_settings as s
where s.name = 'idle_session_timeout'
