"""Why a call failed, in words for people on call: no names of Python's errors, and no address."""

from __future__ import annotations

import json
import socket
import ssl

import httpx
import pytest
from botocore import exceptions

from mindguard.errors import MindGuardError
from mindguard.fetch import explained, in_words
from mindguard.snapshots.storage.s3_errors import why_no_answer

SECRET = "https://h/s3cr3t"


def caused_by(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (httpx.ConnectError(SECRET), "the connection broke"),
        (caused_by(httpx.ConnectError(SECRET), socket.gaierror(-2, "x")), "its host name is not known"),
        (caused_by(httpx.ConnectError(SECRET), ConnectionRefusedError()), "the connection is refused: nothing listens"),
        (caused_by(httpx.ConnectError(SECRET), ssl.SSLCertVerificationError()), "its certificate is not trusted"),
        (httpx.ReadError(SECRET), "the connection broke"),
        (httpx.TooManyRedirects(SECRET), "it redirects again and again"),
        (httpx.DecodingError(SECRET), "its answer is not compressed as it says"),
        (httpx.ProxyError(SECRET), "the proxy refuses the connection"),
        (httpx.InvalidURL(SECRET), "the address is not valid"),
        (httpx.HTTPStatusError(SECRET, request=httpx.Request("GET", SECRET), response=httpx.Response(503)), "HTTP 503"),
        (json.JSONDecodeError("Expecting value", SECRET, 0), "its answer is not JSON"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, SECRET), "its answer is not text in UTF-8"),
        (TimeoutError(SECRET), "no answer in time"),
        (httpx.HTTPError(SECRET), "the call failed"),
        (httpx.CookieConflict(SECRET), "the call failed"),
    ],
)
def test_a_failed_call(error: Exception, words: str) -> None:
    said = explained(error) if isinstance(error, httpx.HTTPStatusError) else in_words(error)
    assert said.startswith(words)
    assert "s3cr3t" not in said


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MindGuardError("a", hint="b"), "a – b"),
        (httpx.ReadTimeout(SECRET), "no answer in time"),
        (KeyError("http"), "KeyError: 'http'"),
        (RuntimeError("two\n lines"), "RuntimeError: two lines"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (Unsayable(), "Unsayable"),
    ],
)
def test_an_error_that_nobody_foresaw_is_one_line(error: Exception, line: str) -> None:
    assert explained(error) == line


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (exceptions.NoCredentialsError(), "there is no access key"),
        (exceptions.EndpointConnectionError(endpoint_url=SECRET), "it cannot be reached"),
        (caused_by(exceptions.EndpointConnectionError(endpoint_url=SECRET), socket.gaierror()), "its host name is not"),
        (exceptions.ReadTimeoutError(endpoint_url=SECRET), "no answer in time"),
        (exceptions.SSLError(endpoint_url=SECRET, error="e"), "there is no TLS connection to it"),
        (exceptions.ConnectionClosedError(endpoint_url=SECRET), "it closed the connection"),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), "its answer broke off"),
        (ConnectionRefusedError(), "the connection is refused"),
        (BrokenPipeError(), "the connection broke"),
        (exceptions.UnknownServiceError(service_name="x", known_service_names="y"), "the call failed"),
    ],
)
def test_a_store_without_an_answer(error: Exception, words: str) -> None:
    assert why_no_answer(error).startswith(words)
