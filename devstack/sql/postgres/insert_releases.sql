-- Each version has one row; a later load moves its time to where the events of that load show it.
INSERT INTO public.releases (version, released_at, share)
SELECT
    given.version,
    given.released_at,
    given.share
FROM
    unnest(%(versions)s::text[], %(released_at)s::timestamptz[], %(shares)s::numeric[])
        AS given (version, released_at, share)
ON CONFLICT (version) DO UPDATE SET released_at = excluded.released_at, share = excluded.share
