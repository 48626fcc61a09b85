-- One row if an ascending sequence stands before a position.
select s.last_value
from {sequence} as s
inner join pg_sequence as p on p.seqrelid = {label}::regclass
where
    p.seqincrement > 0 and not p.seqcycle
    and (s.last_value < {value} or (s.last_value = {value} and {called} and not s.is_called))
