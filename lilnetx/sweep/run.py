"""One process's part in a sweep: it takes trials until all are done, by itself or by others."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lilnetx.data import ImageDataset
from lilnetx.errors import DivergedError, OutputError, UsageError
from lilnetx.sweep.board import Board, Claim
from lilnetx.sweep.front import Outcome
from lilnetx.sweep.report import write_reports
from lilnetx.sweep.space import Space, Value
from lilnetx.sweep.storage import open_study
from lilnetx.train.config import TrainConfig

TRIALS = 20
STORAGE = "sweep.db"
_LONGEST_WAIT = 5.0


@dataclass(frozen=True)
class SweepPlan:
    """What all processes of a sweep must agree on, and how many trials this one waits for.

    Attributes:
        config: Settings of the runs.
        space: What is varied, over the settings.
        trials: How many trials; 0 for the whole grid, or 20 with a range.
        seed: Of the sampler is ``config.seed``.
    """

    config: TrainConfig
    space: Space
    trials: int = 0

    def count(self) -> int:
        """How many trials there are."""
        size = self.space.grid_size
        if size is None:
            return self.trials or TRIALS
        return min(self.trials or size, size)

    def settings(self, values: Mapping[str, Value]) -> TrainConfig:
        """Those of one trial."""
        changes: dict[str, Any] = dict(values)
        return replace(self.config, **changes)

    def check(self) -> None:
        """Refuse what cannot work; UsageError."""
        if self.config.dense:
            raise UsageError("a sweep traces size and accuracy of compressed runs: leave out dense")
        for slot in range(min(self.count(), 10)):
            self.settings(self.space.point(slot)).check()

    def definition(self) -> dict[str, Any]:
        """JSON-able, without the number of trials, which may grow."""
        return {"config": self.config.as_json(), "vary": self.space.as_json()}


def run_sweep(
    plan: SweepPlan,
    data: ImageDataset,
    folder: Path,
    *,
    storage: str = "",
    study: str = "lilnetx",
    grace: float = 60.0,
    progress: bool = True,
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> list[Outcome]:
    """Take part in a sweep until all of its trials are done.

    Any number of processes and machines may run this at once with one storage. Each trial is a run
    in a folder of its own under ``folder/trials``: where processes share the folder, a trial whose
    process was killed goes on from its checkpoint. After each trial, ``folder`` receives
    ``trials.csv``, ``front.csv``, ``front.png`` and ``front.html``.

    Args:
        plan: The sweep.
        data: Its data.
        folder: Of runs and reports.
        storage: See :func:`.storage.open_study`; the file ``sweep.db`` in the folder by default.
        study: Name of the sweep in the storage.
        grace: Seconds of silence after which a process counts as dead.
        progress: Whether runs show a bar, and a line after each epoch.
        device: Where runs train, as :func:`lilnetx.train.loop.train` takes it.
        say: Told a line whenever something was done.

    Returns:
        All outcomes, in order of their slots.

    Raises:
        UsageError, DataError: A run cannot work; its trial is left to others.
        SweepError: See :func:`.storage.open_study`.
        OutputError: The folder cannot be written.
    """
    plan.check()
    try:
        (folder / "trials").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
    shared = open_study(storage or str(folder / STORAGE), study, plan.definition())
    board = Board(shared, plan.space, plan.count(), grace, plan.config.seed)
    how = {"progress": progress, "device": device}
    told = ""
    while True:
        claim = board.claim()
        if claim is not None:
            say(f"trial {claim.slot}: {_text(claim.values)}")
            _take(plan, data, folder, board, claim, how, say)
            write_reports(folder, plan.definition(), outcomes_of(board), plan.count())
        counts = board.counts()
        line = f"{counts.done} of {counts.slots} trials done"
        if counts.elsewhere:
            line += f", {counts.elsewhere} running in other processes"
        if counts.given_up:
            line += f", {counts.given_up} failed"
        if line != told:
            say(line)
            told = line
        if counts.done + counts.given_up >= counts.slots:
            break
        if claim is None:
            time.sleep(min(grace / 4, _LONGEST_WAIT))
    outcomes = outcomes_of(board)
    write_reports(folder, plan.definition(), outcomes, plan.count())
    return outcomes


def outcomes_of(board: Board) -> list[Outcome]:
    """What the study holds of finished trials."""
    return [
        Outcome(
            slot=slot,
            values=dict(trial.params),
            validation_top1=float(trial.values[0]),
            bytes=int(trial.values[1]),
            macs_left=int(trial.values[2]),
            macs=int(trial.user_attrs["macs"]),
            sparsity_kxk=float(trial.user_attrs["sparsity_kxk"]),
            sparsity_1x1=float(trial.user_attrs["sparsity_1x1"]),
            test_top1=float(trial.user_attrs["test_top1"]),
            seconds=float(trial.user_attrs["seconds"]),
            folder=str(trial.user_attrs["folder"]),
        )
        for slot, trial in board.finished()
    ]


def _take(
    plan: SweepPlan,
    data: ImageDataset,
    folder: Path,
    board: Board,
    claim: Claim,
    how: Mapping[str, Any],
    say: Callable[[str], None],
) -> None:
    """Run one trial; whatever ends it early leaves its slot to be tried again."""
    config = plan.settings(claim.values)
    try:
        with board.at_work(claim):
            values, facts = _train(config, data, folder / "trials" / _name(claim, config), how)
        kept = board.finish(claim, values, facts)
    except KeyboardInterrupt:
        board.withdraw(claim.trial)
        raise
    except DivergedError as error:
        # That is something to learn about its values; other trials may well work.
        board.fail(claim, final=True)
        say(f"trial {claim.slot} failed: {error}")
        return
    except Exception:
        board.fail(claim)
        raise
    if kept:
        say(
            f"trial {claim.slot}: {100 * values[0]:.2f} % on validation images, "
            f"{values[1]:,.0f} bytes, {100 * values[2] / facts['macs']:.1f} % of the "
            "multiply-accumulates"
        )
    else:
        say(f"trial {claim.slot} was taken over by another process; its result is left out")


def _train(
    config: TrainConfig, data: ImageDataset, folder: Path, how: Mapping[str, Any]
) -> tuple[tuple[float, float, float], dict[str, Any]]:
    """Train and pack; a trial's values, in the order of the study's directions, and its facts."""
    from lilnetx.packing import pack
    from lilnetx.train.loop import train
    from lilnetx.train.origin import file_meta

    began = time.monotonic()
    trained = train(config, data, folder, **how)
    path = folder / "model.lnx"
    meta = file_meta(config, data.facts, config.epochs)
    pack(trained.model, path, input_shape=data.facts.image_shape, meta=meta)
    result = trained.result
    facts = {name: result[name] for name in ("macs", "sparsity_kxk", "sparsity_1x1", "test_top1")}
    facts |= {"seconds": round(time.monotonic() - began, 1), "folder": str(folder)}
    values = (result["validation_top1"], float(path.stat().st_size), float(result["macs_left"]))
    return values, facts


def _name(claim: Claim, config: TrainConfig) -> str:
    """A folder that only runs of these very settings share, so that it can be resumed blindly."""
    mark = zlib.crc32(json.dumps(config.as_json(), sort_keys=True).encode())
    return f"{claim.slot:03d}-{mark:08x}"


def _text(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items())


__all__ = ["STORAGE", "TRIALS", "SweepPlan", "outcomes_of", "run_sweep"]
