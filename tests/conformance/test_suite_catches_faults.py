"""The suite is tested: for each store that is wrong in one way, it is said which test fails, and that test does."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

from vectorkit.testing import BackendConformance
from vectorkit.testing.faults import FAULTS, rule

pytest_plugins = ["pytester"]

# fmt: off
CATCHES = {
    # 1 Collections
    "FoldsNames": "test_names_are_case_sensitive",
    "ListsInOrderOfCreation": "test_collections_are_listed_by_name",
    "ForgetsTheMetric": "test_the_metric_and_the_dimension_are_kept",
    "RefusesLargeDimensions": "test_dimensions_from_1_to_16000_are_taken",
    "CreateReplaces": "test_creating_an_existing_name_is_refused",
    "DropIgnoresMissing": "test_a_missing_collection_is_not_found",
    "GetOrCreateIgnoresSettings": "test_get_or_create_refuses_what_differs",
    "GetOrCreateMakesNoTextIndex": "test_get_or_create_makes_the_text_index_it_is_asked_for",
    "ForgetsTheEmbedder": "test_the_identity_of_the_embedder_is_stored",
    "OpensUnderAnyEmbedder": "test_another_embedder_is_refused",
    "SharesIds": "test_collections_are_independent",
    "SharesItsMemory": "test_independent_stores_do_not_share_anything",
    "DropLeavesTheRecords": "test_a_handle_of_a_dropped_collection_is_stale",
    "StaleHandlesWork": "test_a_handle_of_a_dropped_collection_is_stale",
    "KeepsTheRecordsItReplaces": "test_one_collection_takes_the_place_of_another",
    # 2 Records
    "CountsIdsInBytes": "test_an_id_has_1_to_512_characters",
    "CutsIds": "test_long_ids_are_told_apart_to_their_last_character",
    "FoldsIds": "test_ids_are_compared_by_code_point",
    "NormalisesIds": "test_ids_are_compared_by_code_point",
    "TrimsIds": "test_ids_are_compared_by_code_point",
    "NumbersIdsAnew": "test_ids_left_out_are_generated",
    "LastOfARepeatedIdWins": "test_an_id_named_twice_in_a_write_is_refused",
    "RefusesZeroVectors": "test_a_zero_vector_is_one_like_others_where_it_has_a_meaning",
    "TruncatesVectors": "test_numbers_are_kept_as_float32",
    "CutsAndPadsVectors": "test_another_length_is_refused",
    "ReadsNumbersFromText": "test_what_is_no_vector_is_refused",
    "TakesNaNForZero": "test_what_is_no_vector_is_refused",
    "CutsDocuments": "test_documents_come_back_as_they_were",
    "EmptyDocumentsBecomeNone": "test_an_empty_document_is_not_a_missing_one",
    "MissingDocumentsBecomeEmpty": "test_an_empty_document_is_not_a_missing_one",
    "BoolsBecomeIntegers": "test_metadata_comes_back_equal_and_of_the_same_types",
    "DropsEmptyLists": "test_metadata_comes_back_equal_and_of_the_same_types",
    "DropsNulls": "test_metadata_comes_back_equal_and_of_the_same_types",
    "IntegersBecomeFloats": "test_metadata_comes_back_equal_and_of_the_same_types",
    "LargeFloatsBecomeIntegers": "test_metadata_comes_back_equal_and_of_the_same_types",
    "NestedObjectsBecomeText": "test_metadata_comes_back_equal_and_of_the_same_types",
    "NoMetadataIsNone": "test_no_metadata_is_an_empty_dict",
    "RoundsFloats": "test_metadata_comes_back_equal_and_of_the_same_types",
    "RoundsLargeIntegers": "test_metadata_comes_back_equal_and_of_the_same_types",
    "WholeFloatsBecomeIntegers": "test_metadata_comes_back_equal_and_of_the_same_types",
    "WritesDatesAsText": "test_what_is_no_json_is_refused",
    "StripsNul": "test_no_text_holds_nul_or_a_lone_surrogate",
    "HandsOutItsOwnObjects": "test_changing_what_was_given_or_returned_changes_nothing_stored",
    "NormalisesInPlace": "test_what_a_call_was_given_is_not_modified",
    "ScansShareNestedValues": "test_changing_what_was_given_or_returned_changes_nothing_stored",
    "SharesNestedValues": "test_changing_what_was_given_or_returned_changes_nothing_stored",
    "HitsShareNestedValues": "test_changing_what_was_given_or_returned_changes_nothing_stored",
    "LeavesKeysInTheCallersMetadata": "test_what_a_call_was_given_is_not_modified",
    "PopsTheFilter": "test_what_a_call_was_given_is_not_modified",
    # 3 Writing
    "WritesAsItReads": "test_a_stream_that_turns_out_bad_half_way_writes_nothing",
    "AddIgnoresExisting": "test_add_refuses_ids_that_are_stored",
    "AddReplaces": "test_add_refuses_ids_that_are_stored",
    "AddWritesBeforeItRefuses": "test_add_refuses_ids_that_are_stored",
    "FirstWriteWins": "test_upsert_forgets_what_it_is_not_given",
    "KeepsOldDocuments": "test_upsert_forgets_what_it_is_not_given",
    "KeepsOldVectors": "test_upsert_forgets_what_it_is_not_given",
    "MergesOnUpsert": "test_upsert_forgets_what_it_is_not_given",
    "IndexMissesReplacements": "test_upsert_forgets_what_it_is_not_given",
    "ReplacesAThousandAtMost": "test_any_number_of_records_is_replaced_at_once",
    "ForgetsTheRestOnUpdate": "test_an_update_of_one_column_leaves_the_others",
    "MergeDropsNulls": "test_metadata_is_replaced_or_merged",
    "MergesOnUpdate": "test_metadata_is_replaced_or_merged",
    "ReplacesOnMerge": "test_metadata_is_replaced_or_merged",
    "UpdateAdds": "test_an_update_of_a_missing_record_is_refused",
    "UpdateChecksEachPart": "test_an_update_in_two_parts_is_refused_whole",
    "UpdateIgnoresMissing": "test_an_update_of_a_missing_record_is_refused",
    "UpdateStopsHalfWay": "test_an_update_of_a_missing_record_is_refused",
    "IndexMissesUpdates": "test_a_searched_vector_is_the_updated_one",
    "UpdatesAThousandAtMost": "test_any_number_of_records_is_changed_at_once",
    "KeepsTheVectorOfTheOldDocument": "test_a_document_that_is_given_is_embedded",
    "CountsDeletesAsAsked": "test_delete_ignores_ids_that_are_missing",
    "DeletesByEither": "test_delete_by_filter_deletes_what_get_returns",
    "DeletesWithoutFilter": "test_delete_by_filter_deletes_what_get_returns",
    "IndexKeepsDeletedRecords": "test_delete_ignores_ids_that_are_missing",
    "DeletesAThousandMatches": "test_any_number_of_records_is_deleted_by_a_filter",
    "DeletesTenThousandIds": "test_twelve_thousand_records_are_no_special_case",
    "DeletesEverythingOnNoArguments": "test_delete_of_nothing_is_refused",
    "WritesAThousandAtMost": "test_any_number_of_records_is_taken_at_once",
    "IndexIsLate": "test_a_write_is_visible_to_the_next_call",
    "IndexWaitsForAThousand": "test_results_do_not_depend_on_how_many_records_there_are",
    "EmbedsAllAgain": "test_what_is_stored_unchanged_is_not_embedded_again",
    "PrunesOtherSources": "test_what_is_gone_from_its_source_is_pruned",
    # 4 Reading
    "CutsBeforeTheFilter": "test_limit_and_offset_cut_the_order",
    "GetsAHundredAtMost": "test_any_number_of_records_is_taken_at_once",
    "GetsInOrderOfStorage": "test_get_by_ids_keeps_the_order_asked",
    "GetsInOrderOfWriting": "test_get_without_ids_is_in_ascending_order_of_id",
    "IgnoresTheOffset": "test_limit_and_offset_cut_the_order",
    "LosesLongListsOfIds": "test_tens_of_thousands_of_ids_can_be_asked_for",
    "OrdersIdsByLocale": "test_get_without_ids_is_in_ascending_order_of_id",
    "GetsTenThousandAtMost": "test_twelve_thousand_records_are_no_special_case",
    "CountsEverything": "test_count_is_the_number_of_records_that_get_returns",
    "CountsTenThousandAtMost": "test_twelve_thousand_records_are_no_special_case",
    "ScanBeginsWithTheIdItself": "test_a_scan_begins_after_any_id",
    "ScanForgetsVectors": "test_scan_reads_what_get_reads",
    "ScanLosesTheLastPage": "test_scan_reads_what_get_reads",
    "ScansByOffset": "test_a_scan_sees_nothing_twice_while_records_are_written",
    "ScansTenThousandAtMost": "test_twelve_thousand_records_are_no_special_case",
    # 5 Filters
    "TakesOneOperatorAKey": "test_filters_combine",
    "ComplementNeedsAValue": "test_filters_combine",
    "NegatesByTurningAround": "test_a_filter_and_its_complement_share_no_record_and_miss_none",
    "AbsentIsNotNull": "test_no_value_is_no_value",
    "BoolsAreNumbers": "test_values_are_compared_with_their_types",
    "ComparesBeginnings": "test_long_texts_are_compared_whole",
    "ComparesInFloat64": "test_numbers_are_compared_as_the_numbers_they_are",
    "FalsyIsNoValue": "test_values_are_compared_with_their_types",
    "IgnoresCaseOfValues": "test_values_are_compared_with_their_types",
    "IgnoresLongText": "test_long_texts_are_compared_whole",
    "ListsEqualTheirElements": "test_values_are_compared_with_their_types",
    "NormalisesText": "test_strings_are_ordered_by_code_point",
    "NumbersInTextAreNumbers": "test_values_are_compared_with_their_types",
    "TruncatesOperands": "test_values_are_compared_with_their_types",
    "OrdersAcrossTypes": "test_values_are_compared_with_their_types",
    "OrdersByBeginnings": "test_long_texts_are_compared_whole",
    "OrdersNumbersAsText": "test_values_are_compared_with_their_types",
    "OrdersTextByLocale": "test_strings_are_ordered_by_code_point",
    "OrdersTextByUtf16": "test_strings_are_ordered_by_code_point",
    "TextHasNoOrder": "test_strings_are_ordered_by_code_point",
    "CutsLongSets": "test_large_sets_are_taken",
    "EmptySetMatchesAll": "test_sets_and_complements",
    "NotEqualNeedsTheKey": "test_sets_and_complements",
    "SamplesForMissingKeys": "test_a_key_may_be_missing_from_the_first_record_or_the_last",
    "NullIsAbsent": "test_exists_asks_for_the_key",
    "NotContainsNeedsAList": "test_elements_of_lists_are_found",
    "ContainsFindsSubstrings": "test_elements_of_lists_are_found",
    "CutsKeys": "test_long_keys_are_told_apart_to_their_last_character",
    "DotsArePaths": "test_keys_are_whole",
    "IgnoresCaseOfKeys": "test_keys_are_whole",
    "FetchesMoreAndFilters": "test_a_filter_decides_before_the_cut",
    "FiltersAfterTheCut": "test_a_filter_decides_before_the_cut",
    "DropsUnknownConditions": "test_a_malformed_filter_is_refused",
    "FiltersDocumentsByWord": "test_documents_are_searched_for_substrings",
    "FindsBeginnings": "test_long_texts_are_compared_whole",
    "IgnoresCaseInDocuments": "test_documents_are_searched_for_substrings",
    "IgnoresDocumentFilters": "test_documents_are_searched_for_substrings",
    "IgnoresTheRestOfDocuments": "test_long_texts_are_compared_whole",
    "NotContainsNeedsADocument": "test_documents_are_searched_for_substrings",
    "ReadsWildcards": "test_documents_are_searched_for_substrings",
    "PastesOperandsIntoSql": "test_payloads_are_data",
    # 6 Search
    "OneTooFew": "test_k_is_how_many_come_back",
    "OneTooMany": "test_k_is_how_many_come_back",
    "RefusesMoreThanThereAre": "test_k_is_how_many_come_back",
    "ReturnsAThousandAtMost": "test_k_come_back_however_large_k_and_however_selective_the_filter",
    "ReturnsFortyAtMost": "test_k_is_how_many_come_back",
    "IndexReturnsFortyAtMost": "test_k_come_back_however_large_k_and_however_selective_the_filter",
    "ReturnsTenThousandAtMost": "test_twelve_thousand_records_are_no_special_case",
    "RefusesZeroHits": "test_k_is_how_many_come_back",
    "AddsOneToProducts": "test_distances_are_the_metrics_own",
    "CosinesBeyondTheirRange": "test_a_cosine_is_never_beyond_its_range",
    "ForgetsTheSignOfOneNumber": "test_opposite_vectors_are_opposite_in_any_dimension",
    "ForgetsToNormalise": "test_distances_are_the_metrics_own",
    "SquaresDistances": "test_distances_are_the_metrics_own",
    "ScoreIsADistance": "test_scores_are_the_metrics_own",
    "ScoreIsOneMinusDistance": "test_scores_are_the_metrics_own",
    "ScoresFromZeroToOne": "test_scores_are_the_metrics_own",
    "CutsBeforeItOrdersTies": "test_ties_at_the_cut_go_to_the_smallest_ids",
    "HidesIdenticalVectors": "test_two_hundred_identical_vectors_are_all_found_in_order",
    "ProductsUpsideDown": "test_scores_are_the_metrics_own",
    "TiesInOrderOfWriting": "test_equal_distances_are_ordered_by_id",
    "MeasuresByExpansion": "test_what_lies_near_the_query_is_measured_as_well",
    "RoundsScores": "test_distances_and_scores_agree_with_the_reference",
    "MinScoreIsADistance": "test_min_score_is_a_score_and_not_a_distance",
    "MinScoreMustBeExceeded": "test_a_threshold_exactly_at_a_score_keeps_it",
    "IndexAnswersExactSearches": "test_an_exact_search_of_many_records_finds_what_the_reference_finds",
    "IndexAnswersFilteredSearches": "test_an_exact_search_of_many_records_finds_what_the_reference_finds",
    "IndexLosesHalf": "test_recall_of_the_default_search_is_high",
    "IndexMeasuresRoughly": "test_an_index_search_is_right_about_what_it_finds",
    "AnswersInAnotherOrder": "test_search_many_equals_one_search_a_query",
    "AnswersTheFirstQueryForAll": "test_search_many_equals_one_search_a_query",
    "EmbedsByDefault": "test_a_text_query_without_an_embedder_is_refused",
    "TakesAnyQueryWhenEmpty": "test_what_is_no_query_vector_is_refused",
    "AlwaysReturnsEmbeddings": "test_embeddings_are_returned_only_when_asked_for",
    "FoundVectorsAreFloat64": "test_embeddings_are_returned_only_when_asked_for",
    "ReturnsUnitVectors": "test_embeddings_are_returned_only_when_asked_for",
    # 7 Text and hybrid search
    "DocumentsAreInEnglish": "test_words_are_made_as_the_rule_says",
    "DocumentsKeepTheirCase": "test_words_are_made_as_the_rule_says",
    "IndexesFromNowOn": "test_a_text_index_made_later_is_like_one_from_the_start",
    "IndexesNothingLater": "test_a_text_index_made_later_is_like_one_from_the_start",
    "IndexesTheBeginning": "test_documents_of_any_size_are_indexed",
    "SearchesVectorsWhateverTheMode": "test_text_search_needs_a_text_index",
    "AveragesLengths": "test_a_score_is_bm25",
    "CountsMissingDocuments": "test_a_score_is_bm25",
    "FindsOnlyAllWords": "test_a_score_is_bm25",
    "IdfMayBeNegative": "test_a_score_is_bm25",
    "IgnoresLengths": "test_a_score_is_bm25",
    "RemembersDeletedWords": "test_writes_change_what_words_weigh",
    "ReturnsWhatHoldsNoWord": "test_a_score_is_bm25",
    "TextTiesInOrderOfWriting": "test_text_hits_are_cut_at_k_and_ties_go_by_id",
    "WeighsByFrequencyAlone": "test_a_score_is_bm25",
    "FindsAThousandTexts": "test_a_text_search_finds_thousands",
    "CandidatesStandInBothLists": "test_every_candidate_has_both_scores",
    "EachSideKeepsItsScore": "test_every_candidate_has_both_scores",
    "FetchesTen": "test_the_hybrid_hits_of_k_are_the_first_of_those_of_more",
    "NeedsAWord": "test_a_query_without_a_word_finds_by_its_vector",
    "RanksFromZero": "test_reciprocal_ranks_are_summed",
    "TextFindsHaveNoDistance": "test_the_distance_of_a_hybrid_hit_is_that_of_the_vectors",
    "TextFiltersAfterTheCut": "test_filters_decide_before_the_cut_and_change_no_weight",
    "WeighsWhatMatches": "test_filters_decide_before_the_cut_and_change_no_weight",
    "HybridFiltersAfterTheCut": "test_filters_apply_to_both_sides_of_a_hybrid_search",
    "RoundsTextScores": "test_text_and_hybrid_rankings_are_those_of_the_reference",
    "PairsVectorsInOrderOfStorage": "test_diversified_hits_are_those_of_the_formula",
    "TextHitsHaveNoVector": "test_diversified_hits_are_those_of_the_formula",
    "HitsHoldExcerpts": "test_a_reranker_reads_whole_documents",
    # 8 Errors
    "MissingIsABackendError": "test_a_missing_collection_is_not_found",
    "ClosesOnce": "test_a_closed_store_says_so",
    "GoesOnAfterClosing": "test_a_closed_store_says_so",
    "LetsClientErrorsEscape": "test_a_missing_collection_is_not_found",
    "LetsTypeErrorsEscape": "test_a_wrong_type_is_an_invalid_argument",
    "ShowsVectorsInMessages": "test_a_message_says_what_to_do_and_holds_no_vector",
    "ShowsTheVectorOfAnotherLength": "test_a_message_says_what_to_do_and_holds_no_vector",
    # 9 What a backend may differ in
    "NeverCallsASearchExact": "test_a_search_says_whether_it_was_exact",
    "ClaimsTextSearch": "test_what_a_backend_cannot_do_is_refused",
    "IgnoresTextIndexes": "test_what_a_backend_cannot_do_is_refused",
    "BelongsToItsThread": "test_many_threads_write_and_read_one_collection",
    "ChecksBeforeItWrites": "test_one_of_many_that_add_an_id_at_once_adds_it",
    "LosesConcurrentWrites": "test_many_threads_write_and_read_one_collection",
    "ClaimsToPersist": "test_a_store_that_persists_is_there_when_opened_again",
    "ClaimsManyProcesses": "test_stores_that_many_processes_may_use_share_their_records",
}
# fmt: on

RULES = re.findall(
    r"^- (\d+\.\d+) ", (Path(__file__).parents[2] / "docs" / "SEMANTICS.md").read_text(encoding="utf-8"), re.MULTILINE
)

EXPECTED = re.compile(r"(^|: )(assert |AssertionError|Failed: |vectorkit\.errors\.)|PreflightError: capabilities\.")
"""How the message begins of a test that fails for a reason."""

SUITES = """
from contextlib import ExitStack

import pytest
from vectorkit import MemoryBackend
from vectorkit.testing import BackendConformance
from vectorkit.testing.faults import FAULTS, FaultyBackend, open_store


class TestReference(BackendConformance):
    @pytest.fixture
    def make_backend(self):
        return MemoryBackend


def suite_of(fault):
    class OfBackend(BackendConformance):
        @pytest.fixture
        def make_backend(self):
            return fault

    class OfStore(TestReference):
        @pytest.fixture
        def open_store(self):
            with ExitStack() as opened:
                yield lambda: opened.enter_context(open_store(fault))

    return OfBackend if issubclass(fault, FaultyBackend) else OfStore


for fault in FAULTS:
    globals()["Test" + fault.__name__] = suite_of(fault)
"""


def test_every_fault_is_said_to_be_caught() -> None:
    """In the order of the rules that they break; no name is stale."""
    assert [fault.__name__ for fault in FAULTS] == list(CATCHES)
    assert {name for name in CATCHES.values() if not hasattr(BackendConformance, name)} == set()


def test_every_fault_names_the_rule_that_it_breaks() -> None:
    assert {rule(fault) for fault in FAULTS} <= set(RULES)


class Only:
    """A plugin that collects of each suite the tests wanted, and gathers how they ended."""

    def __init__(self, wanted: set[tuple[str, str]]) -> None:
        self.wanted = wanted
        self.reports: dict[tuple[str, str], list[pytest.TestReport]] = defaultdict(list)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makeitem(self, collector: pytest.Collector, name: str) -> list[pytest.Item] | None:
        return [] if name.startswith("test_") and (collector.name, name) not in self.wanted else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            _, suite, test = report.nodeid.split("::", 2)
            self.reports[suite, test.partition("[")[0]].append(report)


def caught(reports: list[pytest.TestReport]) -> bool:
    """Whether a test failed, in one case at least, by what it asserts or what the store raised.

    Not before it began, unless the suite found out then that the store declares what it does not have.
    """
    failures = [report for report in reports if report.failed]
    said = [str(getattr(report.longrepr, "reprcrash", report.longrepr)) for report in failures]
    began = all(
        report.when != "setup" or "PreflightError: " in text for report, text in zip(failures, said, strict=True)
    )
    return began and any(map(EXPECTED.search, said))


def test_every_fault_is_caught_by_the_test_for_it(pytester: pytest.Pytester) -> None:
    """And the reference, with nothing wrong, passes the same test."""
    faults = {(f"Test{fault}", test) for fault, test in CATCHES.items()}
    reference = {("TestReference", test) for test in CATCHES.values()}
    only = Only(faults | reference)
    file = pytester.makepyfile(SUITES)
    pytester.runpytest_inprocess("-q", "--tb=line", "-p", "no:cacheprovider", file, plugins=[only])
    assert set(only.reports) == only.wanted
    assert {pair for pair in faults if not caught(only.reports[pair])} == set()
    assert {pair for pair in reference if not all(report.passed for report in only.reports[pair])} == set()
