"""The note of a summary run fits into a tag of the store."""

from hypothesis import given
from hypothesis import strategies as st

from backendexp.reporting.note import LONGEST_NOTE, note_of
from backendexp.reporting.tables import Table

ROW = ["theano", "1.23"]


def test_sentences_are_bullets_and_tables_stand_between_them() -> None:
    note = note_of(["One.", Table(["backend", "time"], [ROW]), "Two."], "More elsewhere.")
    assert note == (
        "- One.\n\n| backend | time |\n| --- | --- |\n| theano | 1.23 |\n\n- Two.\n\nMore elsewhere.\n"
    )


def test_note_that_begins_with_a_table_begins_there() -> None:
    assert note_of([Table(["backend"], [])], "More.").startswith("| backend |")


def test_note_without_parts_only_says_where_the_rest_is() -> None:
    assert note_of([], "More elsewhere.") == "More elsewhere.\n"


def test_part_that_does_not_fit_is_left_out_and_later_shorter_parts_are_kept() -> None:
    long = Table(["backend", "time"], [ROW] * 1000)
    note = note_of(["One.", long, "Two."], "More.")
    assert note == "- One.\n- Two.\n\nMore.\n"


parts = st.lists(
    st.one_of(
        st.text("abc ", min_size=1, max_size=3000),
        st.integers(0, 300).map(lambda rows: Table(["backend", "time"], [ROW] * rows)),
    ),
    max_size=8,
)


@given(parts)
def test_note_always_fits_and_says_where_the_rest_is(parts: list[str | Table]) -> None:
    note = note_of(parts, "More elsewhere.")
    assert len(note) <= LONGEST_NOTE
    assert note.endswith("More elsewhere.\n")
    assert all(line.endswith("|") for line in note.splitlines() if line.startswith("|"))
