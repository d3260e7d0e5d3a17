"""What a doctor found, for people as rows of text, for programs as a JSON document."""

from __future__ import annotations

from typing import Any

from twistedp2p.core.diagnosis import CHECKS, Diagnosis
from twistedp2p.core.diagnosis.findings import Finding, Verdict
from twistedp2p.core.errors import N_, Words
from twistedp2p.face.texts import INDENT, Translate, in_words

FORMAT = 1  # of the document: rises when a key changes its meaning or goes
LABELS = {
    Verdict.OK: N_("ok"),
    Verdict.UNKNOWN: N_("unknown"),
    Verdict.WARNING: N_("warning"),
    Verdict.PROBLEM: N_("problem"),
}
ROWS = 10  # of one finding
STYLES = {Verdict.WARNING: "warning", Verdict.PROBLEM: "error"}
Row = tuple[str, str]  # text, style


def finding_rows(translate: Translate, finding: Finding) -> list[Row]:
    """A finding as rows of a table, with the first of what it was seen by."""
    style = STYLES.get(finding.verdict, "system")
    number = list(CHECKS).index(finding.check) + 1
    head = f"{number:>2} {translate(LABELS[finding.verdict]):<10}"
    rows = [(f"{head} {_text(translate, finding.what)}", style)]
    rows += [(INDENT * 2 + _text(translate, row), "list") for row in finding.rows[:ROWS]]
    if len(finding.rows) > ROWS:
        rows.append((INDENT * 2 + f"… (+{len(finding.rows) - ROWS})", "list"))
    if finding.advice is not None:
        rows.append((INDENT * 2 + "→ " + _text(translate, finding.advice), style))
    return rows


def diagnosis_rows(translate: Translate, diagnosis: Diagnosis) -> list[Row]:
    """The whole in one sentence, and what to do."""
    style = STYLES.get(diagnosis.verdict, "system")
    rows = [(_text(translate, diagnosis.what), style)]
    if diagnosis.advice is not None:
        rows.append((INDENT * 2 + "→ " + _text(translate, diagnosis.advice), style))
    return rows


def document(translate: Translate, diagnosis: Diagnosis) -> dict[str, Any]:
    """All of it for programs. Keys, checks, verdicts and causes stay; sentences are for people."""
    return {
        "format": FORMAT,
        "verdict": diagnosis.verdict.value,
        "cause": diagnosis.cause.value,
        "exit": int(diagnosis.exit),
        "what": _text(translate, diagnosis.what),
        "advice": _text(translate, diagnosis.advice),
        "checks": [
            {
                "check": finding.check,
                "verdict": finding.verdict.value,
                "what": _text(translate, finding.what),
                "advice": _text(translate, finding.advice),
                "rows": [_text(translate, row) for row in finding.rows],
            }
            for finding in diagnosis.findings
        ],
    }


def _text(translate: Translate, words: Words | None) -> str:
    return "" if words is None else in_words(translate, words.sentence, words.values)
