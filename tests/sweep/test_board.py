"""Claims of slots, by boards that know each other only through their storage."""

import time

import pytest

pytest.importorskip("torch", reason="torch is not installed: a sweep's settings need it")
optuna = pytest.importorskip("optuna", reason="optuna is not installed: no sweeps")

from lilnetx.errors import SweepError  # noqa: E402
from lilnetx.sweep.board import Board  # noqa: E402
from lilnetx.sweep.space import Space  # noqa: E402
from lilnetx.sweep.storage import open_study  # noqa: E402

DEFINITION = {"config": {"network": "resnet20", "rate": 0.7}, "vary": {"rate": "1,2,3"}}
SPACE = Space.parse(["rate=1,2,3"])
GRACE = 0.2


@pytest.fixture(params=["sweep.db", "sweep.journal"])
def storage(request, tmp_path):
    return str(tmp_path / request.param)


def board(storage: str, space: Space = SPACE, slots: int = 3, grace: float = GRACE) -> Board:
    """As another process has it: opened anew."""
    return Board(open_study(storage, "s", DEFINITION), space, slots, grace, seed=0)


def finish(board_: Board, claim) -> bool:
    return board_.finish(claim, (0.9, 1000.0, 10.0), {"macs": 100})


def test_two_boards_share_the_slots_and_each_is_done_once(storage):
    boards = [board(storage, grace=60), board(storage, grace=60)]
    claims = [boards[i % 2].claim() for i in range(3)]
    assert [c.slot for c in claims] == [0, 1, 2]
    assert [c.values["rate"] for c in claims] == [1.0, 2.0, 3.0]
    assert boards[0].claim() is None
    assert boards[1].counts().elsewhere == 3
    for index, claim in enumerate(claims):
        assert finish(boards[index % 2], claim)
    counts = boards[0].counts()
    assert (counts.done, counts.elsewhere, counts.given_up) == (3, 0, 0)
    assert [slot for slot, _ in boards[1].finished()] == [0, 1, 2]
    assert boards[0].claim() is boards[1].claim() is None


def test_a_silent_trial_is_taken_over_with_its_values_and_its_late_result_left_out(storage):
    space = Space.parse(["rate=0.1..3"])
    dead, alive = board(storage, space, 1), board(storage, space, 1)
    lost = dead.claim()
    assert alive.claim() is None
    time.sleep(2 * GRACE)
    again = alive.claim()
    assert (again.slot, again.values) == (lost.slot, lost.values)
    assert not finish(dead, lost)
    assert finish(alive, again)
    assert [trial.number for _, trial in alive.finished()] == [again.trial.number]


def test_a_trial_at_work_is_left_alone(storage):
    grace = 1.0
    worker, other = (board(storage, slots=1, grace=grace) for _ in range(2))
    claim = worker.claim()
    with worker.at_work(claim):
        deadline = time.monotonic() + 2 * grace
        while time.monotonic() < deadline:
            assert other.claim() is None
            time.sleep(grace / 4)
    assert finish(worker, claim)


def test_withdrawn_trials_are_tried_again_without_end_but_failing_ones_are_given_up(storage):
    one = board(storage, slots=1)
    for _ in range(4):
        one.withdraw(one.claim().trial)
    for _ in range(3):
        one.fail(one.claim())
    assert one.claim() is None
    counts = one.counts()
    assert (counts.done, counts.given_up) == (0, 1)


def test_what_fails_by_its_values_is_not_tried_again(storage):
    one = board(storage, slots=2)
    one.fail(one.claim(), final=True)
    claim = one.claim()
    assert claim.slot == 1
    assert finish(one, claim)
    assert one.claim() is None
    counts = one.counts()
    assert (counts.done, counts.given_up) == (1, 1)


def test_two_trials_for_one_slot_become_one(storage):
    one, two = board(storage, slots=1), board(storage, slots=1)
    study = open_study(storage, "s", DEFINITION)
    for _ in range(2):
        study.enqueue_trial({"rate": 1.0}, user_attrs={"slot": 0})
    claim = one.claim()
    assert claim.trial.number == 0
    assert two.claim() is None
    assert finish(one, claim)
    assert one.claim() is None


def test_a_larger_number_of_trials_goes_on(storage):
    small = board(storage, slots=1)
    finish(small, small.claim())
    assert small.claim() is None
    claim = board(storage, slots=2).claim()
    assert claim.slot == 1


def test_a_sweep_of_other_settings_is_refused(storage):
    board(storage)
    other = {"config": {**DEFINITION["config"], "rate": 2.0}, "vary": {"rate": "1,2"}}
    with pytest.raises(
        SweepError, match=r"rate: 0\.7 there, 2\.0 here; vary rate: 1,2,3 there, 1,2 here"
    ):
        open_study(storage, "s", other)
    assert open_study(storage, "another", other).study_name == "another"


def test_a_study_of_others_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    optuna.create_study(storage=url, study_name="s").add_trial(optuna.trial.create_trial(value=1.0))
    with pytest.raises(SweepError, match="is no sweep of lilnetx"):
        open_study(url, "s", DEFINITION)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none/sweep.db", "does not exist"),
        ("nonsense://host/name", "cannot be used as a storage"),
    ],
)
def test_storages_that_cannot_be_used_are_refused(tmp_path, name, message):
    storage = name if "://" in name else str(tmp_path / name)
    with pytest.raises(SweepError, match=message):
        open_study(storage, "s", DEFINITION)


def test_a_damaged_storage_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lilnetx.sweep.storage._TRIES", 1)
    (tmp_path / "sweep.db").write_bytes(b"no database" * 100)
    with pytest.raises(SweepError, match="damaged"):
        open_study(str(tmp_path / "sweep.db"), "s", DEFINITION)
