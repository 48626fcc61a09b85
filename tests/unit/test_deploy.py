"""The files for Prometheus, by Prometheus' own tool where it is installed; and that they name only what there is."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
@pytest.mark.parametrize(
    "command",
    ["check rules rules.yml", "test rules rules_test.yml", "check config --syntax-only scrape.yml"],
)
def test_promtool(command: str) -> None:
    done = subprocess.run(
        ["promtool", *command.split()], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["prometheus/rules.yml", "grafana/dashboard.json"])
def test_only_metrics_that_there_are(name: str) -> None:
    made = (ROOT / "plugins/mindguard/monitors/metrics.py").read_text()
    known = set(re.findall(r'_gauge\(\s*"([a-z_]+)"', made))
    used = set(re.findall(r"mindguard_([a-z_]+)[ {)=><]", (DEPLOY / name).read_text()))
    assert used - known == set()
    assert len(used) >= 5
