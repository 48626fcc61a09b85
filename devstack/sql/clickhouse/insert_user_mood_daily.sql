INSERT INTO mindguard.user_mood_daily (day, user_id, checkins)
SELECT
    toDate(event_time, 'Asia/Shanghai') AS day,
    user_id,
    count() AS checkins
FROM mindguard.events
WHERE event_name = 'checkin_submit' AND event_time > now() - INTERVAL 2 DAY
GROUP BY day, user_id
