-- Releases of the mini-program, as its release process would note them.
CREATE TABLE IF NOT EXISTS public.releases (
    version text PRIMARY KEY,
    released_at timestamptz NOT NULL,
    share numeric(3, 2) NOT NULL CHECK (share BETWEEN 0 AND 1),
    rolled_back boolean NOT NULL DEFAULT false,
    note text NOT NULL DEFAULT ''
)
