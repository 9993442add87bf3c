"""A declaration that is wrong in either direction, missing or mistyped: what `migrate` says then, to the last word."""

import re

import pytest

from migration_pipeline_tests import projects

D3 = "This migration is DESTRUCTIVE. Type 'CONFIRM' to proceed: "
EITHER = 'add the line "# SAFETY: {}" to {}.'
NO_COMMENT = "problem: the file has no # SAFETY: comment"
DROP = ("statement: ALTER TABLE patients DROP COLUMN allergy", "measured: 7 values of patients.allergy are lost")


def ready(make, name):
    """Return a site with seven patients at 0001, the file of its revision 0002, and its backup taken."""
    site = make(name, at="0001")
    if name == "linear":
        projects.remove_revision(site.project, "0003")
    site.query("INSERT INTO patients (name, allergy) SELECT 'p' || i, 'a' || i FROM generate_series(1, 7) i")
    site.take_backup()
    return site, projects.revision_file(site.project, "0002")


def declare(file, comment):
    """Put a comment in the place of the one that declares; an empty one is none."""
    file.write_text(re.sub(r"# SAFETY:.*\n", comment, file.read_text()))


def after(step, said):
    """Return what was said after the line of a step."""
    lines = said.split("\n")
    last = max(place for place, line in enumerate(lines) if line[2:].startswith((f"✓ {step} ", f"■ {step} ")))
    return "\n".join(lines[last + 1 :])


def message(site, what, *evidence, next_step, names_report=False):
    """Return a refusal, whole."""
    backup = max(path.stem for path in (site.folder / "backups").rglob("backup_*.json"))
    date, time = re.fullmatch(r"backup_(\d{4}-\d\d-\d\d)_(\d\d-\d\d-\d\d)", backup).groups()
    moment = f"{time.replace('-', ':')} UTC on {date}"
    state = "state: the database is at 0001, as before"
    safe = f"safe: {backup}, verified by a restore, holds the database as it was at {moment}"
    report = [f"report: {latest_report(site)}"] if names_report else []
    return "\n".join([what, *(f"  {line}" for line in (*evidence, *report, state, safe)), f"Next: {next_step}", ""])


def latest_report(site):
    return max((site.folder / "backups").rglob("report_*.html"))


#: project: what is declared, and the refusal's first line, evidence and last line
REFUSALS = {
    "drops_column_undeclared": [
        ("# SAFETY: NON_DESTRUCTIVE\n", 'Revision "0002" is annotated NON_DESTRUCTIVE, but it loses data.',
         DROP, 'change the comment to "# SAFETY: DESTRUCTIVE", or keep the column.'),
        ("", 'Revision "0002" has no safety annotation.', (NO_COMMENT, *DROP), EITHER.format("DESTRUCTIVE", "{file}")),
    ],
    "linear": [
        ("# SAFETY: DESTRUCTVE\n", 'Revision "0002" has no valid safety annotation.',
         ('problem: line 3 says "DESTRUCTVE", which is not a value',), 'change line 3 to "# SAFETY: DESTRUCTIVE", if that is what it means.'),
        ("# SAFETY: NON_DESTRUCTIVE\n# SAFETY: DESTRUCTIVE\n", 'Revision "0002" has no valid safety annotation.',
         ("problem: line 3 says NON_DESTRUCTIVE and line 4 says DESTRUCTIVE",), "keep one of the two comments."),
        ("", 'Revision "0002" has no safety annotation.', (NO_COMMENT,), EITHER.format("NON_DESTRUCTIVE", "{file}")),
    ],
}  # fmt: skip


@pytest.mark.control("D3")
@pytest.mark.parametrize("name", REFUSALS)
def test_a_declaration_that_does_not_hold_is_refused_with_the_line_to_write(make_site18, name):
    site, file = ready(make_site18, name)
    text = file.read_text()

    for comment, what, evidence, next_step in REFUSALS[name]:
        file.write_text(text)
        declare(file, comment)

        refused = site.run("migrate", answer="CONFIRM\n")

        expected = message(site, what, *evidence, f"file: {file}", next_step=next_step.format(file=file), names_report=True)
        assert (refused.returncode, refused.stdout, after("classify_safety", refused.stderr)) == (3, "", expected)
        assert D3 not in refused.stderr
        assert site.revision == ["0001"]
        assert site.scratch_databases == []


@pytest.mark.control("D3")
def test_a_harmless_revision_that_says_destructive_is_asked_about_and_never_refused(make_site18):
    site, file = ready(make_site18, "linear")
    declare(file, "# SAFETY: DESTRUCTIVE\n")

    declined = site.run("migrate", answer="no\n")

    told = after("classify_safety", declined.stderr).partition(D3)
    plan = re.search(r"plan ([0-9a-f]{8})\n", told[0])
    question = f"\n  0002 Add the ward.\n      nothing is lost that is there today\n  plan {plan[1]}\n\n"
    assert told[:2] == (f"    report: {latest_report(site)}\n{question}", D3)
    refusal = message(site, "The migration was not confirmed; nothing was changed.", "expected: CONFIRM", "answer: something else",
                      next_step="just migrate, and type CONFIRM at the prompt")  # fmt: skip
    assert (declined.returncode, declined.stdout, after("confirm", declined.stderr)) == (3, "", refusal)
    assert site.revision == ["0001"]

    done = site.run("migrate", answer="CONFIRM\n")

    assert after("classify_safety", done.stderr).startswith(f"    report: {latest_report(site)}\n{question}{D3}")
    assert (done.returncode, site.revision) == (0, ["0002"]), done.stderr
    assert site.has_column("patients", "ward")
