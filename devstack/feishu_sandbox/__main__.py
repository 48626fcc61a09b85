"""`python -m devstack.feishu_sandbox --port N --state FILE`; SIGINT and SIGTERM end it cleanly.

MINDGUARD_SANDBOX_TOKEN and MINDGUARD_SANDBOX_SECRET hold the hook's token and its signing secret, which may be empty.
MINDGUARD_SANDBOX_APP_ID, …_APP_SECRET and …_CHAT_ID hold the app that may send to one group; they may be left out.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import uvicorn

from devstack.feishu_sandbox.app_api import App
from devstack.feishu_sandbox.server import Sandbox


def main() -> int:
    """Serve as the command line asks.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="feishu_sandbox", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="file of JSON lines; kept across restarts")
    options = parser.parse_args()
    token = os.environ.get("MINDGUARD_SANDBOX_TOKEN", "")
    if not token:
        print("MINDGUARD_SANDBOX_TOKEN is not set", file=sys.stderr)
        return 2
    app = App(*(os.environ.get(f"MINDGUARD_SANDBOX_{name}", "") for name in ("APP_ID", "APP_SECRET", "CHAT_ID")))
    sandbox = Sandbox(token, os.environ.get("MINDGUARD_SANDBOX_SECRET", ""), options.state, app)
    # No access log: request lines hold the token.
    uvicorn.run(
        sandbox.app(),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
