"""The report of a check of downgrades for other programs: JUnit's XML, and GitHub's annotations."""

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from migration_pipeline import errors
from migration_pipeline.domain.downgrades import IRREVERSIBLE, Checked, Report
from migration_pipeline.domain.proposals import Fault

SUITE = "downgrades"
MODELS = "models"
CHECK = "check"
#: What XML 1.0 has no way to write: https://www.w3.org/TR/xml/#charsets
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(report: Report) -> str:
    """Return the report as JUnit XML: a test for each revision, one for the models if they were compared.

    And one for the check itself, if it did not come to its end.
    """
    has_ended = report.ended_by is None
    tests = len(report.revisions) + (report.drift is not None) + (not has_ended)
    failures = len(report.failed) + bool(report.drift)
    skipped = sum(one.result == IRREVERSIBLE for one in report.revisions)
    counts = f'tests="{tests}" failures="{failures}" skipped="{skipped}" errors="{int(not has_ended)}"'
    head = f'{counts} time="{report.seconds:.3f}"'
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f"<testsuites {head}>", f'<testsuite name="{SUITE}" {head}>']
    for one in report.revisions:
        lines += _test(one)
    if report.drift is not None:
        lines.append(f'<testcase classname="{SUITE}" name="{MODELS}">')
        lines += [_failure("the models differ", "\n".join(report.drift), "drift")] if report.drift else []
        lines.append("</testcase>")
    if report.ended_by is not None:
        told = f"<error message={_quoted('the check did not come to its end')}>{_text(report.ended_by)}</error>"
        lines += [f'<testcase classname="{SUITE}" name="{CHECK}">', told, "</testcase>"]
    return "\n".join([*lines, "</testsuite>", "</testsuites>"]) + "\n"


def _test(one: Checked) -> Iterator[str]:
    name = f"{one.revision} {one.title}".strip()
    yield (
        f"<testcase classname={_quoted(SUITE)} name={_quoted(name)} file={_quoted(one.file)}"
        f' line="{one.line}" time="{one.seconds:.3f}">'
    )
    if one.is_failed:
        yield _failure(one.text.splitlines()[0], one.text, one.result)
    elif one.reason is not None:
        yield f"<skipped message={_quoted(one.reason)}/>"
    elif one.notes:
        yield f"<system-out>{_text(chr(10).join(one.notes))}</system-out>"
    yield "</testcase>"


def _failure(message: str, text: str, kind: str) -> str:
    return f"<failure message={_quoted(message)} type={_quoted(kind)}>{_text(text)}</failure>"


def _quoted(text: str) -> str:
    return quoteattr(NOT_XML.sub("?", errors.printable(text)))


def _text(text: str) -> str:
    return escape(NOT_XML.sub("?", text))


def faults(report: Report) -> Iterator[Fault]:
    """Yield each finding with its place."""
    for one in report.revisions:
        if not one.is_reached:
            yield Fault(path=one.file, line=one.line, message=f"{one.revision}: its downgrade was not reached")
        for finding in one.findings:
            message = "; ".join([f"{one.revision}: {finding.kind}: {finding.what}", *finding.advice])
            yield Fault(path=one.file, line=one.line, message=message)
