UPDATE public.behavior_tasks
SET
    status = 'completed',
    started_at = coalesce(started_at, created_at),
    completed_at = coalesce(completed_at, created_at + interval '10 minutes'),
    reward_points = reward_points + 0.01
WHERE id IN (
    SELECT id FROM (
        SELECT id FROM public.behavior_tasks
        ORDER BY created_at DESC, id DESC LIMIT %(recent)s
    ) AS recent
    ORDER BY devstack.unit(id, %(seed)s)
    LIMIT %(rows)s
);
