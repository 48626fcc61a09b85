ALTER TABLE public.checkins ADD PRIMARY KEY (id);
CREATE INDEX checkins_created_at ON public.checkins (created_at);
CREATE INDEX checkins_user ON public.checkins (user_id, created_at DESC) WHERE user_id IS NOT NULL;

ALTER TABLE public.behavior_tasks ADD PRIMARY KEY (id);
CREATE INDEX behavior_tasks_created_at ON public.behavior_tasks (created_at);
CREATE INDEX behavior_tasks_open ON public.behavior_tasks (user_id, due_on) WHERE status IN ('assigned', 'started');

ALTER TABLE public.risk_signals ADD PRIMARY KEY (id);
CREATE INDEX risk_signals_detected_at ON public.risk_signals (detected_at);
CREATE INDEX risk_signals_waiting ON public.risk_signals (level, detected_at) WHERE routed_at IS NULL;
