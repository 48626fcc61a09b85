UPDATE public.risk_signals
SET
    routed_at = coalesce(routed_at, detected_at),
    escalated_at = coalesce(escalated_at, routed_at, detected_at) + interval '1 minute',
    handled_by = '值班主管'
WHERE id IN (
    SELECT id FROM (
        SELECT id FROM public.risk_signals
        ORDER BY detected_at DESC, id DESC LIMIT %(recent)s
    ) AS recent
    ORDER BY md5(id::text || %(seed)s::text)
    LIMIT %(rows)s
);
