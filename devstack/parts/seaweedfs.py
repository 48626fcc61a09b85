"""SeaweedFS, the S3 store, as a supervised part, with its buckets."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.parts.base import Part, http_status
from devstack.process import Stopped, last_lines
from devstack.state import StackError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

BUCKET = "mindguard-backup"
PROBE_BUCKET = "devstack-probe"
REGION = "us-east-1"


class SeaweedFS(Part):
    """An S3 service with its buckets, all in one process."""

    name = "seaweedfs"
    port_names = (
        "s3",
        *("s3-grpc", "master", "master-grpc", "filer", "filer-grpc", "volume", "volume-grpc"),
        *("admin", "admin-grpc"),
    )

    def command(self) -> list[str]:
        """Return the program and its arguments."""
        port = self.state.ports
        flags = {
            "dir": self.folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "master.port": port["master"],
            "master.port.grpc": port["master-grpc"],
            "master.telemetry": "false",
            "filer.port": port["filer"],
            "filer.port.grpc": port["filer-grpc"],
            "volume.port": port["volume"],
            "volume.port.grpc": port["volume-grpc"],
            "s3.port": port["s3"],
            "s3.port.grpc": port["s3-grpc"],
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            # As with a real store, a misspelt bucket is an error, and a bucket with objects in it cannot be deleted.
            "s3.autoCreateBucket": "false",
            "s3.allowDeleteBucketNotEmpty": "false",
            "admin.ui": "false",
            "admin.port": port["admin"],
            "admin.port.grpc": port["admin-grpc"],
            "webdav": "false",
            "volume.preStopSeconds": 0,
            # The default is free disk space divided by volume size. Each bucket takes several volumes, so that
            # none would soon be left.
            "volume.max": 10_000,
        }
        program = Path(sys.executable).with_name("weed")
        return [str(program), "mini", *(f"-{name}={value}" for name, value in flags.items())]

    def environment(self) -> dict[str, str]:
        """Return the environment with the keys."""
        return super().environment() | {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
        }

    @property
    def access_key(self) -> str:
        """The generated key id."""
        return self.state.secret("s3:access-key")

    @property
    def secret_key(self) -> str:
        """The generated secret key."""
        return self.state.secret("s3:secret-key")

    @property
    def endpoint(self) -> str:
        """The URL of the S3 service."""
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        """Make the folder, and remove sockets that an earlier process left."""
        super().prepare()
        self._remove_sockets()

    def stop(self) -> None:
        """Stop the process and remove its sockets."""
        super().stop()
        self._remove_sockets()

    def _remove_sockets(self) -> None:
        """Remove the local sockets that SeaweedFS leaves in /tmp, even after a clean stop."""
        for port in (self.state.ports[name] for name in self.port_names):
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                path.unlink(missing_ok=True)

    def client(self) -> S3Client:
        """Return a new S3 client of boto3."""
        import boto3
        from botocore.config import Config

        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                s3={"addressing_style": "path"},
                proxies={},
                connect_timeout=3,
                retries={"total_max_attempts": 3},
            ),
        )
        return client

    def probe(self) -> bool:
        """Return whether the gateway answers without a server error."""
        # A gateway that serves refuses a request without a signature; before that it answers 5xx or not at all.
        return http_status(self.endpoint) < 500

    def after_ready(self) -> None:
        """Make the buckets, and wait until bytes can be written and read: the gateway answers before that."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self.client()
        deadline = time.monotonic() + self.ready_timeout_s
        while True:
            try:
                for bucket in (BUCKET, PROBE_BUCKET):
                    self._make_bucket(client, bucket)
                client.put_object(Bucket=PROBE_BUCKET, Key="probe", Body=b"ready")
                client.get_object(Bucket=PROBE_BUCKET, Key="probe")["Body"].read()
                return
            except (ClientError, BotoCoreError) as error:
                if time.monotonic() > deadline:
                    raise StackError(f"seaweedfs does not store objects: {error}; {last_lines(self.log)}") from error
            if self.stopping.wait(0.1):
                raise Stopped

    @staticmethod
    def _make_bucket(client: S3Client, bucket: str) -> None:
        from botocore.exceptions import ClientError

        try:
            client.create_bucket(Bucket=bucket)
        except ClientError as error:
            if not error.response["Error"]["Code"].startswith("BucketAlready"):
                raise
