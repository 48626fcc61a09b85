DROP TABLE IF EXISTS public.checkins, public.behavior_tasks, public.risk_signals;
DROP TYPE IF EXISTS public.mood, public.task_status, public.risk_level;
DROP FUNCTION IF EXISTS devstack.unit(bigint, bigint);
