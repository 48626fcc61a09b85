SELECT
    setval(
        pg_get_serial_sequence('public.checkins', 'id'),
        (SELECT greatest(max(id), 1) FROM public.checkins)
    ) AS last_checkin,
    setval(
        pg_get_serial_sequence('public.behavior_tasks', 'id'),
        (SELECT greatest(max(id), 1) FROM public.behavior_tasks)
    ) AS last_task;
