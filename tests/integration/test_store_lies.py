"""A store, or a proxy before it, whose answers are not true: nobody takes absence for a fact."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest

from devstack.stack import Stack
from mindguard.connections import Connection, s3_client
from mindguard.errors import MindGuardError
from mindguard.snapshots.export.take import publish
from mindguard.snapshots.restore.drill import DrillBroke, drill_stored
from mindguard.snapshots.retention.holds import hold, release
from mindguard.snapshots.retention.rules import ExpiryRefused
from mindguard.snapshots.storage.catalog import find_snapshot, list_snapshots, proven
from mindguard.snapshots.storage.layout import Layout
from mindguard.snapshots.storage.manifest import ManifestInvalid
from mindguard.snapshots.storage.s3_errors import NoAnswer, ObjectMissing, StoreError, StoreFault
from mindguard.snapshots.storage.store import Listed, Store
from mindguard.snapshots.storage.verify import note_damage, verify_snapshot
from tests.integration.expiring import EXPIRE, expire, three_snapshots
from tests.integration.fault_proxy import Answer, Fault, Some, s3_proxy
from tests.integration.restoring import NOW, ZONE, run, take
from tests.stored_objects import overwrite, remove

PARTS, MANIFEST, SCHEMA, PROOF, HOLD, NOTE = ".parquet", ".json", ".dump", ".proof.json", ".hold.json", "/damaged/"
FOREIGN = "is a proxy or a login page between this machine and the store"

Behind = Callable[..., AbstractContextManager[Store]]


@pytest.fixture
def database(fresh_database: str) -> str:
    with psycopg.connect(fresh_database) as connection:
        connection.execute(
            "create table public.t (id int primary key, v text);"
            "insert into public.t select i, repeat(md5(i::text), 2) from generate_series(1, 40000) i;"
        )
    return fresh_database


@pytest.fixture
def behind(stack: Stack, store: Store, backup_connection: Connection) -> Behind:
    """`behind(fault, attempts=2, **more)`: the test's store through a proxy with the fault."""

    @contextmanager
    def through(fault: Fault, attempts: int = 2, **more: Any) -> Iterator[Store]:
        with s3_proxy(stack.seaweedfs.endpoint, fault) as endpoint:
            kwargs = {**backup_connection.extra.get("config_kwargs", {}), "retries": {"total_max_attempts": attempts}}
            extra = {**backup_connection.extra, "endpoint_url": endpoint, "config_kwargs": kwargs}
            client = s3_client(replace(backup_connection, extra=extra))
            yield Store(client, bucket=store.bucket, prefix=store.prefix, sse="AES256", **more)

    return through


def without(pattern: str) -> Callable[[bytes], bytes]:
    """Let a listing leave out the keys that match."""

    def change(body: bytes) -> bytes:
        entries = rb"<Contents>(?:(?!</Contents>).)*</Contents>"
        return re.sub(entries, lambda found: b"" if re.search(pattern.encode(), found[0]) else found[0], body)

    return change


@pytest.mark.parametrize("how", ["page", "blank"])
@pytest.mark.parametrize("within", [PARTS, SCHEMA, MANIFEST])
def test_a_write_that_something_else_answers_publishes_nothing(
    how: Answer, within: str, database: str, store: Store, behind: Behind
) -> None:
    with behind(Some(how, "PUT", within)) as faulty, pytest.raises(NoAnswer, match=rf"cannot write .*{FOREIGN}"):
        take(database, faulty)
    assert store.manifest_keys() == []


@pytest.mark.parametrize("within", [PARTS, SCHEMA, MANIFEST])
def test_a_write_that_arrived_counts_whatever_the_answer(
    within: str, database: str, store: Store, behind: Behind
) -> None:
    with behind(Some("mask", "PUT", within)) as faulty:
        taken = take(database, faulty)
    assert list_snapshots(store) == [taken.manifest]
    verify_snapshot(taken.manifest, store).check()


@pytest.mark.parametrize("what", [MANIFEST, PROOF, HOLD, NOTE])
def test_what_is_written_is_read_back(what: str, database: str, store: Store, behind: Behind, stack: Stack) -> None:
    if what != MANIFEST:
        manifest = take(database, store).manifest
    with behind(Some("accept", "PUT", what)) as faulty:
        if what == NOTE:
            lines: list[str] = []
            note_damage(faulty, manifest.parts[0].key, "a fault", lines.append)
            assert re.search(r"could not be noted.*accepted .*/damaged/.* and does not have it", "".join(lines))
            return
        asked: dict[str, Callable[[], object]] = {
            MANIFEST: lambda: take(database, faulty),
            PROOF: lambda: drill_stored("latest", faulty, stack.postgres_conninfo("mindguard_drill"), now=NOW),
            HOLD: lambda: hold(faulty, "latest", reason="auditors", now=NOW),
        }
        with pytest.raises(MindGuardError, match=rf"the store accepted .*{re.escape(what)} and does not have it"):
            asked[what]()


@pytest.mark.parametrize("how", ["page", "blank"])
def test_an_answer_about_versions_that_is_none_stops_expiry(
    how: Answer, database: str, store: Store, behind: Behind
) -> None:
    """Else the bucket would seem to have no versions, and every delete would only hide an object."""
    take(database, store)
    before = set(store.keys())
    with behind(Some(how, "GET", "?versioning")) as faulty, pytest.raises(NoAnswer, match=f"keeps versions.*{FOREIGN}"):
        expire(faulty, store)
    assert set(store.keys()) == before


def test_without_the_right_to_ask_about_versions_nothing_expires(database: str, store: Store, behind: Behind) -> None:
    take(database, store)
    before = set(store.keys())
    denied = Some((403, "AccessDenied"), "GET", "?versioning")
    with behind(denied) as faulty, pytest.raises(StoreError, match="s3:GetBucketVersioning, which only expiry needs"):
        expire(faulty, store)
    assert set(store.keys()) == before


@pytest.mark.parametrize("how", ["page", "blank"])
def test_a_delete_that_something_else_answers_is_not_done(
    how: Answer, database: str, store: Store, behind: Behind
) -> None:
    take(database, store)
    orphan = store.layout.part_key("public.t", "a" * 40)
    store.create_small(orphan, b"rows of a run that failed")
    with behind(Some(how, "DELETE")) as faulty:
        expired = expire(faulty, store)
    assert (expired.objects, len(expired.faults)) == (0, 1)
    assert f"cannot delete {orphan}" in expired.faults[0]
    assert store.head(orphan)
    assert expire(store, store).objects == 1


@pytest.mark.parametrize("how", ["page", "blank", (404, "")])
@pytest.mark.parametrize("within", [PARTS, SCHEMA, MANIFEST])
def test_a_read_that_something_else_answers_says_nothing_about_the_snapshot(
    how: Answer, within: str, database: str, store: Store, behind: Behind, stack: Stack
) -> None:
    """A 404 of a store names the missing key; one that does not may be a load balancer's."""
    manifest = take(database, store).manifest
    with behind(Some(how, "GET", within)) as faulty:
        if within != MANIFEST:
            with pytest.raises(StoreError, match="cannot read"):
                verify_snapshot(manifest, faulty)
        with pytest.raises(DrillBroke, match=r"says nothing about the snapshot: (public\.t: )?cannot read"):
            drill_stored("latest", faulty, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    assert store.keys("damaged/") == []
    assert proven(store) == {}


@pytest.mark.parametrize("how", ["page", "blank"])
def test_a_lookup_that_something_else_answers_is_no_object(
    how: Answer, database: str, store: Store, behind: Behind
) -> None:
    taken = take(database, store)
    with behind(Some(how, "HEAD")) as faulty, pytest.raises(NoAnswer, match=rf"cannot look up .*{FOREIGN}"):
        faulty.head(taken.key)


def test_a_listing_is_never_missing(store: Store, behind: Behind) -> None:
    """Only an object can be missing; whoever takes a missing listing for that would go on."""
    with behind(Some((404, "NoSuchKey"), "GET", "list-type")) as faulty, pytest.raises(StoreError) as caught:
        faulty.listing()
    assert type(caught.value) is StoreError


def test_a_listing_that_breaks_off_is_not_whole(database: str, store: Store, behind: Behind) -> None:
    """boto3 ends without an error if an answer says that there is more, and not where."""
    take(database, store)
    broken = Some(lambda body: body.replace(b"<IsTruncated>false", b"<IsTruncated>true"), "GET")
    with behind(broken) as faulty:
        for ask in (faulty.listing, faulty.manifest_keys, faulty.uploads):
            with pytest.raises(StoreError, match="the listing breaks off"):
                ask()


def test_a_listing_that_does_not_say_whether_there_is_more_is_not_whole(
    database: str, store: Store, behind: Behind
) -> None:
    """boto3 takes everything but `true` for the end."""
    take(database, store)
    for said in (b"True", b"1", b""):
        changed = partial(re.sub, rb"<IsTruncated>[^<]*", b"<IsTruncated>" + said)
        odd = Some(changed, "GET", "list-type")
        with behind(odd) as faulty, pytest.raises(StoreError, match="does not say whether there is more"):
            faulty.listing()


def test_the_listing_of_another_folder_is_none_of_this_one(database: str, store: Store, behind: Behind) -> None:
    """A cache that ignores what was asked gives one. There would be no snapshot, and the next one the first."""
    taken = take(database, store).manifest
    renamed = Some(lambda body: body.replace(b"/snapshots/", b"/parts/"), "GET", "prefix=key-tables/snapshots/")
    with behind(renamed) as faulty:
        asked: list[Callable[[], object]] = [
            lambda: find_snapshot(faulty, "latest"),
            lambda: expire(faulty, store),
            lambda: take(database, faulty),
        ]
        for ask in asked:
            with pytest.raises(StoreError, match="the listing of something else than was asked for"):
                ask()
    assert list_snapshots(store) == [taken]


def test_a_manifest_under_the_key_of_another_is_not_taken_for_it(database: str, store: Store) -> None:
    """Else a restore would bring back other rows than were asked for, and expiry remove the parts of these."""
    taken = three_snapshots(database, store)
    parts, manifest = set(store.keys("parts/")), store.read(taken[2].key)
    overwrite(store, taken[2].key, store.read(taken[1].key))
    for snapshot_id in ("latest", taken[2].manifest.snapshot_id):
        with pytest.raises(ManifestInvalid, match=f"is that of snapshot {taken[1].manifest.snapshot_id}"):
            find_snapshot(store, snapshot_id)
    assert "no part is removed" in expire(store, store, **EXPIRE).faults[0]
    assert set(store.keys("parts/")) == parts
    overwrite(store, taken[2].key, manifest)
    assert find_snapshot(store, "latest") == taken[2].manifest


def test_what_a_store_says_is_cut_short(store: Store, behind: Behind) -> None:
    with behind(Some((400, "Odd" * 9999), "GET")) as faulty, pytest.raises(StoreError) as caught:
        faulty.listing()
    assert len(str(caught.value)) < 1000


def test_one_answer_that_an_object_is_missing_damages_nothing(database: str, store: Store, behind: Behind) -> None:
    manifest = take(database, store).manifest
    for within in (PARTS, SCHEMA):
        with behind(Some((404, "NoSuchKey"), "GET", within, times=1)) as faulty:
            verify_snapshot(manifest, faulty).check()
    assert store.keys("damaged/") == []


def test_a_time_that_is_none_in_a_listing_is_the_stores_fault(database: str, store: Store, behind: Behind) -> None:
    take(database, store)
    broken = [
        lambda body: re.sub(rb"<LastModified>[^<]*", b"<LastModified>yesterday", body),
        lambda body: re.sub(rb"<LastModified>[^<]*</LastModified>", b"", body),
        lambda body: re.sub(rb"<LastModified>[^<]*", b"<LastModified>2026-11-01T00:00:00", body),  # in which zone?
        lambda body: re.sub(rb"<Size>[^<]*", b"<Size>many", body),
        lambda body: re.sub(rb"<Size>[^<]*", b"<Size>-1", body),
        lambda body: body.replace(b"</Contents>", b""),
    ]
    for change in broken:
        with behind(Some(change, "GET", "list-type")) as faulty:
            for ask in (faulty.listing, faulty.manifest_keys):
                with pytest.raises(
                    StoreFault, match=r"cannot list .*(cannot be understood|: 500) .*a fault: run again"
                ):
                    ask()


@pytest.mark.parametrize("how", ["stall", "drip"])
def test_a_stalled_store_is_named_before_long(
    how: Answer, database: str, store: Store, behind: Behind, stack: Stack
) -> None:
    """No time limit of the client ends this, because each byte begins it anew."""
    manifest = take(database, store).manifest
    with behind(Some(how, "GET", PARTS), deadline_s=1) as faulty:
        with pytest.raises(NoAnswer, match=r"cannot read .*no answer within .* s – the store or the network"):
            verify_snapshot(manifest, faulty)
        with pytest.raises(DrillBroke, match="no answer within"):
            drill_stored("latest", faulty, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    with behind(Some("stall"), deadline_s=1) as faulty:
        for ask in (
            lambda: faulty.head("key-tables/x"),
            lambda: faulty.create_small("key-tables/x", b"x"),
            faulty.clock,
        ):
            with pytest.raises(NoAnswer, match="no answer within"):
                ask()
    with behind(Some(how, "GET", "list-type"), deadline_s=1) as faulty, pytest.raises(NoAnswer, match="no answer"):
        faulty.manifest_keys()
    assert store.keys("damaged/") == []


# Listings that leave something out


LEFT_OUT: dict[str, str] = {
    "the newest manifest": r"/{2}\.json",
    "the manifest in between": r"/{1}\.json",
    "a manifest and its proof": r"/{1}\.",
    "the newest two with their proofs": r"/({1}|{2})\.",
    "every manifest": r"Z-[0-9a-f]+\.json",
    "all that is not a part": r"snapshots/",
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_listing_that_leaves_out_manifests_deletes_nothing(
    case: str, database: str, store: Store, behind: Behind
) -> None:
    """Each manifest is looked up by the names of other objects, which tell which snapshot they were written for."""
    ids = [each.manifest.snapshot_id for each in three_snapshots(database, store)]
    before = set(store.keys())
    with (
        behind(Some(without(LEFT_OUT[case].format(*ids)), "GET", "list-type")) as faulty,
        pytest.raises(ExpiryRefused, match=r"nothing expires: the store has .*\.json, but its listings leave it out"),
    ):
        expire(faulty, store, **EXPIRE)
    assert set(store.keys()) == before
    assert expire(store, store, **EXPIRE).snapshots == ids[:1]
    for each in list_snapshots(store):
        verify_snapshot(each, store).check()


def test_a_manifest_that_only_some_listings_leave_out_keeps_its_parts(
    database: str, store: Store, behind: Behind
) -> None:
    ids = [each.manifest.snapshot_id for each in three_snapshots(database, store)]
    for number in range(6):
        fault = Some(without(rf"/{ids[1]}\.json"), "GET", "list-type", after=number, times=1)
        with behind(fault) as faulty:
            expired = expire(faulty, store, **EXPIRE)
        assert fault.happened
        assert set(expired.snapshots) <= {ids[0]}
        assert [each.snapshot_id for each in list_snapshots(store)][-2:] == ids[1:]
        for each in list_snapshots(store):
            verify_snapshot(each, store).check()


def test_a_manifest_that_is_listed_and_cannot_be_had_keeps_all_parts(
    database: str, store: Store, behind: Behind
) -> None:
    taken = three_snapshots(database, store)
    parts = set(store.keys("parts/"))
    with behind(Some((404, "NoSuchKey"), "GET", taken[1].key)) as faulty:
        expired = expire(faulty, store, **EXPIRE)
    assert "no part is removed" in expired.faults[0]
    assert set(store.keys("parts/")) == parts


def test_an_expired_manifest_that_is_listed_and_cannot_be_had_was_not_removed(
    database: str, store: Store, behind: Behind
) -> None:
    first, *_ = three_snapshots(database, store)
    before = set(store.keys())
    asked = iter(range(1000))

    def fault(method: str, path: str, headers: dict[str, str]) -> Answer:
        """Give the manifest until the plan is made: then it is read a third time, so as to be put back if need be."""
        return (404, "NoSuchKey") if method == "GET" and path.endswith(first.key) and next(asked) >= 2 else None

    with behind(fault) as faulty:
        expired = expire(faulty, store, **EXPIRE)
    assert expired.snapshots == []
    assert [line for line in expired.faults if "is listed and cannot be read" in line]
    assert set(store.keys()) == before


@pytest.mark.parametrize("ending", ["", "-5eed5eed5eed"])
def test_more_without_a_snapshot_than_snapshots_need_is_left_until_it_is_asked_for(
    ending: str, database: str, store: Store
) -> None:
    """So it looks when manifests are lost. Names of older parts do not tell which snapshot they were written for."""
    taken = take(database, store)
    rows = store.read(taken.manifest.parts[0].key)
    for digit in "0123456789ab"[: len(taken.manifest.parts)]:
        store.create_small(store.layout.part_key("public.t", digit * 40 + ending), rows)
    before = set(store.keys())
    for apply in (False, True):
        with pytest.raises(ExpiryRefused, match=r"belong to no snapshot, .* may leave out snapshots – .* --orphans"):
            expire(store, store, apply=apply)
    assert set(store.keys()) == before
    assert expire(store, store, any_orphans=True).objects == len(taken.manifest.parts)
    verify_snapshot(taken.manifest, store).check()


def test_a_store_without_any_manifest_keeps_every_part(database: str, store: Store) -> None:
    taken = take(database, store)
    remove(store, taken.key)
    with pytest.raises(ExpiryRefused, match="belong to no snapshot"):
        expire(store, store)
    assert len(store.keys("parts/")) == len(taken.manifest.parts)


def test_expiry_removes_what_its_plan_named_and_no_more(
    database: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = three_snapshots(database, store)
    orphan = store.layout.part_key("public.t", "a" * 40)
    store.create_small(orphan, b"rows of a run that failed")
    planned = expire(store, store, apply=False, **EXPIRE).planned
    assert orphan in {each.key for each in planned.orphans}
    assert set(store.keys()) >= {each.key for each in planned.objects}
    late = store.layout.part_key("public.t", "b" * 40)
    remove_one = Store.remove

    def remove_later(self: Store, listed: Listed) -> None:
        """Leave more garbage between the plan and its end."""
        remove_one(self, listed)
        if listed.key == first.key:
            store.create_small(late, b"rows of another run that failed")

    monkeypatch.setattr(Store, "remove", remove_later)
    before = set(store.keys())
    expired = expire(store, store, **EXPIRE)
    expired.check()
    assert before - set(store.keys()) == {first.key, *(each.key for each in planned.objects)}
    assert (expired.objects, expired.bytes) == (len(planned.objects), planned.bytes)
    assert store.head(late)


def test_a_manifest_that_comes_while_expiry_runs_keeps_its_parts(
    database: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = three_snapshots(database, store)
    remove_one = Store.remove

    def publish_meanwhile(self: Store, listed: Listed) -> None:
        remove_one(self, listed)
        if listed.key == first.key:
            again = first.manifest.model_copy(update={"snapshot_id": "20261118T180003Z-5f0c1d"})
            publish(again, store, ZONE)

    monkeypatch.setattr(Store, "remove", publish_meanwhile)
    expire(store, store, **EXPIRE).check()
    verify_snapshot(first.manifest, store).check()


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ((501, "NotImplemented"), "let a lifecycle rule abort unfinished uploads"),
        ((403, "AccessDenied"), "s3:ListBucketMultipartUploads, which only expiry needs"),
        ("page", FOREIGN),
        ("blank", FOREIGN),
    ],
)
def test_uploads_that_cannot_be_listed_keep_no_part(
    answer: Answer, hint: str, database: str, store: Store, behind: Behind
) -> None:
    first, *_ = three_snapshots(database, store)
    with behind(Some(answer, "GET", "?uploads")) as faulty:
        expired = expire(faulty, store, **EXPIRE)
    (fault,) = expired.faults
    assert fault.startswith("cannot list uploads")
    assert hint in fault
    assert expired.snapshots == [first.manifest.snapshot_id]
    assert expired.objects == len(expired.planned.objects) > 0


def test_a_note_of_damage_goes_with_its_object(database: str, store: Store) -> None:
    first, second, _ = three_snapshots(database, store)
    gone = next(each.key for each in first.manifest.parts if each not in second.manifest.parts)
    stays = second.manifest.parts[0].key
    for key in (gone, stays):
        note_damage(store, key, "fault", print)
    expire(store, store, **EXPIRE).check()
    assert store.head(store.layout.damage_key(gone)), "the object was there when the plan was made"
    expire(store, store, **EXPIRE).check()
    assert store.keys("damaged/") == [store.layout.damage_key(stays)]


# Other places where absence might be taken for a fact


UNREADABLE: dict[str, Answer] = {
    "rotten": "rot",
    "cut": "shorten",
    "gone, although it is listed": (404, "NoSuchKey"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_snapshot_that_nothing_can_be_compared_with_is_quarantined(
    case: str, database: str, store: Store, behind: Behind
) -> None:
    first = take(database, store)
    run(database, "truncate t")
    with behind(Some(UNREADABLE[case], "GET", first.key)) as faulty:
        for expected, quarantined in ((), True), (("public.t",), False):
            taken = take(database, faulty, gate={"expected": expected}).manifest
            found = ("public.t cannot be compared, because no earlier good snapshot can be read",)
            assert taken.quarantined_for == (found if quarantined else ())
            verify_snapshot(taken, store).check()
            remove(store, next(key for key in store.manifest_keys() if taken.snapshot_id in key))
    assert take(database, store).manifest.quarantined_for == ("public.t is empty, it had 40,000 rows",)


def test_no_snapshot_passes_for_the_first_because_a_listing_leaves_out_the_others(
    database: str, store: Store, behind: Behind
) -> None:
    take(database, store)
    before = store.manifest_keys()
    run(database, "truncate t")
    with (
        behind(Some(without(r"\.json"), "GET", "list-type")) as faulty,
        pytest.raises(StoreError, match=r"the store has .*\.json, but its listings leave it out"),
    ):
        take(database, faulty)
    assert store.manifest_keys() == before


def test_a_snapshot_is_found_by_its_id_although_a_listing_leaves_it_out(
    database: str, store: Store, behind: Behind
) -> None:
    taken = take(database, store).manifest
    with behind(Some(without(r"\.json"), "GET", "list-type")) as faulty:
        assert find_snapshot(faulty, taken.snapshot_id) == taken


@pytest.mark.parametrize("beside", ["proof", "hold"])
def test_the_newest_is_found_although_a_listing_leaves_it_out(
    beside: str, database: str, store: Store, behind: Behind
) -> None:
    """Else `restore latest` would bring back an older one, and say nothing."""
    *_, newest = three_snapshots(database, store)
    snapshot_id = newest.manifest.snapshot_id
    if beside == "hold":
        remove(store, Layout.beside(newest.key, "proof"))
        hold(store, snapshot_id, reason="auditors", now=NOW)
    with behind(Some(without(rf"/{snapshot_id}\.json"), "GET", "list-type")) as faulty:
        assert find_snapshot(faulty, "latest") == newest.manifest
        assert list_snapshots(faulty)[-1] == newest.manifest


def test_a_manifest_that_is_listed_and_not_there_is_unreadable(database: str, store: Store, behind: Behind) -> None:
    taken = take(database, store)
    with behind(lambda method, path, _: (404, "NoSuchKey") if path.endswith(taken.key) else None) as faulty:
        unreadable: list[str] = []
        assert list_snapshots(faulty, unreadable=lambda key, error: unreadable.append(key)) == []
        assert unreadable == [taken.key]
        with pytest.raises(ObjectMissing):
            list_snapshots(faulty)


def test_parts_that_a_listing_leaves_out_are_written_anew(database: str, store: Store, behind: Behind) -> None:
    first = take(database, store).manifest
    with behind(Some(without("/parts/"), "GET", "list-type")) as faulty:
        second = take(database, faulty)
    assert second.tables["public.t"].parts_reused == 0
    for each in (first, second.manifest):
        verify_snapshot(each, store).check()


def test_a_hold_that_a_listing_leaves_out_still_holds(database: str, store: Store, behind: Behind) -> None:
    first, *_ = three_snapshots(database, store)
    hold(store, first.manifest.snapshot_id, reason="auditors", now=NOW)
    before = set(store.keys())
    with behind(Some(without(r"\.hold\.json"), "GET", "list-type")) as faulty:
        assert expire(faulty, store, **EXPIRE).snapshots == []
    assert set(store.keys()) == before


def test_a_second_hold_says_how_to_change_the_reason(database: str, store: Store) -> None:
    snapshot_id = take(database, store).manifest.snapshot_id
    hold(store, snapshot_id, reason="auditors", now=NOW)
    with pytest.raises(MindGuardError, match=rf"is held already – .*release {snapshot_id}"):
        hold(store, snapshot_id, reason="others", now=NOW)
    release(store, snapshot_id)
    hold(store, snapshot_id, reason="others", now=NOW)


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_a_hold_that_cannot_be_read_still_holds(body: bytes, database: str, store: Store) -> None:
    first, *_ = three_snapshots(database, store)
    overwrite(store, Layout.beside(first.key, "hold"), body)
    assert expire(store, store, **EXPIRE).snapshots == []


def test_a_proof_that_cannot_be_read_proves_nothing_and_the_next_drill_says_so(
    database: str, store: Store, stack: Stack
) -> None:
    taken = take(database, store)
    key = Layout.beside(taken.key, "proof")
    overwrite(store, key, b"damaged")
    assert proven(store) == {}
    with pytest.raises(DrillBroke, match=rf"{key} is there and cannot be read, .* delete that object and drill again"):
        drill_stored("latest", store, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    remove(store, key)
    drill_stored("latest", store, stack.postgres_conninfo("mindguard_drill"), now=NOW)
    assert list(proven(store)) == [taken.manifest.snapshot_id]


def test_a_proof_beside_another_manifest_proves_neither(database: str, store: Store) -> None:
    first, second, _ = three_snapshots(database, store)
    overwrite(store, Layout.beside(first.key, "proof"), store.read(Layout.beside(second.key, "proof")))
    remove(store, Layout.beside(second.key, "proof"))
    assert {first.manifest.snapshot_id, second.manifest.snapshot_id}.isdisjoint(proven(store))


def test_a_proof_that_is_listed_and_not_there_proves_nothing(database: str, store: Store, behind: Behind) -> None:
    first, second, third = three_snapshots(database, store)
    with behind(Some((404, "NoSuchKey"), "GET", PROOF)) as faulty:
        assert proven(faulty) == {}
        assert expire(faulty, store, **EXPIRE).snapshots == []
    assert set(proven(store)) == {second.manifest.snapshot_id, third.manifest.snapshot_id}
    assert store.head(first.key)
