"""`mindguard doctor` over the real engines, with each fault provoked.

Where an engine cannot be made to have a fault, a proxy in front of it does: stores without checksums or conditional
writes, a pooler.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from devstack.stack import Stack
from mindguard.connections import Connection, from_environment
from mindguard.doctor import examine
from mindguard.doctor.database import examine_drill, examine_restore, examine_source
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.store import examine_store
from mindguard.errors import ConnectionMissing, MindGuardError
from mindguard.settings import Settings
from mindguard.snapshots.export.source_errors import SourceError
from mindguard.snapshots.storage.s3_errors import StoreError
from tests.connections import connection_of
from tests.integration.fault_proxy import Answer, Fault, s3_proxy
from tests.integration.other_postgres import cluster, standby_of
from tests.integration.restoring import as_superuser
from tests.waiting import wait_until

Found = dict[str, Diagnosis]


def now() -> datetime:
    return datetime.now(UTC)


def by_check(findings: Iterator[Diagnosis]) -> Found:
    """The last finding of each check."""
    return {finding.check: finding for finding in findings}


# The store


Examine = Callable[..., Found]


@pytest.fixture
def examine_bucket(bucket: str, backup_connection: Connection) -> Examine:
    """`examine_bucket(object_lock="GOVERNANCE", …)`: findings with these settings, in the test's own bucket."""

    def run(*, connection: Connection = backup_connection, in_bucket: str = bucket, **settings: Any) -> Found:
        snapshot = {"bucket": in_bucket, "tables": [{"name": "public.t"}]} | settings
        return by_check(
            examine_store(Settings.model_validate({"snapshot": snapshot}), lambda _: replace(connection), now)
        )

    return run


def left_in(stack: Stack, bucket: str) -> list[str]:
    """Everything that takes up room in the bucket."""
    client = stack.seaweedfs.client()
    versions = client.list_object_versions(Bucket=bucket)
    things: list[Any] = [*versions.get("Versions", ()), *versions.get("DeleteMarkers", ())]
    things += client.list_multipart_uploads(Bucket=bucket).get("Uploads", ())
    return [thing["Key"] for thing in things]


@pytest.mark.parametrize("versioning", [None, "Enabled", "Suspended"])
def test_a_fit_bucket_passes_and_nothing_is_left_in_it(
    versioning: Any, stack: Stack, bucket: str, examine_bucket: Examine
) -> None:
    if versioning:
        stack.seaweedfs.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": versioning})
    found = examine_bucket()
    assert {finding.status for finding in found.values()} == {"pass"}, found
    expected = {
        "addressing",
        "list",
        "clock",
        "write",
        "listing",
        "create-only",
        "default checksum",
        "public access",
        "multipart",
    }
    expected |= {"object lock", "storage class", "versioning", "lifecycle", "batch delete", "delete"}
    assert set(found) == expected
    assert found["versioning"].text.startswith(versioning or "off")
    assert left_in(stack, bucket) == []


def test_a_missing_bucket_ends_the_examination(examine_bucket: Examine) -> None:
    with pytest.raises(StoreError, match="create the bucket"):
        examine_bucket(in_bucket="no-such-bucket")


def test_the_other_addressing_style_is_named_when_only_that_works(
    bucket: str, backup_connection: Connection, stack: Stack
) -> None:
    extra = dict(backup_connection.extra)
    extra["endpoint_url"] = f"http://localhost:{stack.seaweedfs.port}"
    kwargs = {**extra.get("config_kwargs", {}), "s3": {"addressing_style": "virtual"}, "connect_timeout": 2}
    extra["config_kwargs"] = kwargs | {"retries": {"total_max_attempts": 1}}
    connection = replace(backup_connection, extra=extra)
    settings = Settings.model_validate({"snapshot": {"bucket": bucket, "tables": [{"name": "public.t"}]}})
    findings = examine_store(settings, lambda _: connection, now)
    first = next(findings)
    assert (first.status, first.check) == ("error", "addressing")
    assert '"addressing_style": "path"' in first.text
    with pytest.raises(StoreError):
        next(findings)


def test_a_bucket_that_anybody_can_read_is_an_error(stack: Stack, bucket: str, examine_bucket: Examine) -> None:
    allow = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{bucket}/*"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    stack.seaweedfs.client().put_bucket_policy(Bucket=bucket, Policy=policy)
    found = examine_bucket()["public access"]
    assert found.status == "error"
    assert "read without any key" in found.text


RULES: dict[str, tuple[dict[str, Any], str, str]] = {
    "younger than retention": ({"Expiration": {"Days": 7}}, "error", "it would delete kept snapshots"),
    "as old as retention": ({"Expiration": {"Days": 30}}, "error", "it would delete kept snapshots"),
    "older": ({"Expiration": {"Days": 400}}, "warn", "unchanged parts are reused"),
    "elsewhere": ({"Expiration": {"Days": 7}, "Filter": {"Prefix": "logs/"}}, "pass", "0 rules on this prefix"),
    "on a part of it": ({"Expiration": {"Days": 7}, "Filter": {"Prefix": "key-tables/parts/"}}, "error", "kept"),
    "on everything": ({"Expiration": {"Days": 7}, "Filter": {"Prefix": ""}}, "error", "kept"),
    "switched off": ({"Expiration": {"Days": 7}, "Status": "Disabled"}, "pass", "0 rules"),
    "uploads": ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}, "pass", "1 rules"),
}


@pytest.mark.parametrize("case", RULES)
def test_a_lifecycle_rule_that_deletes_kept_snapshots(
    case: str, stack: Stack, bucket: str, examine_bucket: Examine
) -> None:
    rule, status, text = RULES[case]
    whole: Any = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": "key-tables/"}} | rule
    stack.seaweedfs.client().put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": [whole]}
    )
    found = examine_bucket()["lifecycle"]
    assert found.status == status
    assert text in found.text


@pytest.mark.parametrize(
    ("settings", "status", "text"),
    [
        ({"storage_class": "STANDARD"}, "pass", "charged for 0 days"),
        ({"storage_class": "GLACIER_IR"}, "warn", "at least 90 days, retention.days is 30"),
        ({"storage_class": "DEEP_ARCHIVE", "retention": {"days": 365}}, "warn", "usually offline"),
        ({"storage_class": "STANDARD_IA", "retention": {"days": 14}}, "warn", "at least 30 days, retention.days is 14"),
    ],
)
def test_storage_class_against_retention(
    settings: dict[str, Any], status: str, text: str, bucket: str, backup_connection: Connection
) -> None:
    whole = Settings.model_validate({"snapshot": {"bucket": bucket, "tables": [{"name": "public.t"}]} | settings})
    found = [f for f in examine_store(whole, lambda _: backup_connection, now) if f.check == "storage class"]
    assert found[0].status == status
    assert text in found[0].text


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [({"storage_class": "NOPE"}, "without storage class NOPE"), ({"sse": "aws:kms"}, "set snapshot.sse: null")],
)
def test_what_makes_the_store_refuse_a_write_is_found(
    settings: dict[str, Any], remedy: str, stack: Stack, bucket: str, examine_bucket: Examine
) -> None:
    found = examine_bucket(**settings, **({"sse_kms_key_id": "no-such-key"} if "sse" in settings else {}))
    assert found["write"].status == "error"
    assert remedy in found["write"].text
    assert left_in(stack, bucket) == []


@pytest.fixture
def locking_bucket(stack: Stack) -> str:
    name = f"locking-{uuid.uuid4().hex[:12]}"
    stack.seaweedfs.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_a_lock_is_proven_by_a_refused_delete_and_the_probe_that_stays_is_named(
    mode: str, stack: Stack, locking_bucket: str, examine_bucket: Examine
) -> None:
    found = examine_bucket(in_bucket=locking_bucket, object_lock=mode)
    assert found["object lock"].status == found["lock holds"].status == "pass"
    (left,) = left_in(stack, locking_bucket)
    assert left in found["lock holds"].text


def test_a_lock_in_the_settings_needs_one_in_the_bucket(examine_bucket: Examine) -> None:
    found = examine_bucket(object_lock="COMPLIANCE")
    assert found["object lock"].status == "error"
    assert "lock holds" not in found


def test_a_bucket_that_could_lock_and_one_that_locks_too_long(
    stack: Stack, locking_bucket: str, examine_bucket: Examine
) -> None:
    assert examine_bucket(in_bucket=locking_bucket)["object lock"].status == "warn"
    stack.seaweedfs.client().put_object_lock_configuration(
        Bucket=locking_bucket,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 60}},
        },
    )
    found = examine_bucket(in_bucket=locking_bucket)
    assert found["object lock"].status == "warn"
    assert "locks for 60 days" in found["object lock"].text
    assert found["delete"].status == "warn", "the bucket's own lock keeps the probes, and that is said"
    assert all(key in found["delete"].text for key in left_in(stack, locking_bucket))


Without = Callable[..., Found]


@pytest.fixture
def examine_behind(stack: Stack, backup_connection: Connection, examine_bucket: Examine) -> Without:
    """`examine_behind(fault)`: findings of the test's bucket in a store with a fault."""

    def run(fault: Fault, skew: timedelta = timedelta(), **settings: Any) -> Found:
        with s3_proxy(stack.seaweedfs.endpoint, fault, skew) as endpoint:
            kwargs = {**backup_connection.extra.get("config_kwargs", {}), "retries": {"total_max_attempts": 1}}
            extra = {**backup_connection.extra, "endpoint_url": endpoint, "config_kwargs": kwargs}
            return examine_bucket(connection=replace(backup_connection, extra=extra), **settings)

    return run


def test_a_store_without_default_checksums_says_what_to_set(examine_behind: Without) -> None:
    found = examine_behind(lambda method, path, headers: (400, "InvalidArgument") if "crc32" in str(headers) else None)
    assert found["write"].status == "pass", "snapshots bring their own SHA-256"
    assert found["default checksum"].status == "error"
    assert '"request_checksum_calculation": "when_required"' in found["default checksum"].text


REFUSED: dict[str, tuple[str, str]] = {
    "conditional writes": ("if-none-match", "it has no create-only writes"),
    "SHA-256": ("x-amz-checksum-sha256", "use a store that checks SHA-256"),
    "encryption": ("x-amz-server-side-encryption", "set snapshot.sse: null"),
    "the class": ("x-amz-storage-class", "set snapshot.storage_class to one that it has"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_store_that_refuses_a_header_of_each_write(what: str, examine_behind: Without) -> None:
    header, remedy = REFUSED[what]
    found = examine_behind(lambda method, path, headers: (501, "NotImplemented") if header in headers else None)
    assert found["write"].status == "error"
    assert remedy in found["write"].text
    others = {each for each, _ in REFUSED.values()} - {header}
    assert not [each for each, said in REFUSED.values() if each in others and said in found["write"].text]


def test_a_store_that_refuses_two_headers_of_each_write(examine_behind: Without) -> None:
    absent = {"if-none-match", "x-amz-server-side-encryption"}
    found = examine_behind(lambda method, path, headers: (501, "NotImplemented") if absent & set(headers) else None)
    assert "it has no create-only writes" in found["write"].text
    assert "set snapshot.sse: null" in found["write"].text


def test_a_second_write_that_is_not_answered_is_no_verdict(examine_behind: Without) -> None:
    puts: list[str] = []

    def fault(method: str, path: str, headers: dict[str, str]) -> Answer:
        puts.extend([path] if method == "PUT" and "probe" in path else [])
        return (503, "SlowDown") if method == "PUT" and puts.count(path) > 1 else None

    assert examine_behind(fault)["create-only"].status == "unknown"


def test_a_store_that_ignores_if_none_match(examine_behind: Without, stack: Stack) -> None:
    seen: set[str] = set()

    def fault(method: str, path: str, headers: dict[str, str]) -> Answer:
        if method == "PUT" and path in seen:
            _, bucket, key = path.split("/", 2)
            stack.seaweedfs.client().put_object(Bucket=bucket, Key=key, Body=b"the second one")
            return "accept"
        seen.update({path} if method == "PUT" else ())
        return None

    found = examine_behind(fault)
    assert found["create-only"].status == "error"
    assert "two runs could overwrite each other" in found["create-only"].text


def test_a_store_that_claims_a_second_write(examine_behind: Without) -> None:
    seen: set[str] = set()

    def fault(method: str, path: str, headers: dict[str, str]) -> Answer:
        if method == "PUT" and path in seen:
            return "accept"
        seen.update({path} if method == "PUT" else ())
        return None

    found = examine_behind(fault)
    assert found["create-only"].status == "error"
    assert "says that it has written a second object under one key, and has not" in found["create-only"].text


def test_an_exporters_key_passes_with_what_it_may_not_ask_unknown(
    examine_behind: Without, stack: Stack, bucket: str
) -> None:
    def fault(method: str, path: str, headers: dict[str, str]) -> Answer:
        of_the_bucket = re.search(r"\?(versioning|lifecycle|object-lock|versions|uploads)", path)
        return (403, "AccessDenied") if method == "DELETE" or "?delete" in path or of_the_bucket else None

    found = examine_behind(fault)
    unknown = {check for check, finding in found.items() if finding.status == "unknown"}
    assert unknown == {"versioning", "lifecycle", "object lock"}
    assert all("doctor needs s3:Get" in found[check].text for check in unknown)
    assert found["multipart"].status == found["delete"].status == "warn"
    assert all(key in found["delete"].text for key in left_in(stack, bucket) if "parts" not in key)
    assert "error" not in {finding.status for finding in found.values()}


def test_a_refused_batch_delete_is_no_fault(examine_behind: Without) -> None:
    found = examine_behind(lambda method, path, headers: (400, "MissingContentMD5") if "?delete" in path else None)
    assert found["batch delete"].text == "refused (MissingContentMD5), and not needed: expiry deletes one by one"
    assert found["delete"].status == "pass"


def test_a_store_whose_clock_is_wrong(examine_behind: Without) -> None:
    found = examine_behind(lambda *_: None, skew=timedelta(minutes=5))
    assert found["clock"].status == "warn"
    assert re.search("clocks differ by (299|300|301) s", found["clock"].text)


def test_uploads_that_the_store_does_not_list(examine_behind: Without) -> None:
    found = examine_behind(lambda method, path, headers: (501, "NotImplemented") if "?uploads&prefix" in path else None)
    assert found["multipart"].status == "warn"


@pytest.mark.parametrize("how", ["page", "blank"])
def test_what_something_else_answers_is_unknown(how: Answer, examine_behind: Without) -> None:
    """Else a login page would pass for a bucket without locks, versions and rules, or for one that is open to all."""

    def fault(method: str, path: str, headers: dict[str, str]) -> Answer:
        of_the_bucket = re.search(r"\?(versioning|lifecycle|object-lock)", path)
        return how if method == "GET" and (of_the_bucket or "authorization" not in headers) else None

    found = examine_behind(fault)
    for check in ("versioning", "lifecycle", "object lock", "public access"):
        assert found[check].status == "unknown", found[check]
        assert "is a proxy or a login page between" in found[check].text


def test_listings_that_do_not_show_what_was_written(examine_behind: Without) -> None:
    def listed(change: Callable[[bytes], bytes]) -> Diagnosis:
        probes = "list-type=2&prefix=key-tables%2Fprobe"
        return examine_behind(lambda method, path, headers: change if probes in path else None)["listing"]

    late = listed(lambda body: re.sub(rb"<Contents>.*</Contents>", b"", body))
    assert (late.status, "not listed" in late.text) == ("error", True)
    wrong = listed(lambda body: re.sub(rb"<LastModified>....", b"<LastModified>2020", body))
    assert (wrong.status, "expiry would misjudge its age" in wrong.text) == ("error", True)


# Databases


@pytest.fixture
def database(fresh_database: str) -> str:
    """One with a table of each role's own."""
    with psycopg.connect(fresh_database) as connection:
        connection.execute("create table t (id int primary key, v text); create table private (id int)")
    return fresh_database


Role = Callable[[str], str]


@pytest.fixture
def role(stack: Stack, database: str) -> Iterator[Role]:
    """`role("createdb")`: connection string of a new role with these attributes, to the test's database."""
    made: list[str] = []
    superuser = stack.postgres_conninfo("postgres", psycopg.conninfo.conninfo_to_dict(database)["dbname"])

    def make(attributes: str) -> str:
        made.append(f"Role {uuid.uuid4().hex[:8]}")
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute(
                sql.SQL(f"create role {{}} login password 'pw' {attributes}").format(sql.Identifier(made[-1]))
            )
        return psycopg.conninfo.make_conninfo(database, user=made[-1], password="pw")

    yield make
    with psycopg.connect(superuser, autocommit=True) as connection:
        for name in made:
            connection.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(name)))


def owner_runs(database: str, *statements: str) -> None:
    with psycopg.connect(database) as connection:
        for each in statements:
            connection.execute(each)


def name_of(conninfo: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(conninfo)["user"])


SETTINGS = Settings.model_validate({"snapshot": {"bucket": "x", "tables": [{"name": "public.t"}]}})


def source_of(conninfo: str, settings: Settings = SETTINGS) -> Found:
    return by_check(examine_source(settings, lambda _: connection_of(conninfo), now))


def test_a_fit_source_passes(database: str) -> None:
    found = source_of(database)
    assert {finding.status for finding in found.values()} == {"pass"}, found
    assert set(found) == {
        *("connection", "clock", "export", "pooler", "time limits", "pg_dump", "schema dump", "read", "contents"),
        *("changes", "history"),
    }
    assert found["changes"].text == (
        "changes are found by the transactions that wrote the rows; each value is read again within 7 days"
    )


def test_what_keeps_values_from_being_left_unread_is_said(database: str, role: Role, stack: Stack) -> None:
    reader = role("in role pg_read_all_data")
    admin = str(psycopg.conninfo.make_conninfo(as_superuser(stack, database)))
    functions = "pg_control_system(), pg_walfile_name(pg_lsn)"
    with psycopg.connect(admin, autocommit=True) as superuser:
        superuser.execute(f"revoke execute on function {functions} from public")
    found = source_of(reader)["history"]
    assert found.status == "warn"
    assert found.text.startswith("the server does not tell system_identifier, timeline, so all values are read")
    with psycopg.connect(admin, autocommit=True) as superuser:
        superuser.execute(found.text.partition(" allows it: ")[2])
    assert source_of(reader)["history"].status == "pass"
    owner_runs(database, "alter table t add column other regclass")
    assert source_of(reader)["changes"].text == "all values are read every time: type regclass"
    by_value = SETTINGS.model_copy(update={"snapshot": SETTINGS.snapshot.model_copy(update={"detect": "values"})})
    assert source_of(reader, by_value)["changes"].text == "all values are read every time: snapshot.detect"


def test_a_standby_tells_its_timeline_to_who_may_see_statistics() -> None:
    with cluster() as made, made.serving() as primary, psycopg.connect(primary, autocommit=True) as superuser:
        superuser.execute("create table t (id int primary key)")
        superuser.execute("create role reader login in role pg_read_all_data")
        with standby_of(primary, made.programs) as standby:
            reader = psycopg.conninfo.make_conninfo(standby, user="reader")
            found = source_of(reader)["history"]
            assert found.text.startswith("the server does not tell timeline, so all values are read")
            superuser.execute(found.text.partition(" allows it: ")[2])
            wait_until(lambda: source_of(reader)["history"].status == "pass", 30, "the right does not help")


def test_a_source_that_cannot_be_reached_is_one_line(database: str) -> None:
    wrong = psycopg.conninfo.make_conninfo(database, password="wrong")
    with pytest.raises(SourceError, match="correct the user or the password"):
        source_of(wrong)


def test_rights_that_are_missing_come_with_the_grant_that_helps(database: str, role: Role) -> None:
    reader = role("")
    found = source_of(reader)
    grant = f'GRANT pg_read_all_data TO "{name_of(reader)}"'
    assert found["schema dump"].status == found["read"].status == "error"
    assert grant in found["schema dump"].text
    assert "there is no right to read public.private, " in found["schema dump"].text
    assert grant in found["read"].text
    owner_runs(database, f'grant select on t to "{name_of(reader)}"')
    found = source_of(reader)
    assert found["read"].status == "pass"
    assert found["schema dump"].status == "error", "pg_dump locks every table, not just those of the snapshot"


def test_the_grant_that_doctor_names_is_enough(database: str, role: Role, stack: Stack) -> None:
    reader = role("")
    text = source_of(reader)["read"].text
    with psycopg.connect(stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as superuser:
        superuser.execute(text.partition(" – ")[2])
    found = source_of(reader)
    assert {finding.status for finding in found.values()} == {"pass"}, found


def test_row_level_security_comes_with_the_statement_that_helps(database: str, role: Role, stack: Stack) -> None:
    reader = role("in role pg_read_all_data")
    owner_runs(database, "alter table t enable row level security")
    found = source_of(reader)["read"]
    assert found.status == "error"
    statement = f'ALTER ROLE "{name_of(reader)}" BYPASSRLS'
    assert found.text.endswith(statement)
    with psycopg.connect(stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as superuser:
        superuser.execute(statement)
    assert source_of(reader)["read"].status == "pass"


def test_a_missing_table_and_an_unindexed_key(database: str) -> None:
    tables = [{"name": "public.gone"}]
    found = source_of(database, Settings.model_validate({"snapshot": {"bucket": "x", "tables": tables}}))
    assert found["read"].status == "error"
    tables = [{"name": "public.t", "part_by": "v"}]
    found = source_of(database, Settings.model_validate({"snapshot": {"bucket": "x", "tables": tables}}))
    assert (found["read"].status, found["index"].status) == ("pass", "warn")


HELD = {
    "rows in children": (
        "create table m (id int); create table m1 () inherits (m)",
        [{"name": "public.m"}],
        ("error", "public.m", "other tables inherit from public.m"),
    ),
    "children that are not named": (
        "create table m (id int); create table m1 () inherits (m)",
        [{"name": "public.m", "inherited": "own"}],
        ("warn", "public.m", "`inherited: own` leaves out the rows of public.m1"),
    ),
    "a partition twice": (
        "create table p (id int) partition by list (id); create table p1 partition of p for values in (1)",
        [{"name": "public.p"}, {"name": "public.p1"}],
        ("error", "snapshot.tables", "the rows of public.p1 would be in the snapshot twice"),
    ),
    "an unlogged table": (
        "create unlogged table u (id int)",
        [{"name": "public.u"}],
        ("warn", "public.u", "it is unlogged"),
    ),
    "large objects": (
        "create table o (photo oid); insert into o values (lo_from_bytea(0, 'x'))",
        [{"name": "public.o"}],
        ("warn", "public.o.photo", "refers to 1 large objects; their content is not in the snapshot"),
    ),
    "a materialized view": (
        "create materialized view v as select 1 as one",
        [{"name": "public.v"}],
        ("warn", "public.v", "a rebuild makes it a plain table"),
    ),
    "a key to another table": (
        "create table child (id int references t)",
        [{"name": "public.child"}],
        ("warn", "public.child", "child_id_fkey refers to public.t, which the snapshot does not hold"),
    ),
    "a setting of the database": (
        "do $$ begin execute format('alter database %I set search_path = public', current_database()); end $$",
        [{"name": "public.t"}],
        ("warn", "snapshot", "a restore does not bring back 1 database setting"),
    ),
    "a publication": (
        "create publication all_of_t for table t",
        [{"name": "public.t"}],
        ("warn", "snapshot", "a restore does not bring back 1 publication"),
    ),
}


@pytest.mark.parametrize("case", HELD)
def test_what_a_snapshot_would_not_hold_is_said_before_the_first_run(case: str, database: str) -> None:
    schema, tables, (status, what, text) = HELD[case]
    owner_runs(database, schema)
    settings = Settings.model_validate({"snapshot": {"bucket": "x", "tables": tables}})
    found = list(examine_source(settings, lambda _: connection_of(database), now))
    (fault,) = [finding for finding in found if finding.status != "pass"]
    assert (fault.status, fault.what) == (status, what)
    assert text in fault.text


def test_large_objects_that_the_settings_include_must_be_readable(database: str, role: Role) -> None:
    owner_runs(database, "create table o (photo oid)", "insert into o values (lo_from_bytea(7777, 'x'))")
    snapshot = {"bucket": "x", "tables": [{"name": "public.o"}], "large_objects": True}
    settings = Settings.model_validate({"snapshot": snapshot})
    reader = role("in role pg_read_all_data")
    found = source_of(reader, settings)
    assert found["large objects"].status == "error"
    assert "no right to read 1 of the large objects" in found["large objects"].text
    assert "not held" not in found
    owner_runs(database, f'grant select on large object 7777 to "{name_of(reader)}"')
    assert source_of(reader, settings)["large objects"].status == "pass"
    owner_runs(database, f'revoke select on large object 7777 from "{name_of(reader)}"')


def test_one_unfit_table_does_not_hide_what_is_found_about_the_others(database: str) -> None:
    tables = [{"name": "public.gone"}, {"name": "public.t", "part_by": "v"}, {"name": "public.private"}]
    settings = Settings.model_validate({"snapshot": {"bucket": "x", "tables": tables}})
    found = {
        (each.what, each.check): each.status
        for each in examine_source(settings, lambda _: connection_of(database), now)
    }
    assert found["public.gone", "read"] == "error"
    assert found["public.t", "read"] == found["public.private", "read"] == "pass"
    assert found["public.t", "index"] == "warn"


def test_a_role_that_may_not_open_a_runs_connections(database: str, role: Role) -> None:
    reader = role("in role pg_read_all_data connection limit 5")
    found = source_of(reader)
    assert found["connections"].status == "error"
    assert found["connections"].text.endswith(f'ALTER ROLE "{name_of(reader)}" CONNECTION LIMIT 6')


def test_a_statement_timeout_is_no_limit(database: str, role: Role, stack: Stack) -> None:
    """Every session of an export sets its own."""
    reader = role("in role pg_read_all_data")
    with psycopg.connect(stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as superuser:
        for setting in (
            "statement_timeout",
            "idle_in_transaction_session_timeout",
            "lock_timeout",
            "transaction_timeout",
        ):
            superuser.execute(f"alter role \"{name_of(reader)}\" set {setting} = '50ms'")
    assert source_of(reader)["time limits"].status == "pass"


@contextmanager
def pooler(host: str, port: int) -> Iterator[int]:
    """A proxy that, as poolers do, tells clients a process id of its own. It pools whole sessions."""

    def relay(source: socket.socket, sink: socket.socket, change: bool) -> None:
        try:
            while data := source.recv(65536):
                if change:  # BackendKeyData: 'K', length 12, process id, secret
                    data = re.sub(rb"(?s)K\x00\x00\x00\x0c.{4}", b"K\x00\x00\x00\x0c\x00\x00\x00\x07", data, count=1)
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, sink):
                end.close()

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection((host, port))
            for pair in ((client, server, False), (server, client, True)):
                threading.Thread(target=relay, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_pooler_is_seen(database: str, stack: Stack) -> None:
    with pooler("127.0.0.1", int(stack.postgres.port or 0)) as port:
        found = source_of(psycopg.conninfo.make_conninfo(database, port=port))
    assert found["pooler"].status == "pass"
    assert "there is one, which gives each client a whole session" in found["pooler"].text


def drill_of(source: str, drill: str) -> Found:
    ids = {SETTINGS.connections.app: source, SETTINGS.connections.drill: drill}
    return by_check(examine_drill(SETTINGS, lambda conn_id: connection_of(ids[conn_id]), now))


def test_a_drill_that_burdens_the_source_is_a_warning(database: str, stack: Stack) -> None:
    found = drill_of(database, stack.postgres_conninfo("mindguard_drill"))
    assert found.pop("own server").status == "warn"
    assert {finding.status for finding in found.values()} == {"pass"}, found


def test_a_drill_that_may_create_no_database(database: str, role: Role) -> None:
    scratch = role("")
    found = drill_of(database, scratch)
    assert found["scratch database"].text.endswith(f'ALTER ROLE "{name_of(scratch)}" CREATEDB')
    assert found["scratch database"].status == "error"
    assert "the scratch database is the source's own" in found["own server"].text


def test_a_drill_that_lacks_what_the_source_uses(database: str, stack: Stack) -> None:
    name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(stack.postgres_conninfo("postgres", name)) as superuser:
        superuser.execute("update pg_extension set extname = 'postgis' where extname = 'plpgsql'")
        superuser.execute("update pg_collation set collname = 'zh-x-icu' where collname = 'ucs_basic'")
        superuser.execute('create table chinese (v text collate "zh-x-icu")')
    found = drill_of(database, stack.postgres_conninfo("mindguard_drill"))
    assert found["same means"].status == "warn"
    assert "lacks collation zh-x-icu, extension postgis" in found["same means"].text


def test_a_drill_in_another_encoding(database: str, stack: Stack) -> None:
    name = f"latin_{uuid.uuid4().hex[:8]}"
    make = "create database {} encoding latin1 locale 'C' locale_provider libc template template0"
    with psycopg.connect(stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as superuser:
        superuser.execute(sql.SQL(make).format(sql.Identifier(name)))
        try:
            found = drill_of(database, stack.postgres_conninfo("postgres", name))
        finally:
            superuser.execute(sql.SQL("drop database {}").format(sql.Identifier(name)))
    assert found["encoding"].status == "warn"
    assert "LATIN1, the source's is UTF8" in found["encoding"].text


def restore_of(conninfo: str) -> Found:
    return by_check(examine_restore(SETTINGS, lambda _: connection_of(conninfo), now))


def test_restoring_as_the_owner_passes(database: str) -> None:
    assert {finding.status for finding in restore_of(database).values()} == {"pass"}


def test_restoring_as_a_reader(database: str, role: Role) -> None:
    reader = role("in role pg_read_all_data")
    found = restore_of(reader)
    assert found["new schema"].status == "error"
    assert f'TO "{name_of(reader)}"' in found["new schema"].text
    assert found["live table"].status == "warn"
    assert "not swapped in" in found["live table"].text


def test_restoring_as_an_owner_who_may_not_create_in_the_schema(database: str) -> None:
    owner_runs(database, "revoke create on schema public from pg_database_owner")
    found = restore_of(database)["live table"]
    assert found.status == "warn"
    assert "compared, not swapped in – GRANT CREATE ON SCHEMA public TO" in found.text


def test_restoring_where_the_tables_are_not(stack: Stack) -> None:
    found = restore_of(stack.postgres_conninfo("mindguard_drill"))
    assert "nothing to compare with" in found["live table"].text


def test_what_the_daily_run_does_without_is_no_error(stack: Stack) -> None:
    environment = stack.environment()
    for name in ("OPS", "EVENTS", "RESTORE"):
        del environment[f"AIRFLOW_CONN_MINDGUARD_{name}"]
    findings = examine(SETTINGS, lambda conn_id: from_environment(conn_id, environment), now=now)
    found = {finding.what: finding for finding in findings}
    assert {found[f"mindguard_{name}"].status for name in ("events", "restore")} == {"unused"}
    assert found["mindguard_ops"].status == "warn"


def test_an_incident_store_that_cannot_be_reached_is_one_error(stack: Stack) -> None:
    ops = replace(from_environment("mindguard_ops", stack.environment()), port=9)

    def resolve(conn_id: str) -> Connection:
        if conn_id == ops.conn_id:
            return ops
        raise ConnectionMissing(conn_id)

    (found,) = [finding for finding in examine(SETTINGS, resolve, now=now) if finding.what == ops.conn_id]
    assert found.status == "error"
    assert "check that it is up and reachable from here" in found.text


def test_the_sources_fault_is_not_the_drills(stack: Stack) -> None:
    def resolve(conn_id: str) -> Connection:
        if conn_id == SETTINGS.connections.app:
            raise MindGuardError("no such connection")
        return connection_of(stack.postgres_conninfo("mindguard_drill"))

    found = by_check(examine_drill(SETTINGS, resolve, now))
    assert found["against source"].status == "unknown"
