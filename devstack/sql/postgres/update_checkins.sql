UPDATE public.checkins
SET
    note = coalesce(note, '') || '（补充：现在好一些了）',
    updated_at = greatest(updated_at, created_at) + interval '1 minute'
WHERE id IN (
    SELECT id FROM (
        SELECT id FROM public.checkins
        ORDER BY created_at DESC, id DESC LIMIT %(recent)s
    ) AS recent
    ORDER BY devstack.unit(id, %(seed)s)
    LIMIT %(rows)s
);
