"""A store with faults, and a full disk: a snapshot ends whole or with one clear line, and no bytes are ever wrong."""

from __future__ import annotations

import re
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.connections import Connection, s3_client
from mindguard.errors import MindGuardError
from mindguard.settings.snapshot import RetentionSettings
from mindguard.snapshots import tempdisk
from mindguard.snapshots.export.exporter import PartMismatch
from mindguard.snapshots.restore.drill import DrillBroke, Unrestorable, drill, drill_stored
from mindguard.snapshots.restore.target import SnapshotAtFault
from mindguard.snapshots.restore.whole import rebuild
from mindguard.snapshots.retention.expire import expire_snapshots, kept_snapshots
from mindguard.snapshots.storage.catalog import list_snapshots, proven
from mindguard.snapshots.storage.s3_errors import StoreError
from mindguard.snapshots.storage.store import Store
from mindguard.snapshots.storage.verify import verify_snapshot
from mindguard.snapshots.tempdisk import DiskFull
from tests.integration.fault_proxy import Answer, Fault, Some, s3_proxy
from tests.integration.restoring import NOW, empty_database, fingerprints, take
from tests.stored_objects import damage
from tests.waiting import wait_until

TABLE = (
    "create table public.t (id int primary key, v text);"
    "insert into public.t select i, repeat(md5(i::text), 2) from generate_series(1, 40000) i;"
)
PARTS, MANIFEST, SCHEMA = ".parquet", ".json", ".dump"  # a listing asks for the beginning of a key alone

Behind = Callable[..., AbstractContextManager[Store]]


@pytest.fixture
def database(fresh_database: str) -> str:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(TABLE)
    return fresh_database


@pytest.fixture
def behind(stack: Stack, store: Store, backup_connection: Connection) -> Behind:
    """`behind(fault, attempts=2)`: the test's store through a proxy with the fault, tried so often in all."""

    @contextmanager
    def through(fault: Fault, attempts: int = 2) -> Iterator[Store]:
        with s3_proxy(stack.seaweedfs.endpoint, fault) as endpoint:
            # Two tries, for botocore's waits between them grow.
            kwargs = {**backup_connection.extra.get("config_kwargs", {}), "retries": {"total_max_attempts": attempts}}
            extra = {**backup_connection.extra, "endpoint_url": endpoint, "config_kwargs": kwargs}
            client = s3_client(replace(backup_connection, extra=extra))
            yield Store(client, bucket=store.bucket, prefix=store.prefix, sse="AES256")

    return through


def check_all_published(store: Store) -> int:
    """Every manifest in the store is over sound bytes; gives how many there are."""
    published = list_snapshots(store)
    for manifest in published:
        verify_snapshot(manifest, store).check()
        assert manifest.rows == 40_000
    return len(published)


PASSING: dict[str, Callable[[], Some]] = {
    "a part gets a 500": lambda: Some((500, "InternalError"), "PUT", PARTS, times=1),
    "the manifest gets a 503": lambda: Some((503, "SlowDown"), "PUT", MANIFEST, times=1),
    "a part is reset": lambda: Some("reset", "PUT", PARTS, times=1),
    "a part's answer is lost": lambda: Some("swallow", "PUT", PARTS, times=1),
    "the schema dump's answer is lost": lambda: Some("swallow", "PUT", SCHEMA, times=1),
    "the manifest's answer is lost": lambda: Some("swallow", "PUT", MANIFEST, times=1),
    "every answer to a part is lost": lambda: Some("swallow", "PUT", PARTS),
    "every answer to the schema dump is lost": lambda: Some("swallow", "PUT", SCHEMA),
    "every answer to the manifest is lost": lambda: Some("swallow", "PUT", MANIFEST),
    "another write of the manifest is under way": lambda: Some(
        (409, "ConditionalRequestConflict"), "PUT", MANIFEST, times=1
    ),
    "a listing is cut": lambda: Some("truncate", "GET", "list-type", times=1),
    "a part read back is cut": lambda: Some("truncate", "GET", PARTS, times=1),
    "a part read back is cut thrice": lambda: Some("truncate", "GET", PARTS, times=3),
    "a part read back is reset half-way": lambda: Some("break", "GET", PARTS, times=1),
    "a part read back comes short": lambda: Some("shorten", "GET", PARTS, times=1),
    "the schema dump read back comes short": lambda: Some("shorten", "GET", SCHEMA, times=1),
    "a part read back is altered on its way": lambda: Some("rot", "GET", PARTS, times=1),
}


@pytest.mark.parametrize("case", PASSING)
def test_a_fault_that_passes_is_got_over(case: str, database: str, store: Store, behind: Behind) -> None:
    fault = PASSING[case]()
    with behind(fault) as faulty:
        taken = take(database, faulty)
    assert fault.happened
    assert check_all_published(store) == 1
    (report,) = taken.tables.values()
    assert (report.parts_written, report.parts_reused) == (len(taken.manifest.parts), 0)


LASTING: dict[str, tuple[Callable[[], Some], type[MindGuardError], str]] = {
    "parts get 500s": (
        lambda: Some((500, "InternalError"), "PUT", PARTS, after=1),
        StoreError,
        r"cannot write .*parquet: InternalError .*run again",
    ),
    "the manifest gets 503s": (
        lambda: Some((503, "SlowDown"), "PUT", MANIFEST),
        StoreError,
        r"cannot write .*json: SlowDown .*run again",
    ),
    "parts are reset": (lambda: Some("reset", "PUT", PARTS), StoreError, r"cannot write .*check that the store is up"),
    "parts read back are cut": (lambda: Some("truncate", "GET", PARTS), StoreError, r"cannot read "),
    "parts read back come short": (
        lambda: Some("shorten", "GET", PARTS),
        PartMismatch,
        r"the stored content is [\d,]+ bytes with SHA-256 [0-9a-f]{12}…, "
        r"expected [\d,]+ bytes with SHA-256 [0-9a-f]{12}… – nothing was published; run again$",
    ),
    "listings are not whole": (lambda: Some("shorten", "GET", "list-type"), StoreError, r"cannot list s3://"),
}


@pytest.mark.parametrize("case", LASTING)
def test_a_fault_that_lasts_is_named_and_the_next_run_succeeds(
    case: str, database: str, store: Store, behind: Behind
) -> None:
    fault, error, says = LASTING[case]
    with behind(fault()) as faulty, pytest.raises(error, match=says) as caught:
        take(database, faulty)
    assert "\n" not in str(caught.value)
    assert store.manifest_keys() == []
    take(database, store)
    assert check_all_published(store) == 1


@pytest.mark.parametrize(
    ("method", "within", "after"),
    [("PUT", PARTS, 1), ("GET", PARTS, 0), ("PUT", MANIFEST, 0)],
)
def test_credentials_that_expire_in_a_run_are_named_and_the_next_run_goes_on_from_there(
    method: str, within: str, after: int, database: str, store: Store, behind: Behind
) -> None:
    fault = Some((403, "ExpiredToken"), method, within, after=after)
    with behind(fault) as faulty, pytest.raises(StoreError, match="renew the credentials of the backup connection"):
        take(database, faulty)
    assert store.manifest_keys() == []
    # The run does not wait for a request that was on its way when another one failed.
    wait_until(lambda: set(store.keys("parts/")), 30, "no part arrived")
    stored = set(store.keys("parts/"))
    again = take(database, store)
    assert stored <= {part.key for part in again.manifest.parts}
    assert check_all_published(store) == 1


def test_what_an_unfinished_run_left_is_looked_up_and_reused(database: str, store: Store, behind: Behind) -> None:
    with behind(Some((403, "ExpiredToken"), "PUT", MANIFEST)) as faulty, pytest.raises(StoreError):
        take(database, faulty)
    with (
        behind(Some((500, ""), "HEAD", PARTS)) as faulty,
        pytest.raises(StoreError, match=r"cannot look up .*: 500 .*run again"),
    ):
        take(database, faulty)
    passing = Some("reset", "HEAD", PARTS, times=1)
    with behind(passing) as faulty:
        again = take(database, faulty)
    assert passing.happened
    assert again.tables["public.t"].parts_written == 0
    assert check_all_published(store) == 1


def test_parts_are_found_by_one_listing(database: str, store: Store, behind: Behind) -> None:
    """A request for each would be most of what an unchanged day costs."""
    take(database, store)
    alone = Some((500, ""), "HEAD", PARTS), Some((500, ""), "GET", PARTS)
    for fault in alone:
        with behind(fault) as faulty:
            assert take(database, faulty).tables["public.t"].parts_written == 0
        assert not fault.happened


def test_a_part_that_rots_before_it_is_published_is_written_anew_by_the_run_after(
    database: str, store: Store, behind: Behind
) -> None:
    with behind(Some((403, "ExpiredToken"), "PUT", MANIFEST)) as faulty, pytest.raises(StoreError):
        take(database, faulty)
    rotted = store.keys("parts/")[0]
    damage(store, rotted, lambda body: b"rot" + body[3:])
    with pytest.raises(PartMismatch, match=re.escape(rotted)):
        take(database, store)
    again = take(database, store)
    assert (again.tables["public.t"].parts_written, rotted in {part.key for part in again.manifest.parts}) == (1, False)
    assert check_all_published(store) == 1


@pytest.mark.parametrize("how", ["truncate", "break", "shorten", "rot"])
def test_verify_calls_nothing_damaged_that_one_bad_read_made_so(
    how: Answer, database: str, store: Store, behind: Behind
) -> None:
    manifest = take(database, store).manifest
    for within in (PARTS, SCHEMA):
        with behind(Some(how, "GET", within, times=1)) as faulty:
            verify_snapshot(manifest, faulty).check()
    assert store.keys("damaged/") == []


@pytest.mark.parametrize("how", ["truncate", (500, "InternalError")])
def test_verify_that_cannot_read_gives_no_verdict(how: Answer, database: str, store: Store, behind: Behind) -> None:
    manifest = take(database, store).manifest
    with behind(Some(how, "GET", PARTS)) as faulty, pytest.raises(StoreError, match="cannot read"):
        verify_snapshot(manifest, faulty)
    assert store.keys("damaged/") == []


def test_an_object_that_alone_is_not_given_back_is_damaged(
    database: str, store: Store, behind: Behind, stack: Stack
) -> None:
    """So SeaweedFS answers, after ten seconds or more, for an object whose bytes have changed in its volume file."""
    manifest = take(database, store).manifest
    key = manifest.parts[0].key
    with behind(Some((500, "InternalError"), "GET", key)) as faulty:
        (fault,) = verify_snapshot(manifest, faulty).faults
        refusal = f"public.t: the store does not return {key}, although it returns others"
        assert fault.startswith(f"{refusal}: cannot read {key}: InternalError")
        with pytest.raises(Unrestorable, match="the store does not return"):
            drill(manifest, faulty, stack.postgres_conninfo("mindguard_drill"), now=NOW)
        again = take(database, faulty)
        assert again.tables["public.t"].parts_written == 1
        verify_snapshot(again.manifest, faulty).check()


@pytest.mark.parametrize(
    ("how", "within"),
    [
        ("break", PARTS),
        ("shorten", PARTS),
        ("rot", PARTS),
        ("truncate", SCHEMA),
        ("rot", MANIFEST),
        ("shorten", MANIFEST),
    ],
)
def test_a_drill_over_one_bad_read_proves_the_snapshot(
    how: Answer, within: str, database: str, store: Store, behind: Behind, stack: Stack
) -> None:
    take(database, store)
    fault = Some(how, "GET", within, times=1)
    with behind(fault) as faulty:
        drill_stored("latest", faulty, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    assert fault.happened
    assert len(proven(store)) == 1


def test_an_object_that_rotted_under_its_checksum_is_damaged(
    database: str, store: Store, behind: Behind, stack: Stack
) -> None:
    manifest = take(database, store).manifest
    scratch = stack.postgres_conninfo("mindguard_drill")
    for within, rotted in ((PARTS, manifest.parts), (SCHEMA, [manifest.schema_dump])):
        with behind(Some("rot", "GET", within)) as faulty:
            assert len(verify_snapshot(manifest, faulty).faults) == len(rotted)
            with pytest.raises(Unrestorable, match="the manifest says"):
                drill(manifest, faulty, scratch, now=NOW)
            with empty_database(stack) as empty, pytest.raises(SnapshotAtFault, match="the manifest says"):
                rebuild(manifest, faulty, empty)
        assert set(store.keys("damaged/")) >= {store.layout.damage_key(each.key) for each in rotted}
    again = take(database, store)
    assert not {each.key for each in again.manifest.objects} & {each.key for each in manifest.objects}
    old = store.manifest_keys()
    with behind(lambda method, path, _: "rot" if method == "GET" and path.endswith(tuple(old)) else None) as faulty:
        with pytest.raises(Unrestorable, match="the store's own checksum differs"):
            drill_stored("latest", faulty, scratch, now=NOW)
        # It must not keep the next snapshot from being taken, which nothing can be compared with.
        (reason,) = take(database, faulty).manifest.quarantined_for
        assert "cannot be compared" in reason
        assert [each.quarantined for each in kept_snapshots(faulty)] == [True] * 3
    assert proven(store) == {}


@pytest.mark.parametrize("fault", [Some("truncate", "GET", PARTS), Some((403, "ExpiredToken"), "GET", PARTS, after=1)])
def test_a_drill_or_rebuild_that_cannot_read_is_not_the_snapshots_fault(
    fault: Some, database: str, store: Store, behind: Behind, stack: Stack
) -> None:
    manifest = take(database, store).manifest
    with behind(fault) as faulty:
        with pytest.raises(DrillBroke, match=r"says nothing about the snapshot: public\.t: cannot read"):
            drill(manifest, faulty, stack.postgres_conninfo("mindguard_drill"), now=NOW)
        with empty_database(stack) as empty, pytest.raises(StoreError, match="cannot read"):
            rebuild(manifest, faulty, empty)
    assert proven(store) == {}
    with empty_database(stack) as empty:
        rebuild(manifest, store, empty)
        assert fingerprints(empty, "public.t") == fingerprints(database, "public.t")


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """No file may grow over so many bytes: the system refuses the write, as a full disk does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (after, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_is_named_wherever_it_is_met(database: str, store: Store, stack: Stack) -> None:
    with full_disk(50_000), pytest.raises(DiskFull, match=r"no room .*TMPDIR"):
        take(database, store)
    assert store.manifest_keys() == []
    manifest = take(database, store).manifest
    with full_disk(50_000), pytest.raises(DiskFull, match=r"no room .*TMPDIR"):
        verify_snapshot(manifest, store)
    for size in (100, 50_000):  # the schema dump's, and a part's
        with full_disk(size), pytest.raises(DrillBroke, match=r"no room .*TMPDIR"):
            drill(manifest, store, stack.postgres_conninfo("mindguard_drill"), now=NOW)
        with empty_database(stack) as empty, full_disk(size), pytest.raises(DiskFull, match=r"no room .*TMPDIR"):
            rebuild(manifest, store, empty)
    assert store.keys("damaged/") == []
    verify_snapshot(manifest, store).check()


def test_a_disk_that_is_full_from_the_beginning_is_named(
    database: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then Python finds no temporary folder at all, for it tries each by writing."""
    monkeypatch.setattr(tempdisk.tempfile, "tempdir", None)
    with full_disk(0), pytest.raises(DiskFull, match="TMPDIR"):
        take(database, store, progress=lambda line: None)  # pytest keeps what is printed in a file


def test_the_schema_dump_needs_no_disk(database: str, store: Store) -> None:
    with psycopg.connect(database) as connection:
        connection.execute("delete from t where id > 10")
        connection.execute("do $$ begin execute format('comment on table t is %L', repeat('x', 200000)); end $$")
    with full_disk(100_000):
        taken = take(database, store)
    verify_snapshot(taken.manifest, store).check()
    assert taken.manifest.schema_dump.bytes > 200_000


@pytest.mark.parametrize("number", range(6))
def test_a_page_instead_of_a_listing_deletes_nothing(number: int, database: str, store: Store, behind: Behind) -> None:
    """Each listing of an expiry in turn is answered by a login page with status 200, which is not an empty bucket."""
    take(database, store)
    before = set(store.keys())
    rules = RetentionSettings().model_copy(update={"grace_hours": 0})
    newest = max(each.written_at for each in store.listing())
    wait_until(lambda: store.clock() > newest + timedelta(seconds=1), 10, "the store's clock stands still")
    fault = Some("page", "GET", "list-type", after=number, times=1)
    with behind(fault) as faulty, pytest.raises(MindGuardError, match="page of HTML"):
        expire_snapshots(faulty, rules, now=store.clock(), apply=True).check()
    assert set(store.keys()) == before
    assert check_all_published(store) == 1
