"""Section 2 of the contract, but for vectors and metadata: ids, documents, text, and what a call may touch."""

from copy import deepcopy
from typing import Any
from uuid import UUID

import numpy as np

from vectorkit.collection import Collection
from vectorkit.errors import (
    DuplicateIdError,
    InvalidArgumentError,
    InvalidFilterError,
    InvalidIdError,
    InvalidMetadataError,
    VectorKitError,
)
from vectorkit.testing._asserts import assert_refused, contents, ids_of, typed
from vectorkit.testing._fixtures import Fixtures
from vectorkit.types import Hit, Record

__all__ = ["ODD_TEXTS", "RecordRules"]

# fmt: off
ODD_TEXTS = [
    "a", "A", "a ", " a", "a  b", "a b", "0", "00", "-1", "1e3", "null", "None", "true", "NaN", "id", "x" * 512, "é",
    "e\u0301", "É", "ß", "ss", "SS", "ﬁ", "fi", "İ", "i", "ı", "Å", "A\u030a", "\u212b", "ǆ", "ǅ", "ſ", "s", "😀",
    "👩\u200d👩\u200d👧", "\U0010ffff", "\ufffd", "\ufeff", "\u200b", "\u2028", "\u00a0", "\u202e", "日本", "דג", "'",
    '"', "''", "a'b", "`", ";", "--", "\\", "\\\\", "a\\b", "/", "*", "?", "#", "$", "$1", "%", "%s", "_", "{}", "[]",
    "a,b", "(", ")", ":", "::", "@", "&", "|", "~", "<", ">", "=", "^", "+", "!", "\t", "\n", "\r", "\r\n", "\x01",
    "\x7f", "\x85", "1; DROP TABLE records", "../a", "a/b", "%00", "\\x00", "\\u0000", "\\N", "\\.", "{a,b}", "a\tb",
]
# fmt: on
"""Texts that are all different by code point, and that one system or another mixes up."""

_BROKEN_TEXTS = ["\0", "a\0b", "\ud800", "a\udfffb", "\udc80\ud83d"]


class RecordRules(Fixtures):
    """Rules 2.1, 2.2, 2.4, 2.6 and 2.7."""

    def test_ids_are_compared_by_code_point(self, plane: Collection) -> None:
        """2.1 Ids that differ in case, blanks, normal form or anything else are different records."""
        assert len(set(ODD_TEXTS)) == len(ODD_TEXTS)
        plane.add(
            ids=ODD_TEXTS,
            embeddings=[[at, 1] for at in range(len(ODD_TEXTS))],
            documents=ODD_TEXTS,
            metadatas=[{"at": at} for at in range(len(ODD_TEXTS))],
        )
        assert plane.count() == len(ODD_TEXTS)
        assert ids_of(plane.get()) == sorted(ODD_TEXTS)
        for at, record in enumerate(plane.get(ODD_TEXTS)):
            assert (record.id, record.document, record.metadata) == (ODD_TEXTS[at], ODD_TEXTS[at], {"at": at})
        assert [hits[0].id for hits in plane.search_many([[at, 1] for at in range(len(ODD_TEXTS))], k=1)] == ODD_TEXTS
        gone = ODD_TEXTS[::2]
        assert plane.delete(gone) == len(gone)
        assert ids_of(plane.get()) == sorted(ODD_TEXTS[1::2])

    def test_an_id_has_1_to_512_characters(self, plane: Collection) -> None:
        """2.1 Characters, not bytes."""
        ids = ["x", "x" * 512, "😀" * 512, "é" * 512]
        plane.add(ids=ids, embeddings=[[1, at] for at in range(4)])
        assert ids_of(plane.get(ids)) == ids

    def test_long_ids_are_told_apart_to_their_last_character(self, plane: Collection) -> None:
        """2.1 By every call: none takes one for another with which it begins, or which begins alike."""
        ids = [start + last for start in ("x" * 255, "x" * 511, "é" * 511) for last in ("", "a", "b")]
        for id in ids:
            plane.upsert(ids=[id], embeddings=[[1, len(id)]], metadatas=[{"id": id}])
        assert [(record.id, record.metadata) for record in plane.get(ids)] == [(id, {"id": id}) for id in ids]
        plane.update(ids=[ids[4]], metadatas=[{"id": "changed"}])
        assert plane.delete(ids[::3]) == 3
        kept = {record.id: record.metadata["id"] for record in plane.scan()}
        assert kept == {id: "changed" if id == ids[4] else id for at, id in enumerate(ids) if at % 3}

    def test_ids_left_out_are_generated(self, plane: Collection) -> None:
        """2.1 They are UUIDs, all different, returned in the order of the records."""
        made = plane.add(embeddings=[[1, 0], [2, 0], [3, 0]])
        made += plane.upsert(embeddings=np.ones((2, 2)))
        assert len(set(made)) == 5
        assert [str(UUID(id)) for id in made] == made
        assert ids_of(plane.search([0, 0], k=5))[-1] == made[2]
        assert plane.add(records=[Record("z", embedding=[1, 1])]) == ["z"]
        (one,) = plane.add(records=[Record(embedding=[1, 1])])
        assert str(UUID(one)) == one

    def test_what_is_no_id_is_refused(self, plane: Collection) -> None:
        """2.1 By every call that takes ids, and nothing is written."""
        plane.add(ids=["a"], embeddings=[[1, 2]])
        before = contents(plane)
        bad: list[Any] = [
            "",
            "x" * 513,
            "😀" * 513,
            None,
            3,
            1.5,
            True,
            b"a",
            ["a"],
            ("a",),
            UUID(int=1),
            *_BROKEN_TEXTS,
        ]
        for id in bad:
            rows: dict[str, Any] = {"ids": ["b", id], "embeddings": [[1, 2], [3, 4]]}
            assert_refused(InvalidIdError, plane.add, **rows)
            assert_refused(InvalidIdError, plane.upsert, **rows)
            assert_refused(InvalidIdError, plane.update, **rows)
            assert_refused(InvalidIdError, plane.get, ["a", id])
            assert_refused(InvalidIdError, plane.delete, ["a", id])
        assert contents(plane) == before

    def test_an_id_named_twice_in_a_write_is_refused(self, plane: Collection) -> None:
        """2.2 `add`, `upsert` and `update` name the id, and write nothing."""
        plane.add(ids=["a", "b"], embeddings=[[1, 0], [2, 0]])
        before = contents(plane)
        row, rows = [[5, 5], [6, 6], [7, 7]], ["c", "d", "c"]
        assert "'c'" in assert_refused(DuplicateIdError, plane.add, ids=rows, embeddings=row)
        assert "'c'" in assert_refused(DuplicateIdError, plane.upsert, ids=rows, embeddings=row)
        assert "'a'" in assert_refused(DuplicateIdError, plane.update, ids=["a", "b", "a"], embeddings=row)
        records = [Record(id, embedding=[1, 2]) for id in rows]
        assert_refused(DuplicateIdError, plane.add, records=records)
        assert_refused(DuplicateIdError, plane.upsert, records=iter(records))
        assert_refused(
            DuplicateIdError, plane.add, records=(Record(f"{at % 1500:04}", embedding=[1, at]) for at in range(1600))
        )
        assert contents(plane) == before

    def test_an_id_named_twice_in_a_read_or_delete_counts_once(self, plane: Collection) -> None:
        """2.2 `get` returns the record once, in its first place; `delete` counts it once."""
        plane.add(ids=["a", "b", "c"], embeddings=[[1, 0], [2, 0], [3, 0]])
        assert ids_of(plane.get(["b", "a", "b", "b", "a"])) == ["b", "a"]
        assert plane.delete(["b", "a", "b", "x", "x"]) == 2

    def test_an_empty_document_is_not_a_missing_one(self, plane: Collection) -> None:
        """2.4 `""` and None come back as they were written, by every way of reading."""
        plane.add(ids=["a", "b", "c"], embeddings=[[1, 0], [2, 0], [3, 0]], documents=["", None, " "])
        expected = ["", None, " "]
        assert [record.document for record in plane.get()] == expected
        assert [record.document for record in plane.scan()] == expected
        assert [hit.document for hit in plane.search([0, 0])] == expected
        plane.upsert(ids=["a", "b"], embeddings=[[1, 0], [2, 0]], documents=[None, ""])
        assert [record.document for record in plane.get()] == [None, "", " "]

    def test_documents_come_back_as_they_were(self, plane: Collection) -> None:
        """2.4 Any text of any length: blanks, control characters, normal forms, a million characters."""
        documents = [*ODD_TEXTS, "é" * 1_000_000, "  \n\t ", "line\nline\r\nline", "\u2028\u2029"]
        ids = [f"{at:03}" for at in range(len(documents))]
        plane.add(ids=ids, embeddings=[[1, at] for at in range(len(ids))], documents=documents)
        for record, document in zip(plane.get(), documents, strict=True):
            assert record.document == document, f"document {record.id}: {document[:40]!r}"

    def test_a_document_that_is_no_text_is_refused(self, plane: Collection) -> None:
        """2.4 A str or None; nothing is written of the call."""
        bad: list[Any] = [3, 1.5, True, b"text", ["text"], {"text": 1}, *_BROKEN_TEXTS]
        for document in bad:
            for write in (plane.add, plane.upsert):
                assert_refused(
                    InvalidArgumentError,
                    write,
                    ids=["a", "b"],
                    embeddings=[[1, 2], [3, 4]],
                    documents=["fine", document],
                )
        assert plane.count() == 0

    def test_no_text_holds_nul_or_a_lone_surrogate(self, plane: Collection) -> None:
        """2.6 Wherever it stands, it is refused by the class for that place, and nothing is written."""
        plane.add(ids=["a"], embeddings=[[1, 2]], documents=["alpha"])
        before = contents(plane)
        for text in _BROKEN_TEXTS:
            writes: dict[str, tuple[type[VectorKitError], dict[str, Any]]] = {
                "id": (InvalidIdError, {"ids": [text]}),
                "document": (InvalidArgumentError, {"documents": [text]}),
                "key": (InvalidMetadataError, {"metadatas": [{text: 1}]}),
                "value": (InvalidMetadataError, {"metadatas": [{"v": text}]}),
                "element": (InvalidMetadataError, {"metadatas": [{"v": ["fine", text]}]}),
                "nested key": (InvalidMetadataError, {"metadatas": [{"v": {text: 1}}]}),
                "nested value": (InvalidMetadataError, {"metadatas": [{"v": {"w": [{"x": text}]}}]}),
            }
            for error, given in writes.values():
                row: dict[str, Any] = {"ids": ["b"], "embeddings": [[1, 2]], **given}
                assert_refused(error, plane.add, **row)
                assert_refused(error, plane.upsert, **row)
            filters: list[dict[str, Any]] = [{text: 1}, {"v": text}, {"v": {"$in": [text]}}, {"v": {"$gt": text}}]
            for where in filters:
                assert_refused(InvalidFilterError, plane.get, where=where)
            assert_refused(InvalidFilterError, plane.get, where_document={"$contains": text})
            assert_refused(InvalidArgumentError, plane.search, text)
        assert contents(plane) == before

    def test_what_a_call_was_given_is_not_modified(self, texts: Collection) -> None:
        """2.7 Lists, dicts and arrays are after every call what they were before."""
        vectors = np.arange(1, 17, dtype=np.float32).reshape(2, 8)
        where = {"$and": [{"v": {"$gte": 1, "$ne": 9}}, {"$not": {"w": {"$in": [1, "a", None]}}}]}
        given: dict[str, Any] = {
            "ids": ["b", "a"],
            "documents": ["beta", "alpha"],
            "embeddings": vectors,
            "metadatas": [{"v": 1, "w": [1, {"x": [2]}]}, {"v": 2, "n": None}],
        }
        mixed: dict[str, Any] = {**given, "embeddings": [None, [1, 2, 3, 4, 5, 6, 7, 8]]}
        before, mixed_before, where_before = deepcopy(given), deepcopy(mixed), deepcopy(where)
        texts.add(**given)
        texts.upsert(**mixed)
        texts.update(**given)
        texts.update(**mixed, merge=True)
        texts.search(vectors[0], where=where, include_embeddings=True)
        texts.search_many(vectors, where=where)
        texts.get(given["ids"], where=where)
        texts.count(where)
        texts.delete(given["ids"], where=where)
        assert typed(where) == typed(where_before)
        for now, then in ((given, before), (mixed, mixed_before)):
            assert np.array_equal(vectors, before["embeddings"])
            assert now["ids"] == then["ids"]
            assert now["documents"] == then["documents"]
            assert typed(now["metadatas"]) == typed(then["metadatas"])
        assert mixed["embeddings"] == mixed_before["embeddings"]

    def test_changing_what_was_given_or_returned_changes_nothing_stored(self, plane: Collection) -> None:
        """2.7 The store keeps copies of its own, and hands out copies, at every depth and by every call."""
        for write in (plane.add, plane.upsert, plane.update):
            metadata: dict[str, Any] = {"v": [1, {"w": [2]}], "d": {"e": {"f": 3}}}
            vector = np.array([[1, 2]], dtype=np.float32)
            write(ids=["a"], embeddings=vector, metadatas=[metadata])
            before = contents(plane)
            _change(metadata)
            vector[0, 0] = 9
            assert contents(plane) == before, write.__name__

        def read() -> dict[str, list[Record] | list[Hit]]:
            return {
                "get": plane.get(include_embeddings=True),
                "get by id": plane.get(["a"], include_embeddings=True),
                "get by filter": plane.get(where={"d": {"$exists": True}}, include_embeddings=True),
                "scan": list(plane.scan(include_embeddings=True)),
                "search": plane.search([1, 2], include_embeddings=True),
                "search with a filter": plane.search([1, 2], where={"d": {"$ne": 1}}, include_embeddings=True),
                "search_many": plane.search_many([[1, 2], [1, 2]], include_embeddings=True)[1],
            }

        for way, found in read().items():
            (one,) = found
            assert isinstance(one.embedding, np.ndarray)
            one.embedding[0] = 9
            _change(one.metadata)
            assert contents(plane) == before, way


def _change(metadata: dict[str, Any]) -> None:
    """From the innermost values outwards."""
    metadata["v"][1]["w"].append(9)
    metadata["v"][1]["x"] = 9
    metadata["v"].append(9)
    metadata["d"]["e"]["f"] = 9
    metadata["x"] = 9
