"""The checks of arguments: what comes out of them, and what they say."""

import enum
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from vectorkit import (
    DimensionMismatchError,
    DuplicateIdError,
    EmbeddingError,
    InvalidArgumentError,
    InvalidIdError,
    InvalidMetadataError,
    InvalidVectorError,
)
from vectorkit.metadata import as_metadata
from vectorkit.validation import (
    already_stored,
    as_list,
    as_metric,
    check_choice,
    check_dimension,
    check_document,
    check_flag,
    check_id,
    check_name,
    check_natural,
    check_score,
    check_text,
    check_unique,
    not_stored,
    plain_text,
    short,
)
from vectorkit.vectors import as_embeddings, as_vectors


class Colour(str, enum.Enum):  # noqa: UP042  (whose `str()` is not its value)
    RED = "red"


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("cannot be shown")


def what(index: int) -> str:
    return f"vector {index}"


def test_a_kind_of_str_is_taken_as_its_text() -> None:
    """2.1 Wherever a string is taken: `str()` of a member of a string enum would be its name."""
    for found in (
        plain_text(Colour.RED),
        check_id(Colour.RED),
        check_name(Colour.RED),
        check_document(Colour.RED, "a"),
        *as_metadata({Colour.RED: Colour.RED}, "a").popitem(),
    ):
        assert type(found) is str
        assert found == "red"


def test_a_message_shows_any_value_in_a_few_characters() -> None:
    """8.3 Long ones are cut, and what cannot be shown is named by its type."""
    assert short("x" * 100) == f"'{'x' * 76}..."
    assert short(10**5000) == "<int>"
    assert short(Unshowable()) == "<Unshowable>"
    for check in (check_id, check_name, check_dimension, check_score, as_metric):
        with pytest.raises(InvalidArgumentError):
            check(Unshowable())
    with pytest.raises(InvalidArgumentError, match="not <int>"):
        check_natural(-(10**5000), "k")
    with pytest.raises(InvalidArgumentError, match="not <int>"):
        check_dimension(10**5000)


def test_whole_numbers_are_ints_of_python_or_numpy() -> None:
    """8.2 And neither bools nor floats, integral or not."""
    assert check_natural(np.uint8(7), "k") == 7
    assert type(check_natural(np.int64(7), "k")) is int
    assert check_natural(10**30, "k") == 10**30
    for value in (True, np.bool_(True), 1.0, np.float64(1), "1", None, -1, np.int8(-1)):
        with pytest.raises(InvalidArgumentError, match="k is an int >= 0"):
            check_natural(value, "k")


def test_a_score_is_a_number_that_a_float_can_hold() -> None:
    """6.6 Infinity is one; NaN is not, nor is an integer beyond floats."""
    assert check_score(np.float32(0.5)) == 0.5
    assert check_score(-1) == -1.0
    assert check_score(float("inf")) == float("inf")
    for value in (float("nan"), 10**400, True, "1", None, 1j):
        with pytest.raises(InvalidArgumentError, match="min_score is a number"):
            check_score(value)


def test_choices_and_flags_are_themselves() -> None:
    """8.2 Nothing is converted, nothing that cannot be hashed escapes."""
    assert check_choice("b", ("a", "b"), "mode") == "b"
    assert check_flag(False, "merge") is False
    value: Any
    for value in ("c", None, ["a"], 1):
        with pytest.raises(InvalidArgumentError, match="mode is one of 'a', 'b'"):
            check_choice(value, ("a", "b"), "mode")
    for value in (0, 1, None, "True", np.bool_(True)):
        with pytest.raises(InvalidArgumentError, match="merge is True or False"):
            check_flag(value, "merge")


def test_a_column_is_any_iterable_but_a_text_or_a_mapping() -> None:
    """8.2 An array of no dimension has an `__iter__`, and cannot be iterated."""
    column = ["a", "b"]
    found = as_list(column, "ids")
    assert found == column
    assert found is not column
    assert as_list(iter(column), "ids") == as_list({"a": 1, "b": 2}.keys(), "ids") == column
    for value in ("ab", b"ab", {"a": 1}, 5, None, np.array(1.0)):
        with pytest.raises(InvalidArgumentError, match="ids is a list"):
            as_list(value, "ids")


def test_a_text_is_checked_for_what_no_store_can_hold() -> None:
    """2.6 The message says where it is and what to do."""
    check_text("é \ufffe 😀", "it")
    with pytest.raises(InvalidArgumentError, match=r"it holds NUL \(\\x00\) at position 3; remove it"):
        check_text("abc\0", "it")
    with pytest.raises(InvalidArgumentError, match=r"lone surrogate .* at position 1"):
        check_text("a\ud800", "it")


def test_ids_that_are_named_twice_are_listed_ten_at_most() -> None:
    """2.2 In order, whatever their number."""
    check_unique([])
    check_unique([f"{at}" for at in range(1000)])
    with pytest.raises(DuplicateIdError, match=r"'00', '01'.*'09'; nothing was written") as caught:
        check_unique([f"{at % 20:02}" for at in range(40)])
    assert "'10'" not in str(caught.value)
    assert "20 id(s)" in str(caught.value)


def test_a_long_id_is_not_shown_whole() -> None:
    """8.3 It may be a document passed by mistake."""
    with pytest.raises(InvalidIdError, match="1 to 512 characters, not 100,000") as caught:
        check_id("x" * 100_000)
    assert len(str(caught.value)) < 200


# --- vectors ------------------------------------------------------------------------------------------------------


def test_vectors_become_one_contiguous_array_of_float32() -> None:
    """2.3 An array that is one already is not copied."""
    good = np.ones((3, 2), dtype=np.float32)
    assert np.shares_memory(as_vectors(good, 2, "cosine", what), good)
    for given in (
        good[:, ::-1],
        good.astype(">f4"),
        np.ones((3, 4))[:, ::2],
        [[1, 1.0]] * 3,
        np.ones((3, 2), dtype=bool)[:0],
    ):
        array = as_vectors(given, 2, "cosine", what)
        assert array.dtype == np.float32
        assert array.dtype.isnative
        assert array.flags.c_contiguous
        assert array.shape == (len(given), 2)


def test_a_list_of_floats_becomes_what_numpy_makes_of_it() -> None:
    """2.3 Rounded to the nearest, subnormal numbers too; a list that also holds other numbers likewise."""
    random = np.random.default_rng(2)
    usual = random.normal(size=(300, 7)) * 10.0 ** random.integers(-46, 14, size=(300, 7))
    for rows in (usual.tolist(), [tuple(row) for row in usual.tolist()], list(usual), usual):
        assert as_vectors(rows, 7, "l2", what).tobytes() == usual.astype(np.float32).tobytes()
    mixed: list[Any] = [[0.1, 2], (np.float16(0.3), 0.1), np.array([1, 2**40]), [2**40 + 1, -0.0]]
    assert as_vectors(mixed, 2, "l2", what).tobytes() == np.array(mixed, dtype=np.float32).tobytes()
    with pytest.raises(InvalidVectorError, match=r"norm 2e\+30"):  # and no warning of an overflow
        as_vectors(np.full((1, 4), 1e30, dtype=np.float32), 4, "l2", str)
    for beyond in ([1.0, 1e39], (1e300, 0.0), [1, 1e39], [1, 10**39], [1, 10**400]):
        with pytest.raises(InvalidVectorError, match=r"vector 1 holds .*beyond float32"):
            as_vectors([[1.0, 2.0], beyond], 2, "l2", what)


def test_the_message_names_the_vector_that_is_wrong() -> None:
    """8.3 And not its numbers."""
    rows = np.ones((5, 3), dtype=np.float32)
    for value, message in (
        (np.nan, "vector 3 holds NaN, infinity or a number beyond float32"),
        (np.inf, "vector 3 holds NaN, infinity or a number beyond float32"),
        (2e15, "vector 3 has norm 2e.15; at most 1e.15 is taken"),
    ):
        rows[3, 1] = value
        with pytest.raises(InvalidVectorError, match=message):
            as_vectors(rows, 3, "l2", what)
    rows[3] = 0
    with pytest.raises(InvalidVectorError, match=r"vector 3 has norm 0; cosine has no meaning .*no direction"):
        as_vectors(rows, 3, "cosine", what)
    assert np.array_equal(as_vectors(rows, 3, "l2", what), rows)
    with pytest.raises(DimensionMismatchError, match="vector 1 has 2 dimensions, expected are 3"):
        as_vectors([[1, 2, 3], [1, 2]], 3, "l2", what)
    with pytest.raises(InvalidVectorError, match="vector 0 holds bool, str; expected real numbers"):
        as_vectors([[True, "x", 1.0]], 3, "l2", what)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, r"returned NoneType; expected an array of shape \(2, 2\)"),
        ("text", "returned str"),
        (5, "returned int"),
        ({"a": [1, 2]}, "returned dict"),
        (np.array(1.0), "returned ndarray"),
        ([[1, 2]], r"returned 1 vector\(s\) for 2 text\(s\)"),
        ([[1, 2], [3, 4], [np.nan, 5]], r"returned 3 vector\(s\) for 2 text\(s\)"),
        (np.ones((3, 2)), r"returned 3 vector\(s\) for 2 text\(s\)"),
        ([[1, 2], [3, 4, 5]], "vector 1 has 3 dimensions"),
        (np.ones((2, 3)), "vector 0 has 3 dimensions"),
        (np.ones((2, 2, 1)), r"vector 0 has shape \(2, 1\)"),
        (np.array([["a", "b"], ["c", "d"]]), "vector 0 is of dtype"),
        ([[1, 2], ["3", 4]], "vector 1 holds str"),
        ([[1, 2], None], "vector 1 is a sequence of 2 numbers"),
        ([[1, 2], [np.nan, 1]], "vector 1 holds NaN"),
        (np.array([[1, 2], [1e39, 1]]), "vector 1 holds NaN, infinity or a number beyond float32"),
        ([[1, 2], [0, 0]], "vector 1 has norm 0"),
        ((1 / 0 for _ in "ab"), "the embedder failed: ZeroDivisionError"),
    ],
)
def test_what_an_embedder_returns_wrong_is_its_error_and_the_text_is_named(made: Any, message: str) -> None:
    """8.1 `EmbeddingError`, whatever is wrong: the caller gave no vector."""
    with pytest.raises(EmbeddingError, match=message):
        as_embeddings(made, 2, 2, what, "cosine")


def test_what_an_embedder_returns_right_becomes_one_float32_array() -> None:
    """2.3 Every NumPy numeric dtype, lists and tuples are taken; a generator of them, too."""
    for made in [[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], dtype=np.float64), (row for row in [(1, 2), [3, 4]]):
        array = as_embeddings(made, 2, 2, what, "cosine")
        assert array.dtype == np.float32
        assert array.tolist() == [[1, 2], [3, 4]]


def test_norms_at_the_limits_are_told_apart() -> None:
    """2.3 To within float32 rounding of 1e15 and 1e-12."""
    for norm in (0.9999e15, 1.0001e-12):
        as_vectors([[norm * 0.6, norm * 0.8]], 2, "cosine", what)
    for norm in (1.0001e15, 0.9999e-12):
        with pytest.raises(InvalidVectorError, match="norm"):
            as_vectors([[norm * 0.6, norm * 0.8]], 2, "cosine", what)
    as_vectors([[0.9999e-12, 0.0], [0.0, 0.0]], 2, "ip", what)


# --- metadata -----------------------------------------------------------------------------------------------------


class Lazy(Mapping[str, Any]):
    """A mapping that is no dict."""

    def __getitem__(self, key: str) -> Any:
        return [key]

    def __iter__(self) -> Iterator[str]:
        return iter(["a", "b"])

    def __len__(self) -> int:
        return 2


def test_metadata_is_copied_all_the_way_down() -> None:
    """2.7 What the caller holds stays theirs; any mapping is taken at the top."""
    given: dict[str, Any] = {"l": [1, {"d": [2]}], "d": {"l": []}}
    found = as_metadata(given, "a")
    assert found == given
    given["l"][1]["d"].append(3)
    given["d"]["l"].append(4)
    assert found == {"l": [1, {"d": [2]}], "d": {"l": []}}
    assert as_metadata(MappingProxyType({"a": 1}), "a") == {"a": 1}
    assert as_metadata(Lazy(), "a") == {"a": ["a"], "b": ["b"]}
    assert as_metadata(None, "a") == {}


def test_a_metadata_message_names_record_key_and_type() -> None:
    """2.5 And what would do instead."""
    with pytest.raises(InvalidMetadataError, match="record 'r1', key 'when': set is not JSON; use None, bool"):
        as_metadata({"fine": 1, "when": {1}}, "r1")
    with pytest.raises(InvalidMetadataError, match="record 'r1', key 'n': int beyond 64 bits"):
        as_metadata({"n": [2**63]}, "r1")
    with pytest.raises(InvalidMetadataError, match=r"record 'r1', key '_vk': .*does not begin with"):
        as_metadata({"_vk": 1}, "r1")


def test_a_key_that_was_taken_once_is_checked_again_if_it_is_another() -> None:
    """2.5 Equal keys of other types are not the key that was checked."""

    class Chameleon(str):
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("fine")

    for _ in range(2):
        assert as_metadata({"fine": np.float32(0.5), "other": np.str_("é")}, "a") == {"fine": 0.5, "other": "é"}
        with pytest.raises(InvalidMetadataError, match="does not begin with"):
            as_metadata({Chameleon("$fine"): 1}, "a")


def test_a_list_that_holds_itself_is_refused() -> None:
    """2.5 At the limit of nesting, not at that of the interpreter."""
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidMetadataError, match="32 levels"):
        as_metadata({"v": loop}, "a")


def test_ids_that_are_stored_or_not_are_listed_to_ten() -> None:
    """3.2 The first ten in order, how many there are, and what to do; cut where they are long."""
    ids = [f"{at:02}" for at in range(12)]
    listed = ", ".join(f"'{id}'" for id in ids[:10])
    message = "12 id(s) are stored already: {}; nothing was written; use upsert to replace records"
    assert str(already_stored(ids[::-1])) == message.format(listed)
    assert str(already_stored(ids[:10], count=12)) == message.format(listed)
    assert str(not_stored(set(ids))) == (
        f"12 id(s) are not stored: {listed}; nothing was written; use upsert to add records"
    )
    assert len(str(not_stored(["x" * 512] * 10))) < 1000
