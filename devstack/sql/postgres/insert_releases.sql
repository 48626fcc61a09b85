-- One row a version; a later load moves them to where its events have them.
INSERT INTO public.releases (version, released_at, share)
SELECT * FROM unnest(%(versions)s::text[], %(released_at)s::timestamptz[], %(shares)s::numeric[])
ON CONFLICT (version) DO UPDATE SET released_at = excluded.released_at, share = excluded.share
