-- Moves an ascending sequence to a position, unless it stands there or after it.
select setval(p.seqrelid, {value}, {called})
from {sequence} as s
inner join pg_sequence as p on p.seqrelid = {label}::regclass
where
    p.seqincrement > 0
    and (s.last_value < {value} or (s.last_value = {value} and {called} and not s.is_called))
