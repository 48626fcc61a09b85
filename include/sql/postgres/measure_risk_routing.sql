-- How long the oldest unrouted risk signal has waited; 0 while none does. Beyond the look-back it is a case for people.
-- An index on detected_at where routed_at is null makes it cheap however long the look-back is; one on detected_at
-- reads all signals of the look-back.
select
    coalesce(extract(epoch from now() - min(detected_at)), 0) as value,
    case when count(*) > 0 then count(*) || ' waiting' end as note
from public.risk_signals
where
    routed_at is null
    and detected_at <= now()
    and detected_at > now() - make_interval(hours => %(look_back_h)s)
