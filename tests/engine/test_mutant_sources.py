"""Mutants change code that is there: `make mutants` takes long, and is run seldom."""

from tests.mutants.run import mutants, source_of


def test_what_each_mutant_changes_is_there_once() -> None:
    lost = [mutant.name for mutant in mutants() if source_of(mutant).count(mutant.source) != 1]
    assert not lost


def test_each_mutant_has_a_name_of_its_own() -> None:
    names = [mutant.name for mutant in mutants()]
    assert len(set(names)) == len(names) > 200
