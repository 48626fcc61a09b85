-- Seconds that the oldest unrouted risk signal has waited; 0 if no signal waits. Signals older than the look-back are
-- for people to handle. An index on detected_at where routed_at is null keeps the query cheap, however long the
-- look-back is; with an index on detected_at alone, the query reads all signals of the look-back.
select
    coalesce(extract(epoch from now() - min(detected_at)), 0) as value,
    case when count(*) > 0 then count(*) || ' waiting' end as note
from public.risk_signals
where
    routed_at is null
    and detected_at <= now()
    and detected_at > now() - make_interval(hours => %(look_back_h)s)
