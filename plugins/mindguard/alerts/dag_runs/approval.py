"""A question that waits for a person's answer: what is asked, the alert of it, and the page that takes the answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from mindguard.alerts.alert import Alert, Fact, Link, Question, fingerprint
from mindguard.alerts.dag_runs.failures import runbook
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.masking import fold, printable
from mindguard.texts import Locale

_MARKUP = re.compile(r"([!-/:-@\[-`{-~])")
_LONGEST_VALUE, _MOST_VALUES = 100, 50


@dataclass(frozen=True)
class Asked:
    """What a person is asked to approve, in the reader's language. A group may read it, so it holds no row's values.

    Attributes:
        question: the question, in one line.
        facts: what the person must know, most important first.
    """

    question: str
    facts: tuple[Fact, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values for XCom."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Asked:
        """Return what `to_json` wrote."""
        return cls(stored["question"], tuple(Fact(**fact) for fact in stored["facts"]))

    def lines(self, locale: Locale) -> list[str]:
        """Return the facts as lines for a log."""
        return [f"{fact.name}{TEXTS.say('colon', locale)}{fact.value}" for fact in self.facts]

    def page(self, chosen: Mapping[str, Sequence[str]], locale: Locale) -> str:
        """Return the facts as Markdown for the page that takes the answer.

        Only this page shows the values by which rows are chosen: who may read it may read the run's form as well, where
        somebody has entered them. They may identify a person, so the card names the columns and counts the values.

        Args:
            chosen: the values by which rows are chosen, by column.
            locale: language of the page.
        """
        colon = TEXTS.say("colon", locale)
        lines = [
            f"- {'⚠ ' if fact.wrong else ''}**{_literally(fact.name)}**{colon}{_literally(fact.value)}"
            for fact in self.facts
        ]
        for column, values in chosen.items():
            name = TEXTS.say("chosen_values", locale, column=column)
            lines.append(f"- **{_literally(name)}**{colon}{_listed(values, locale)}")
        return "\n".join(lines)


def _listed(values: Sequence[str], locale: Locale) -> str:
    shown = [_as_code(fold(_in_a_line(value), _LONGEST_VALUE) or '""') for value in values[:_MOST_VALUES]]
    if more := len(values) - len(shown):
        shown.append(_literally(TEXTS.say("more_values", locale, count=more)))
    return TEXTS.say("comma", locale).join(shown)


def _as_code(text: str) -> str:
    """Return a text as a code span, in which nothing is markup, and even an address is no link."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"`{text}`"


def _in_a_line(text: str) -> str:
    return " ".join(printable(text).split())


def _literally(text: str) -> str:
    """Escape a text for Markdown, so that nothing in it becomes markup: no link, no picture, no further line."""
    return _MARKUP.sub(r"\\\1", _in_a_line(text))


def approval_request(
    *,
    dag_id: str,
    run_id: str,
    question: str,
    severity: Severity,
    happened_at: datetime,
    page_url: str,
    locale: Locale,
    facts: Iterable[Fact] = (),
    plan: str = "",
    task_id: str = "",
    runbook_url: str = "",
    answer: Question | None = None,
) -> Alert:
    """Return the alert for a run that continues only when a person approves.

    Args:
        dag_id: the DAG that waits.
        run_id: its run.
        question: the question to approve, in one line.
        severity: the severity of the alert.
        happened_at: since when the run has waited, aware.
        page_url: address of the page that takes the answer.
        locale: language of the alert.
        facts: what the person must know.
        plan: the steps that follow the approval, if there are no facts.
        task_id: the task that waits, if its DAG can wait in more than one.
        runbook_url: address of the page with the DAG's runbook; empty if it has none.
        answer: until when it can be answered, and the answer once there is one.
    """
    answer = answer or Question()
    own = {"task": task_id} if task_id else {}
    page = TEXTS.say("open_answer" if answer.answer else "open_approval", locale)
    return Alert(
        title=question,
        severity=severity,
        subject=dag_id,
        happened_at=happened_at,
        fingerprint=fingerprint(dag_id, "approval", run=run_id, **own),
        facts=(*facts, Fact(TEXTS.say("run", locale), run_id)),
        detail=plan,
        links=(Link(page, page_url), *runbook(runbook_url, locale)),
        question=answer,
    )
