"""Airflow's forms in a real browser: each opens ready to be sent, and starts a run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from devstack.stack import ADMIN, Stack

CHROMIUM = shutil.which("chromium")
DAGS = sorted(path.stem for path in (Path(__file__).parents[2] / "dags").glob("*.py"))

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def page(airflow_stack: Stack) -> Iterator[Page]:
    """A browser in which the administrator is logged in to Airflow."""
    site = airflow_stack.site
    assert site
    airflow_stack.airflow_api().wait_for_dags(*DAGS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(site.url)
        page.fill("input[name=username]", ADMIN)
        page.fill("input[name=password]", site.password)
        page.keyboard.press("Enter")
        page.wait_for_url(f"{site.url}/")
        yield page
        browser.close()


@pytest.mark.parametrize("dag_id", DAGS)
def test_a_form_opens_ready_to_be_sent_and_starts_a_run(dag_id: str, page: Page, airflow_stack: Stack) -> None:
    assert airflow_stack.site
    api = airflow_stack.airflow_api()
    paused = api.call("GET", f"/dags/{dag_id}")["is_paused"]
    # The run of a paused DAG is only queued, so it disturbs no other test.
    api.set_paused(dag_id, paused=True)
    before = {run["dag_run_id"] for run in api.runs(dag_id)}
    try:
        page.goto(f"{airflow_stack.site.url}/dags/{dag_id}")
        page.get_by_role("button", name="Trigger").first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_text("Unpause").click()
        with page.expect_response(lambda answer: answer.url.endswith(f"/dags/{dag_id}/dagRuns")) as answered:
            dialog.get_by_role("button", name="Trigger", exact=True).click()
        run_id = answered.value.json()["dag_run_id"]
        assert run_id in {run["dag_run_id"] for run in api.runs(dag_id)} - before
        assert api.call("GET", f"/dags/{dag_id}")["is_paused"]
        api.call("DELETE", f"/dags/{dag_id}/dagRuns/{run_id}")
    finally:
        api.set_paused(dag_id, paused=paused)


def test_tables_are_chosen_and_the_form_speaks_the_reader_s_language(page: Page, airflow_stack: Stack) -> None:
    assert airflow_stack.site
    api = airflow_stack.airflow_api()
    api.set_paused("restore_tables", paused=True)
    page.goto(f"{airflow_stack.site.url}/dags/restore_tables")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Unpause").click()
    expect(dialog.get_by_role("combobox", name="写回线上表")).to_be_visible()
    # Chosen, cleared, and chosen again: what is cleared must not be refused.
    field = dialog.get_by_role("combobox", name="Select one or multiple values")
    for clear in (True, False):
        field.click()
        page.get_by_role("option", name="public.checkins", exact=True).click()
        if clear:
            field.press("Backspace")
    with page.expect_response(lambda answer: answer.url.endswith("/dags/restore_tables/dagRuns")) as answered:
        dialog.get_by_role("button", name="Trigger", exact=True).click()
    run = answered.value.json()
    assert run["conf"]["tables"] == ["public.checkins"]
    api.call("DELETE", f"/dags/restore_tables/dagRuns/{run['dag_run_id']}")
