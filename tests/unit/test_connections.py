"""Connections are read as Airflow reads them, become clients, and never show what is secret."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from mindguard import connections
from mindguard.connections import (
    Connection,
    ExtraNotUnderstood,
    clickhouse_client,
    clickhouse_limits,
    conn_id_of,
    from_environment,
    kafka_config,
    postgres_conninfo,
    refuse_aws_extras,
    s3_client,
)
from mindguard.errors import ConnectionMissing, MindGuardError

SECRET = "s3cr3t-Value"


def read(value: str, conn_id: str = "c") -> Connection:
    return from_environment(conn_id, {f"AIRFLOW_CONN_{conn_id.upper()}": value})


def as_dict(connection: Connection) -> dict[str, Any]:
    return {name: getattr(connection, name) for name in Connection.__dataclass_fields__ if name != "conn_id"}


# Errors


@pytest.mark.parametrize("environ", [{}, {"AIRFLOW_CONN_MINDGUARD_APP": ""}, {"AIRFLOW_CONN_MINDGUARD_APP": " \n"}])
def test_a_missing_connection_names_the_variable(environ: dict[str, str]) -> None:
    with pytest.raises(ConnectionMissing, match=r"^connection 'mindguard_app' .* set AIRFLOW_CONN_MINDGUARD_APP$"):
        from_environment("mindguard_app", environ)


@pytest.mark.parametrize(
    "value",
    [
        SECRET,
        f"//u:{SECRET}@h/db",
        f"no_such://u:{SECRET}@h/db",
        f"postgres:/u:{SECRET}@h/db",
        f"u:{SECRET}",
        f"postgres://u:{SECRET}@h:notaport/db",
        f"postgres://u:{SECRET}@h:65536/db",
        f"postgres://u:{SECRET}@[h/db",
        f"postgres://u:{SECRET}℀@h/db",
        f"aws://k@h/?__extra__={SECRET}",
        f"aws://k@h/?__extra__=%5B%22{SECRET}%22%5D",
        f"postgresql://u:ab@{SECRET}/x@host/db",
        f"postgresql://u:12?{SECRET}@host/db",
        f"postgresql://u:12#{SECRET}@host/db",
        f"postgresql://u:12/{SECRET}@host/db",
        f'{{"password": "{SECRET}"',
        f'{{"password": "{SECRET}", "port": "{SECRET}"}}',
        f'{{"password": "{SECRET}", "extra": "{SECRET}"}}',
        f'{{"password": "{SECRET}", "extra": 5}}',
        f'{{"password": "{SECRET}", "extra": ["{SECRET}"]}}',
        f'{{"password": "{SECRET}", "extra": "[1]"}}',
        f'{{"password": "{SECRET}", "conn_type": 5}}',
        f'{{"password": "{SECRET}", "extra": ' + "[" * 100_000,
    ],
)
def test_an_unreadable_connection_is_never_quoted(value: str) -> None:
    with pytest.raises(MindGuardError, match="AIRFLOW_CONN_C is neither a connection URI nor") as caught:
        read(value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "a traceback would print the original error, which quotes the value"


@pytest.mark.parametrize(
    "value",
    [
        f"postgres://user:{SECRET}@host/db?sslpassword={SECRET}",
        json.dumps({"conn_type": "aws", "login": "user", "password": SECRET, "extra": {"aws_session_token": SECRET}}),
    ],
)
def test_repr_shows_no_secret(value: str) -> None:
    connection = read(value)
    assert "user" in repr(connection)
    assert SECRET not in f"{connection!r} {connection} {[connection]}"


# The two forms


def test_a_uri_is_read() -> None:
    connection = read(
        "postgres://us%40er:p%2Fa%3As%25s@db.example:5433/my%20db?sslmode=require&options=-c%20a%3Db", "x"
    )
    assert connection == Connection(
        conn_id="x",
        conn_type="postgres",
        host="db.example",
        login="us@er",
        password="p/a:s%s",
        port=5433,
        schema="my db",
        extra={"sslmode": "require", "options": "-c a=b"},
    )


@pytest.mark.parametrize("extra", [{"a": {"b": [1, None]}}, json.dumps({"a": {"b": [1, None]}})])
@pytest.mark.parametrize("port", [5433, "5433"])
def test_json_is_read(extra: Any, port: Any) -> None:
    fields = {"host": "db.example", "login": "us@er", "password": "p/a:s%s", "schema": "my db"}
    connection = read(json.dumps({"conn_type": "postgres", "port": port, "extra": extra, **fields}))
    assert as_dict(connection) == {"conn_type": "postgres", "port": 5433, "extra": {"a": {"b": [1, None]}}, **fields}


@pytest.mark.parametrize(
    "value",
    [
        *("aws://", "aws:///", "aws://@/", "aws://:@", "aws://?__extra__=", "aws://?__extra__=null"),
        *('{"conn_type": "aws"}', '{"conn_type": "aws", "extra": ""}', '{"conn_type": "aws", "extra": "null"}'),
    ],
)
def test_what_is_left_out_is_empty(value: str) -> None:
    assert read(value) == Connection("c", "aws")


def test_nulls_in_json_are_empty() -> None:
    nulls = dict.fromkeys(("conn_type", "host", "login", "password", "port", "schema", "extra"))
    assert read(json.dumps(nulls)) == Connection("c", "")


def test_a_number_in_json_is_its_text() -> None:
    assert read('{"conn_type": "postgres", "password": 12345, "schema": 7}').password == "12345"


def test_spaces_around_the_value_do_not_matter() -> None:
    assert read(' {"conn_type": "aws"}\n') == read(" aws://\n") == Connection("c", "aws")


# As Airflow reads them

CONN_TYPE = st.sampled_from(["postgres", "postgresql", "aws", "feishu", "http", "google-cloud-platform"])
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
HOST = (
    st.none()
    | st.from_regex(r"[a-zA-Z0-9.-]{1,20}", fullmatch=True)
    | st.sampled_from(["::1", "/tmp/Socket", "a,b", "https://h.example", "https://h.example/open-apis/Hook/"])
)
PORT = st.none() | st.integers(1, 65535)
FLAT_EXTRA = st.dictionaries(ANY_TEXT, ANY_TEXT, max_size=3)
DEEP_EXTRA = st.dictionaries(ANY_TEXT, st.recursive(st.none() | st.integers() | ANY_TEXT, st.lists), max_size=3)


@pytest.fixture(scope="module")
def airflow_connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The class through which a task sees its connections."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow-home")))
        from airflow.sdk import Connection as AirflowConnection

        yield AirflowConnection


def by_airflow(connection: Any) -> dict[str, Any]:
    """Airflow's reading as our record holds it: empty where Airflow says None."""
    texts = {name: getattr(connection, name) or "" for name in ("conn_type", "host", "login", "password", "schema")}
    return {**texts, "port": connection.port, "extra": json.loads(connection.extra or "{}")}


@pytest.mark.parametrize(
    "uri",
    [
        "feishu://https://:token@open.feishu.cn%2Fopen-apis%2Fbot%2Fv2%2Fhook%2F",
        "http://https://u:p@h.example:8443/x",
        "http://https://",
        "aws://?endpoint_url=http://127.0.0.1:9000",
        "postgres://h//db",
        "aws://k:s@/?__extra__=",
    ],
)
def test_an_unusual_uri_is_read_as_airflow_reads_it(airflow_connection: Any, uri: str) -> None:
    assert as_dict(read(uri)) == by_airflow(airflow_connection.from_uri(uri, conn_id="c"))


@pytest.mark.parametrize("conn_type", ["postgres", "postgresql", "google-cloud-platform", "google_cloud_platform"])
def test_a_connection_type_in_json_is_named_as_airflow_names_it(airflow_connection: Any, conn_type: str) -> None:
    value = json.dumps({"conn_type": conn_type})
    assert read(value).conn_type == airflow_connection.from_json(value, conn_id="c").conn_type


def quoted_host(host: str) -> str:
    return f"[{host}]" if host.startswith(":") else quote(host, safe=",")


@given(
    conn_type=CONN_TYPE,
    login=st.none() | ANY_TEXT,
    password=st.none() | ANY_TEXT,
    host=HOST,
    port=PORT,
    schema=st.none() | ANY_TEXT,
    extra=st.none() | FLAT_EXTRA,
    deep=st.none() | DEEP_EXTRA,
)
def test_a_uri_is_read_as_airflow_reads_it(
    airflow_connection: Any,
    conn_type: str,
    login: str | None,
    password: str | None,
    host: str | None,
    port: int | None,
    schema: str | None,
    extra: dict[str, str] | None,
    deep: dict[str, Any] | None,
) -> None:
    user = quote(login or "", safe="") + ("" if password is None else ":" + quote(password, safe=""))
    query = {"__extra__": json.dumps(deep)} if deep is not None else extra or {}
    uri = (
        f"{conn_type}://{user}@{quoted_host(host or '')}{f':{port}' if port else ''}"
        f"/{quote(schema or '', safe='')}?{urlencode(query)}"
    )
    ours = read(uri)
    assert as_dict(ours) == by_airflow(airflow_connection.from_uri(uri, conn_id="c"))
    assert (ours.login, ours.password, ours.schema) == (login or "", password or "", schema or "")
    assert ours.extra == (deep if deep is not None else extra or {})


@given(login=ANY_TEXT, password=ANY_TEXT, host=HOST, port=PORT, schema=ANY_TEXT, extra=FLAT_EXTRA | DEEP_EXTRA)
def test_what_airflow_writes_is_read_back(airflow_connection: Any, host: str | None, **fields: Any) -> None:
    """As URI and as JSON, the two forms that `airflow connections export` gives."""
    extra = fields.pop("extra")
    theirs = airflow_connection(conn_id="c", conn_type="aws", host=host, extra=json.dumps(extra), **fields)
    expected = {"conn_type": "aws", "host": host or "", "extra": extra, **fields}
    # Airflow's own as_json would hand the extra to its secrets masker, which grows with every example.
    as_json = json.dumps({"conn_type": "aws", "host": host, "extra": extra, **fields})
    assert as_dict(read(as_json)) == expected == by_airflow(airflow_connection.from_json(as_json, conn_id="c"))
    if (host or "").startswith(":"):
        return  # Airflow writes an IPv6 address without its brackets, which neither of us can read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(airflow_connection, "extra_dejson", extra)
        uri = theirs.get_uri()
    assert as_dict(read(uri)) == by_airflow(airflow_connection.from_uri(uri, conn_id="c"))
    assert read(uri).extra == extra


# Clients


@given(
    st.builds(
        Connection,
        conn_id=st.just("c"),
        conn_type=st.just("postgres"),
        host=st.from_regex(r"[a-z.]{1,9}", fullmatch=True),
        login=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
        password=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
        port=st.integers(1, 65535),
        schema=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    )
)
def test_libpq_is_given_each_value_unchanged(connection: Connection) -> None:
    """Whatever quotes, spaces and backslashes a password holds, none of it becomes another setting."""
    assert conninfo_to_dict(postgres_conninfo(connection)) == {
        "host": connection.host,
        "port": str(connection.port),
        "user": connection.login,
        "password": connection.password,
        "dbname": connection.schema,
        "connect_timeout": "10",
        "application_name": "mindguard",
        "fallback_application_name": connection.conn_id,
    }


def test_libpq_is_given_the_extras_that_are_its_own() -> None:
    libpq = {
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ssl/my root.pem",
        "options": "-c search_path=x",
        "target_session_attrs": "read-only",
        "keepalives_idle": "30",
        "gssencmode": "disable",
        "require_auth": "scram-sha-256",
        "channel_binding": "require",
        "load_balance_hosts": "random",
        "connect_timeout": "3",
    }
    airflows = {"cursor": "dictcursor", "iam": False, "aws_conn_id": "x", "sslcert": None, "sslkey": ""}
    info = conninfo_to_dict(postgres_conninfo(Connection("c", "postgres", host="h", extra={**libpq, **airflows})))
    assert info == {"host": "h", "application_name": "mindguard", "fallback_application_name": "c", **libpq}


@pytest.mark.parametrize(
    "value",
    [
        '{"conn_type": "postgres", "host": "a,b", "port": "1,2"}',
        '{"conn_type": "postgres", "host": "a,b", "extra": {"port": "1,2"}}',
        '{"conn_type": "postgres", "host": "a", "port": 5, "extra": {"host": "a,b", "port": "1,2"}}',
        "postgres://a,b/?port=1,2",
    ],
)
def test_several_hosts_may_have_a_port_each(value: str) -> None:
    info = conninfo_to_dict(postgres_conninfo(read(value)))
    assert (info["host"], info["port"]) == ("a,b", "1,2")


@pytest.mark.parametrize(
    ("client", "extra", "said"),
    [
        (postgres_conninfo, {"sslfoo": SECRET}, "extra 'sslfoo' is not understood – did you mean ssl"),
        (postgres_conninfo, {"requireauth": SECRET}, "'requireauth' is not understood – did you mean require_auth?"),
        (postgres_conninfo, {"iam": True}, "extra 'iam' is not understood – tokens of a cloud are not supported"),
        (postgres_conninfo, {"redshift": True}, "'redshift' is not understood – tokens of a cloud"),
        (postgres_conninfo, {"azure_conn_id": SECRET}, "'azure_conn_id' is not understood – tokens of a cloud"),
        (postgres_conninfo, {"client_encoding": "LATIN1"}, "'client_encoding' is not understood"),
        (postgres_conninfo, {"replication": "database"}, "'replication' is not understood"),
        (postgres_conninfo, {"options": [SECRET]}, "'options' is not understood – write its value as text"),
        (s3_client, {"verifies": SECRET}, "'verifies' is not understood – did you mean verify?"),
        (s3_client, {"host": SECRET}, "'host' is not understood – correct or remove it"),
        (s3_client, {"s3_config_file": SECRET}, "'s3_config_file' is not understood"),
        (s3_client, {"external_id": SECRET}, "'external_id' is not understood"),
        (s3_client, {"verify": f"/{SECRET}"}, "'verify' is not understood – write true, false, or the path"),
        (s3_client, {"config_kwargs": '{"read_timeout": 5}'}, "'config_kwargs' is not understood – write a JSON"),
        (s3_client, {"service_config": SECRET}, "'service_config' is not understood – write a JSON"),
        (s3_client, {"service_config": {"s3": {"url": SECRET}}}, "'service_config.s3.url' is not understood"),
        (s3_client, {"session_kwargs": {"botocore_session": SECRET}}, "'session_kwargs.botocore_session' is not"),
        (s3_client, {"role_arn": SECRET, "assume_role_method": "assume_role_with_saml"}, "'assume_role_method' is not"),
        (s3_client, {"assume_role_kwargs": {"ExternalId": SECRET}}, "'assume_role_kwargs' is not understood"),
        (s3_client, {"assume_role_method": "assume_role_with_saml"}, "'assume_role_method' is not understood"),
        (s3_client, {"config_kwargs": {"s3": {"adressing_style": SECRET}}}, "s3.adressing_style' is not understood"),
        (s3_client, {"config_kwargs": {"s3": SECRET}}, "'config_kwargs.s3' is not understood"),
        (s3_client, {"role_arn": SECRET, "assume_role_kwargs": SECRET}, "'assume_role_kwargs' is not understood"),
        (clickhouse_client, {"Secure": True}, "'Secure' is not understood – did you mean secure?"),
        (clickhouse_client, {"client_kwargs": SECRET}, "'client_kwargs' is not understood – write a JSON object"),
        (clickhouse_client, {"session_settings": SECRET}, "'session_settings' is not understood"),
        (
            clickhouse_client,
            {"session_settings": {"read_overflow_mode": "break"}},
            "session_settings.read_overflow_mode",
        ),
        (clickhouse_client, {"session_settings": {"group_by_overflow_mode": "any"}}, "what is judged must be a whole"),
        (clickhouse_client, {"session_settings": {"limit": 10}}, "'session_settings.limit' is not understood"),
        (clickhouse_client, {"session_settings": {"skip_unavailable_shards": 1}}, "skip_unavailable_shards"),
    ],
)
@pytest.mark.usefixtures("no_aws_environment")
def test_an_extra_that_would_have_no_effect_is_one_line(
    client: Callable[[Connection], object], extra: dict[str, Any], said: str
) -> None:
    with pytest.raises(ExtraNotUnderstood) as caught:
        client(Connection("c", "", host="" if client is s3_client else "h", password=SECRET, extra=extra))
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_a_connection_leaves_out_is_libpqs_to_find() -> None:
    assert set(conninfo_to_dict(postgres_conninfo(Connection("c", "postgres")))) == {
        "connect_timeout",
        "application_name",
        "fallback_application_name",
    }


def test_a_connection_string_tells_whose_it_is_on_all_its_ways() -> None:
    conninfo = postgres_conninfo(Connection("mindguard_app", "postgres", host="h", extra={"application_name": "own"}))
    assert conn_id_of(make_conninfo(conninfo, host="other", application_name="mindguard-snapshot-1")) == "mindguard_app"
    assert conn_id_of("host=h") == ""


@pytest.fixture
def no_aws_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


def s3(**extra: Any) -> Any:
    return s3_client(Connection("c", "aws", login="AK", password="SK", extra=extra))


def config_of(client: Any) -> Config:
    config: Config = client.meta.config
    return config


@pytest.mark.usefixtures("no_aws_environment")
def test_s3_takes_endpoint_region_and_keys() -> None:
    client = s3(endpoint_url="http://127.0.0.1:8333", region_name="cn-north-1", aws_session_token="ST")
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://127.0.0.1:8333", "cn-north-1")
    keys = client._request_signer._credentials
    assert (keys.access_key, keys.secret_key, keys.token) == ("AK", "SK", "ST")


@pytest.mark.usefixtures("no_aws_environment")
@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"endpoint_url": "127.0.0.1:9000"}, "Invalid endpoint: 127.0.0.1:9000 – endpoint_url must begin with http"),
        ({"endpoint_url": f"u:{SECRET}@h"}, "Invalid endpoint: "),
        ({"profile_name": SECRET}, "The config profile (…) could not be found"),
        ({"region_name": "not a region"}, "region_name 'not a region' doesn't match"),
        ({"config_kwargs": {"nope": 1}}, "unexpected keyword argument 'nope'"),
        ({"config_kwargs": {"s3": {"addressing_style": "bogus"}}}, "S3 addressing style bogus is invalid"),
        ({"config_kwargs": {"request_checksum_calculation": "never"}}, "when_required"),
    ],
)
def test_an_extra_that_s3_cannot_use_is_one_line(extra: dict[str, Any], said: str) -> None:
    with pytest.raises(MindGuardError, match=r"^connection 'c' is not valid for S3: ") as caught:
        s3(**extra)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.usefixtures("no_aws_environment")
def test_s3_takes_what_airflows_own_hook_takes() -> None:
    session = {"aws_access_key_id": "AK2", "aws_secret_access_key": "SK2", "region_name": "eu-west-1"}
    client: Any = s3_client(Connection("c", "aws", extra={"session_kwargs": session}))
    assert (client.meta.region_name, client._request_signer._credentials.access_key) == ("eu-west-1", "AK2")
    ours = {
        "endpoint_url": "http://everything.example",
        "service_config": {"s3": {"endpoint_url": "http://s3.example"}},
    }
    assert s3(**ours).meta.endpoint_url == "http://s3.example"
    assert s3(endpoint_url="https://s3.example", verify=False)._endpoint.http_session._verify is False
    assert s3(endpoint_url="https://s3.example", verify="false")._endpoint.http_session._verify is False
    assert s3(endpoint_url="https://s3.example", verify=__file__)._endpoint.http_session._verify == __file__
    from botocore import UNSIGNED

    assert config_of(s3(config_kwargs={"signature_version": "unsigned"})).signature_version is UNSIGNED


@pytest.mark.usefixtures("no_aws_environment")
@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_s3_extra_is_as_good_as_none(empty: Any) -> None:
    names = ("endpoint_url", "region_name", "aws_session_token", "config_kwargs")
    assert s3(**dict.fromkeys(names, empty)).meta.endpoint_url == s3().meta.endpoint_url


@pytest.mark.usefixtures("no_aws_environment")
@pytest.mark.parametrize(
    ("style", "url"), [("path", "http://s3.example/bucket/k"), ("virtual", "http://bucket.s3.example/k")]
)
def test_s3_takes_the_addressing_style(style: str, url: str) -> None:
    client = s3(endpoint_url="http://s3.example", config_kwargs={"s3": {"addressing_style": style}})
    assert client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": "k"}).startswith(f"{url}?")


@pytest.mark.usefixtures("no_aws_environment")
def test_s3_sends_no_checksum_of_its_own_where_the_store_cannot_take_it() -> None:
    """boto3 ≥ 1.36 adds one to every upload, which breaks COS, OSS and others."""
    when_required = s3(
        endpoint_url="http://s3.example",
        config_kwargs={
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
    )
    assert config_of(when_required).request_checksum_calculation == "when_required"
    assert config_of(when_required).response_checksum_validation == "when_required"
    assert config_of(s3(endpoint_url="http://s3.example")).request_checksum_calculation == "when_supported"


@pytest.mark.usefixtures("no_aws_environment")
def test_s3_config_of_the_connection_wins_and_leaves_the_rest() -> None:
    ours = config_of(s3(endpoint_url="http://s3.example"))
    theirs = config_of(s3(endpoint_url="http://s3.example", config_kwargs={"read_timeout": 7}))
    assert (ours.connect_timeout, ours.read_timeout, ours.max_pool_connections) == (10, 60, 32)
    assert (theirs.connect_timeout, theirs.read_timeout, theirs.max_pool_connections) == (10, 7, 32)
    assert ours.retries["mode"] == "standard"
    assert ours.retries["total_max_attempts"] == 5


def test_s3_without_keys_leaves_them_to_boto3s_chain(no_aws_environment: pytest.MonkeyPatch) -> None:
    import boto3

    no_aws_environment.setattr(boto3, "DEFAULT_SESSION", None)
    no_aws_environment.setenv("AWS_ACCESS_KEY_ID", "FROM-ENVIRONMENT")
    no_aws_environment.setenv("AWS_SECRET_ACCESS_KEY", "x")
    client: Any = s3_client(Connection("c", "aws", extra={"endpoint_url": "http://s3.example"}))
    assert client._request_signer._credentials.access_key == "FROM-ENVIRONMENT"


@pytest.mark.parametrize(
    ("client", "value", "needed"),
    [
        (postgres_conninfo, "mysql://u:p@h:3306/app", "mysql, and one of type postgres"),
        (postgres_conninfo, "aws://?endpoint_url=http%3A%2F%2Fh", "aws, and one of type postgres"),
        (s3_client, "postgresql://u:p@h/app", "postgres, and one of type aws"),
        (refuse_aws_extras, "http://h", "http, and one of type aws"),
        (clickhouse_client, "http://h", "http, and one of type clickhouse"),
        (kafka_config, "redis://h", "redis, and one of type kafka"),
    ],
)
def test_a_connection_of_another_type_is_refused(
    client: Callable[[Connection], object], value: str, needed: str
) -> None:
    with pytest.raises(MindGuardError) as caught:
        client(read(value))
    assert str(caught.value) == (
        f"connection 'c' is of type {needed} is needed – name another connection, or correct its type"
    )


@pytest.mark.parametrize("client", [s3_client, refuse_aws_extras])
@pytest.mark.parametrize("field", [{"host": "s3.example"}, {"port": 9000}])
def test_a_host_that_s3_would_ignore_is_refused(client: Callable[[Connection], object], field: dict[str, Any]) -> None:
    with pytest.raises(MindGuardError, match="have no effect – write the store's address as extra endpoint_url"):
        client(Connection("c", "aws", **field))


def test_the_page_lists_every_extra() -> None:
    page = (Path(__file__).parents[2] / "docs" / "connections.md").read_text("utf-8")
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in page.splitlines() if line.startswith("|")}

    def named(cell: str) -> set[str]:
        return set(re.findall(r"`([\w-]+)`", cell))

    assert named(cells["aws"][1]) == connections._S3_EXTRAS
    assert named(cells["clickhouse"][1]) == connections._CLICKHOUSE_EXTRAS
    assert named(cells["clickhouse"][2]) == connections._IGNORED_BY_CLICKHOUSE
    assert named(cells["postgres"][2]) == connections._IGNORED_BY_POSTGRES
    assert named(cells["postgres"][3]) == {*connections._TOKENS_FOR_POSTGRES, *connections._NOT_FOR_POSTGRES}


class ProfileOfClickHouse:
    """A client as far as settings go, whose user has a profile."""

    def __init__(self, readonly: int, **profile: str) -> None:
        self.server_settings = {
            name: SimpleNamespace(value=value, readonly=readonly) for name, value in profile.items()
        }
        self.asked: dict[str, str] = {}

    def set_client_setting(self, key: str, value: str) -> None:
        self.asked[key] = value

    def close(self) -> None:
        pass


CUTS = {
    "read_overflow_mode": "break",
    "timeout_overflow_mode_leaf": "break",
    "group_by_overflow_mode": "any",
    "result_overflow_mode": "break",
    "skip_unavailable_shards": "1",
    "limit": "10",
}


def test_a_profile_that_cuts_answers_is_overruled(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ProfileOfClickHouse(0, **CUTS, sort_overflow_mode="throw", max_rows_to_read="10", limit_fields="3")
    monkeypatch.setattr("clickhouse_connect.get_client", lambda **kwargs: server)
    clickhouse_client(Connection("c", "clickhouse", host="h"))
    assert server.asked == {name: "0" if name in {"limit", "skip_unavailable_shards"} else "throw" for name in CUTS}


@pytest.mark.parametrize("name", CUTS)
def test_a_profile_that_fixes_partial_answers_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ProfileOfClickHouse(1, **{name: CUTS[name]})
    monkeypatch.setattr("clickhouse_connect.get_client", lambda **kwargs: server)
    with pytest.raises(MindGuardError, match=rf"fixes {name} = {CUTS[name]}, so that answers can be partial"):
        clickhouse_client(Connection("c", "clickhouse", host="h"))


@pytest.mark.parametrize(
    ("readonly", "value", "limits"), [(0, "0", {"rows": 5}), (0, "9", {"rows": 5}), (0, "4", {}), (1, "0", {})]
)
def test_a_limit_of_the_profile_that_is_lower_or_fixed_remains(
    readonly: int, value: str, limits: dict[str, float]
) -> None:
    server: Any = ProfileOfClickHouse(readonly, rows=value)
    assert clickhouse_limits(server, rows=5, unknown=1) == limits
