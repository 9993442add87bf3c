"""What can be wrong with a backup: its bytes, what it holds, its manifest. It is refused by all, and does not count."""

import re

import pyrage
import pytest

from migration_pipeline import errors, housekeeping, restoring, steps
from migration_pipeline.domain.backups import DATABASE, GLOBALS, Level
from migration_pipeline_tests.conftest import execute
from migration_pipeline_tests.integration.backups import clinic
from migration_pipeline_tests.integration.backups.clinic import (
    LAYOUTS,
    UNRESTORABLE,
    UNRESTORABLE_INDEX,
    flipped,
    plan_of,
    rejections,
)

pytest_plugins = ["migration_pipeline_tests.s3"]


in_every_way = pytest.mark.parametrize(("store", "layout"), [(store, layout) for store in ("folder", "s3") for layout in LAYOUTS])
#: What happens after the files were fetched is the same for both stores: of a bucket, the layout of many objects.
as_restored = pytest.mark.parametrize(("store", "layout"), [*(("folder", one) for one in LAYOUTS), ("s3", "directory")])


def some_files(manifest):
    """Return the files of a dump that differ in kind, and what stands beside it."""
    kinds = {one.name.rpartition(".")[2]: one for one in manifest.files if "/" in one.name and one.bytes}
    return [*(kinds.values() or manifest.files[:1]), *(manifest.file_named(end) for end in (GLOBALS, DATABASE))]


def damages(text):
    """Yield what can happen to a file where it lies: a bit flips, or its end is lost, at the end of a line where there is one."""
    yield flipped(text, len(text) // 2)
    yield text[: text.rindex(b"\n", 0, -1) + 1] if b"\n" in text[:-1] else text[:-1]


@in_every_way
def test_a_file_that_is_not_what_was_written_is_refused_by_all_and_does_not_count(laid_out, kept):
    backup = laid_out.backup()
    manifest = kept.read(f"{backup.id}.json")
    refused = f'The dump of backup "{backup.id}" is not what its manifest says.'
    place = laid_out.open()
    cost, consent = clinic.cost_of(place, backup)
    assert steps.newest_backup(place, plan_of(place)) == backup

    for one in some_files(backup.manifest):
        evidence, whole = {"file": one.name, "store": backup.location}, kept.read(one.name)
        for damaged in damages(whole):
            kept.write(one.name, damaged)

            assert rejections(place) == {backup.id: "damaged: its bytes are not those of its manifest"}
            with pytest.raises(errors.VerificationFailed) as caught:
                restoring.restore_beside(place, cost, consent)
            assert (caught.value.what, caught.value.evidence) == (refused, evidence)
            with pytest.raises(errors.VerificationFailed) as caught:
                steps.verify(place, backup, Level.CHECKSUM)
            assert (caught.value.what, caught.value.evidence) == (refused, evidence)
            assert caught.value.next_step == "just backup-db"
            assert place.store.entries()[0][0].failed == refused
            assert rejections(place) == {backup.id: "not verified by a restore"}
            kept.write(f"{backup.id}.json", manifest)
        kept.write(one.name, whole)


MANIFESTS = [
    (lambda text: flipped(text, 0), "The manifest of backup {id} is missing or damaged: it is no backup."),
    (lambda text: text[: len(text) // 2], "The manifest of backup {id} is missing or damaged: it is no backup."),
    (lambda text: text.replace(b'"format": 2', b'"format": 3'), "Backup {id} does not fit its manifest."),
    (lambda text: text.replace(b'.sql"', b'.sqm"', 1), "Backup {id} does not fit its manifest."),
]


@pytest.mark.parametrize(("change", "reason"), MANIFESTS, ids=["flipped", "cut", "another format", "another file"])
def test_a_manifest_that_is_damaged_makes_no_backup(site, kept, change, reason):
    backup = site.backup()
    name = f"{backup.id}.json"
    told = reason.format(id=f'"{backup.id}"')
    kept.write(name, change(kept.read(name)))
    place = site.open()

    assert [(one.id, one.reason) for one in place.store.entries()[1]] == [(backup.id, told)]
    assert rejections(place) == {backup.id: told}
    with pytest.raises(errors.Failure) as caught:
        restoring.choose(place, backup.id)
    assert caught.value.what == told
    assert housekeeping.prune(place, dry_run=False).refused == {}
    assert name in kept.names()


def test_a_number_that_flips_in_a_manifest_is_found_out_by_the_restore(site, kept):
    backup = site.backup()
    name = f"{backup.id}.json"
    kept.write(name, kept.read(name).replace(b'"public.patients": 40', b'"public.patients": 41'))
    place = site.open()
    backup = place.store.read(backup.id)

    for refuse in (
        lambda: steps.verify(place, backup, Level.RESTORE),
        lambda: clinic.restore_beside(place, backup),
    ):
        with pytest.raises(errors.VerificationFailed) as caught:
            refuse()
        assert (caught.value.what, caught.value.evidence) == (
            "The restored copy differs from what was dumped.",
            {"rows of public.patients": "40, dumped: 41"},
        )
    assert rejections(place) == {backup.id: "not verified by a restore"}


@pytest.mark.parametrize("store", ["s3"])
def test_an_object_that_rotted_under_its_checksum_is_found_out_when_it_is_fetched(site, kept):
    backup = site.backup()
    name = backup.manifest.dump_name
    kept.rot(name, flipped(kept.read(name), 99))
    place = site.open()
    cost, consent = clinic.cost_of(place, backup)
    assert steps.newest_backup(place, plan_of(place)) == backup, "only a transfer can tell"

    for refuse in (
        lambda: restoring.restore_beside(place, cost, consent),
        lambda: housekeeping.verify_again(place, "", Level.CHECKSUM),
    ):
        with pytest.raises(errors.VerificationFailed) as caught:
            refuse()
        assert caught.value.what == f'The dump of backup "{backup.id}" is not what its manifest says.'
    assert rejections(place) == {backup.id: "not verified by a restore"}


def cut_inside_copy(text):
    """End a dump, or the data of one table, in the middle of the rows of the visits."""
    marker = text.find(b"COPY public.visits_2025")
    at = text.find(b"a note,", text.find(b"a note,", marker) + 1) if marker >= 0 or text.count(b"a note,") > 20 else -1
    return text if at < 0 else text[: text.index(b"\n", at) + 1]


def cut_after_data(text):
    at = text.find(b"ALTER TABLE ONLY public.alembic_version\n")
    return text if at < 0 else text[:at]


def other_value(text):
    return text.replace(b"patient 7\t", b"patient 6\t")


@as_restored
def test_a_dump_that_was_cut_before_its_checksum_is_found_out_by_the_restore(laid_out, kept):
    backup = laid_out.backup(verified=False)
    clinic.tampered(kept, laid_out, backup, cut_inside_copy)
    place = laid_out.open()
    backup = place.store.read(backup.id)
    steps.verify(place, backup, Level.CHECKSUM)

    with pytest.raises(errors.VerificationFailed) as caught:
        steps.verify(place, backup, Level.RESTORE)

    assert caught.value.what == "The restored copy differs from what was dumped."
    assert re.fullmatch(r"\d, dumped: 24", caught.value.evidence["rows of public.visits_2025"])
    assert rejections(place) == {backup.id: "not verified by a restore"}
    with pytest.raises(errors.VerificationFailed):
        clinic.restore_beside(place, backup)


@pytest.mark.parametrize(("store", "layout"), [("folder", "plain"), ("folder", "plain-zstd"), ("s3", "age")])
def test_a_dump_without_what_follows_the_data_is_found_out_by_the_restore(laid_out, kept):
    backup = laid_out.backup(verified=False)
    clinic.tampered(kept, laid_out, backup, cut_after_data)
    place = laid_out.open()
    backup = place.store.read(backup.id)

    with pytest.raises(errors.VerificationFailed) as caught:
        steps.verify(place, backup, Level.RESTORE)

    assert (caught.value.what, [*caught.value.evidence]) == ("The restored copy differs from what was dumped.", ["schema"])
    assert "index public.patients_pkey is missing" in caught.value.evidence["schema"]
    assert rejections(place) == {backup.id: "not verified by a restore"}


@as_restored
def test_a_value_that_changed_before_the_checksum_is_found_out_row_by_row(laid_out, kept):
    backup = laid_out.backup(verified=False, verify_level="rows")
    clinic.tampered(kept, laid_out, backup, other_value)
    place = laid_out.open(verify_level="rows")
    backup = place.store.read(backup.id)
    steps.verify(place, backup, Level.RESTORE)

    with pytest.raises(errors.VerificationFailed) as caught:
        steps.verify(place, backup, Level.ROWS)

    assert str(caught.value) == (
        "The restored copy differs from what was dumped.\n"
        "  values of public.patients: are not those that were dumped\n"
        "Next: just backup-db; the live database is as it was"
    )
    assert rejections(place) == {backup.id: "not verified by a restore"}
    with pytest.raises(errors.VerificationFailed, match="The restored copy differs from what was dumped."):
        clinic.restore_beside(place, backup)


ENCODED = [("folder", "plain-zstd"), ("folder", "directory"), ("folder", "age"), ("s3", "age")]


@pytest.mark.parametrize(("store", "layout"), ENCODED)
@pytest.mark.parametrize(
    "change", [lambda text: flipped(text, len(text) - 30), lambda text: text[: len(text) * 3 // 4]], ids=["flipped", "cut"]
)
def test_bytes_that_were_wrong_before_their_checksum_stop_the_restore(laid_out, kept, change):
    backup = laid_out.backup(verified=False)
    clinic.tampered(kept, laid_out, backup, change, as_stored=True)
    place = laid_out.open()
    backup = place.store.read(backup.id)
    steps.verify(place, backup, Level.CHECKSUM)

    with pytest.raises(errors.VerificationFailed) as caught:
        steps.verify(place, backup, Level.RESTORE)

    assert caught.value.what in {
        f'"{backup.manifest.dump_name}" cannot be decrypted or decompressed.',
        "The backup could not be restored.",
        "The restored copy differs from what was dumped.",
    }
    assert rejections(place) == {backup.id: "not verified by a restore"}
    with pytest.raises(errors.VerificationFailed):
        clinic.restore_beside(place, backup)


@pytest.mark.parametrize(("store", "layout"), [("folder", "age")])
def test_a_key_that_does_not_fit_puts_no_backup_in_doubt(laid_out, tmp_path):
    backup = laid_out.backup()
    other = tmp_path / "other.txt"
    other.write_text(str(pyrage.x25519.Identity.generate()))
    place = laid_out.open(backup_identity_file=str(other))

    for refuse in (lambda: steps.verify(place, backup, Level.RESTORE), lambda: clinic.restore_beside(place, backup)):
        with pytest.raises(errors.SettingsError) as caught:
            refuse()
        assert caught.value.what == "The backup is encrypted to other keys than the one there is to read it with."
        assert caught.value.evidence["identity file"] == str(other)
    assert place.store.read(backup.id) == backup


PSQL_SAYS = ("ended by: exit code 3", 'server: relation "bounds" does not exist')
DIRECTORY_SAYS = ("ended by: exit code 1", "server: (message withheld: it may hold row values)")  # there is no code to know it by


@as_restored
def test_an_intact_dump_that_cannot_be_restored_does_not_count(laid_out, layout):
    execute(laid_out.url, UNRESTORABLE)
    laid_out.settle()
    backup = laid_out.backup(verified=False)
    place = laid_out.open()

    with pytest.raises(errors.VerificationFailed) as caught:
        steps.verify(place, backup, Level.RESTORE)

    assert str(caught.value) == (
        "The backup could not be restored.\n"
        + "".join(f"  {line}\n" for line in (DIRECTORY_SAYS if layout == "directory" else PSQL_SAYS))
        + "Next: just backup-db; the live database is as it was"
    )
    (entry,), rejected = place.store.entries()
    assert (entry.failed, entry.restored, rejected) == (caught.value.what, None, [])
    assert rejections(place) == {backup.id: "not verified by a restore"}
    with pytest.raises(errors.VerificationFailed, match="The backup could not be restored."):
        clinic.restore_beside(place, backup)


@as_restored
def test_a_restore_that_fails_after_the_large_objects_leaves_nothing(laid_out):
    execute(laid_out.url, UNRESTORABLE_INDEX)
    laid_out.settle()
    backup = laid_out.backup(verified=False)
    place = laid_out.open()

    with pytest.raises(errors.VerificationFailed, match="The backup could not be restored.") as caught:
        clinic.restore_beside(place, backup)

    assert caught.value.next_step == "just backups, then another one: just restore-db <backup>"
    place.close()
    assert laid_out.left() == []
