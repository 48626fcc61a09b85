-- No row if the role may not set it.
select set_config('event_triggers', {value}, false) as event_triggers
where has_parameter_privilege('event_triggers', 'set')
