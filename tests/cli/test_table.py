from lilnetx.cli.table import format_bytes, format_facts, format_share, format_table


def test_columns_are_aligned_by_their_kind():
    text = format_table(("<name", "ms"), [("a", "1.5"), ("longer", "10.25")], title="Title")
    assert text == (
        "Title\n"
        "name       ms\n"
        "------  -----\n"
        "a         1.5\n"
        "longer  10.25"
    )  # fmt: skip


def test_facts_line_up():
    assert format_facts([("a", 1), ("long name", "x")]) == "a          1\nlong name  x"


def test_sizes_have_a_readable_unit():
    assert format_bytes(999) == "999 bytes"
    assert format_bytes(20480) == "20,480 bytes (20.0 KiB)"
    assert format_bytes(20 * 1024**2) == "20,971,520 bytes (20.0 MiB)"


def test_a_share_of_nothing_is_a_dash():
    assert format_share(1, 4) == "1 of 4 (25.0 %)"
    assert format_share(0, 0) == "-"
