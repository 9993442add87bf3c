"""Snapshots as values: fingerprints, differences, and the lines that a person reads."""

import pytest
from pydantic import TypeAdapter

from migration_pipeline.domain.schema import Difference, SchemaSnapshot, diff

OBJECTS = {
    "table public.patients": {"owner": "app"},
    "column public.patients.allergy": {"position": "1", "type": "character varying(20)", "default": "'none'::text"},
}


def changed(name, **properties):
    return SchemaSnapshot(objects=OBJECTS | {name: OBJECTS.get(name, {}) | properties})


def lines(before, after):
    return [str(one) for one in diff(before, after)]


def test_equal_objects_have_one_fingerprint_in_any_order():
    backwards = {name: dict(reversed(held.items())) for name, held in reversed(OBJECTS.items())}
    assert SchemaSnapshot(objects=OBJECTS).fingerprint == SchemaSnapshot(objects=backwards).fingerprint
    assert diff(SchemaSnapshot(objects=OBJECTS), SchemaSnapshot(objects=backwards)) == ()


def test_a_fingerprint_is_the_same_in_another_process():
    assert SchemaSnapshot(objects=OBJECTS).fingerprint == "ee55b39cbd33922bab87eba51c83aad4198554e2cf19dcf261a7fd02ae38bb3b"
    assert SchemaSnapshot(objects={}).fingerprint == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize("name", list(OBJECTS))
def test_a_fingerprint_changes_with_each_object_and_property(name):
    whole = SchemaSnapshot(objects=OBJECTS)
    without = SchemaSnapshot(objects={key: held for key, held in OBJECTS.items() if key != name})
    assert len({whole.fingerprint, without.fingerprint, changed(name, owner="other").fingerprint}) == 3


def test_a_snapshot_survives_json():
    adapter = TypeAdapter(SchemaSnapshot)
    snapshot = changed('column public."Größe ""x"""', comment="a\nb 😀")
    again = adapter.validate_json(adapter.dump_json(snapshot))
    assert again == snapshot
    assert again.fingerprint == snapshot.fingerprint


def test_a_difference_reads_as_a_sentence():
    before = SchemaSnapshot(objects=OBJECTS)
    assert lines(before, changed("column public.patients.allergy", type="text")) == [
        "column public.patients.allergy: type is text, was character varying(20)"
    ]
    assert lines(before, changed("table public.patients", comment="c")) == ["table public.patients: comment is c, was not set"]
    assert lines(changed("table public.patients", comment="c"), before) == ["table public.patients: comment is not set, was c"]
    assert lines(before, changed("table public.y")) == ["table public.y is new"]
    assert lines(changed("index public.x"), before) == ["index public.x is missing"]


def test_a_long_text_is_shown_from_shortly_before_the_first_change():
    body = "SELECT " + "a, " * 100
    line = str(Difference("function public.f()", "definition", body + "b\nFROM t", body + "c\nFROM t"))
    assert line == (f"function public.f(): definition is …{body[-40:]}c\\nFROM t, was …{body[-40:]}b\\nFROM t")
    assert len(str(Difference("view v", "definition", "x" * 5000, "y" * 5000))) < 400


def test_owners_and_privileges_can_be_left_out():
    bare = SchemaSnapshot(objects=OBJECTS).without({"owner", "privileges"})
    assert bare.objects["table public.patients"] == {}
    assert bare == changed("table public.patients", owner="another").without({"owner", "privileges"})
    assert SchemaSnapshot(objects=OBJECTS).objects["table public.patients"] == {"owner": "app"}
