"""Who works on what: the slots of a sweep, claimed by processes that know only the shared study.

A sweep has a fixed number of slots, each to be filled by one finished trial. Every trial says which
slot it is for. A trial is enqueued for a slot that has none, and whoever asks the study next takes
it; the storage lets only one process do so. Two processes may enqueue for the same slot at once:
the trial of the higher number is then withdrawn by whoever takes it.

A process at work raises a number beside its trial every few seconds. Where that number has stood
still for the grace period, by the clock of the one who looks, the process counts as dead: its trial
is failed, and a new one with the same values is enqueued.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

from lilnetx.sweep.space import Space, Value
from lilnetx.sweep.storage import import_optuna

_SLOT, _BEAT, _OWNER, _WITHDRAWN, _FINAL = "slot", "beat", "owner", "withdrawn", "final"
# Beats in a grace period.
_BEATS = 6
# A slot whose trials die so often is given up: something about its values kills processes.
_MOST_DEATHS = 3


@dataclass(frozen=True)
class Claim:
    """A trial that this process works on, the slot that it fills, and its values."""

    trial: Any
    slot: int
    values: dict[str, Value]


@dataclass(frozen=True)
class Counts:
    """Slots by state; ``elsewhere`` are those that other processes work on."""

    slots: int
    done: int
    given_up: int
    elsewhere: int


class Board:
    """The slots of one sweep.

    Args:
        study: The shared study.
        space: What the sweep varies.
        slots: How many trials it has.
        grace: Seconds of silence after which a process counts as dead.
        seed: Of the sampler; each slot has its own.
    """

    def __init__(self, study: Any, space: Space, slots: int, grace: float, seed: int) -> None:
        self._study, self._space, self._slots = study, space, slots
        self._grace, self._seed = grace, seed
        self._optuna = import_optuna()
        self._states = self._optuna.trial.TrialState
        # Beat of each running trial, and when it was first seen.
        self._seen: dict[int, tuple[int, float]] = {}

    def claim(self) -> Claim | None:
        """A trial to work on; None while there is none, because others work on all that is left."""
        while True:
            self._fail_the_dead()
            if not self._enqueue():
                return None
            trial = self._study.ask()
            slot = trial.user_attrs.get(_SLOT)
            if slot is None or self._is_taken(slot, trial.number):
                self.withdraw(trial)
                continue
            trial.set_user_attr(_OWNER, f"{socket.gethostname()}:{os.getpid()}")
            self._study.sampler = self._optuna.samplers.TPESampler(seed=self._seed * 100_003 + slot)
            return Claim(trial, slot, self._space.suggest(trial))

    @contextlib.contextmanager
    def at_work(self, claim: Claim) -> Any:
        """While the block runs, others see that the process is alive."""
        stop = threading.Event()
        pulse = threading.Thread(target=self._beat, args=(claim.trial, stop), daemon=True)
        pulse.start()
        try:
            yield
        finally:
            stop.set()
            pulse.join()

    def finish(self, claim: Claim, values: tuple[float, ...], facts: dict[str, Any]) -> bool:
        """Store a trial's values and facts; False if others took it over in the meantime."""
        try:
            for name, value in facts.items():
                claim.trial.set_user_attr(name, value)
            self._study.tell(claim.trial, list(values))
            return True
        except (ValueError, RuntimeError):
            # What Optuna raises for a trial that has been failed; anything else shows here.
            if self._trial(claim.trial.number).state == self._states.RUNNING:
                raise
            return False

    def fail(self, claim: Claim, *, final: bool = False) -> None:
        """Give a trial up because of an error.

        Its slot is tried again, but not without end; not at all where the error is ``final``, as it
        comes from the values.
        """
        if final:
            with contextlib.suppress(ValueError, RuntimeError):
                claim.trial.set_user_attr(_FINAL, True)
        self._tell_failed(claim.trial.number)

    def withdraw(self, trial: Any) -> None:
        """Give a trial back untried."""
        with contextlib.suppress(ValueError, RuntimeError):
            trial.set_user_attr(_WITHDRAWN, True)
        self._tell_failed(trial.number)

    def finished(self) -> list[tuple[int, Any]]:
        """Slots and their finished trials, in order of slots."""
        found: dict[int, Any] = {}
        for trial in self._trials():
            if trial.state == self._states.COMPLETE and _SLOT in trial.user_attrs:
                found.setdefault(trial.user_attrs[_SLOT], trial)
        return sorted(found.items())

    def counts(self) -> Counts:
        """The slots by state."""
        by_slot = self._by_slot()
        done = sum(self._is_done(by_slot[slot]) for slot in range(self._slots))
        lost = sum(self._is_given_up(by_slot[slot]) for slot in range(self._slots))
        running = sum(
            any(t.state == self._states.RUNNING for t in by_slot[slot])
            for slot in range(self._slots)
        )
        return Counts(self._slots, done, lost, running)

    def _trials(self) -> list[Any]:
        found: list[Any] = self._study.get_trials(deepcopy=False)
        return found

    def _trial(self, number: int) -> Any:
        return next(trial for trial in self._trials() if trial.number == number)

    def _by_slot(self) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = {slot: [] for slot in range(self._slots)}
        for trial in self._trials():
            slot = trial.user_attrs.get(_SLOT)
            if slot is not None and not trial.user_attrs.get(_WITHDRAWN):
                found.setdefault(slot, []).append(trial)
        return found

    def _is_done(self, trials: list[Any]) -> bool:
        return any(t.state == self._states.COMPLETE for t in trials)

    def _is_given_up(self, trials: list[Any]) -> bool:
        dead = sum(t.state == self._states.FAIL for t in trials)
        alive = any(t.state in (self._states.RUNNING, self._states.COMPLETE) for t in trials)
        final = any(t.user_attrs.get(_FINAL) for t in trials)
        return (dead >= _MOST_DEATHS or final) and not alive

    def _enqueue(self) -> bool:
        """Enqueue a trial for the first slot that has none; whether any trial waits now."""
        ends = (self._states.FAIL, self._states.PRUNED)
        by_slot = self._by_slot()
        if any(t.state == self._states.WAITING for ts in by_slot.values() for t in ts):
            return True
        for slot in range(self._slots):
            trials = by_slot[slot]
            if self._is_given_up(trials) or not all(t.state in ends for t in trials):
                continue
            values = self._space.point(slot)
            for trial in trials:
                # A trial that died goes on with its values, and so with its checkpoint.
                if trial.params.keys() == self._space.dimensions.keys():
                    values = dict(trial.params)
            self._study.enqueue_trial(values, user_attrs={_SLOT: slot})
            return True
        return False

    def _is_taken(self, slot: int, number: int) -> bool:
        """Whether a slot is done, or worked on under a lower number.

        Trials are handed out by rising numbers, so of two that were enqueued for one slot the lower
        one is running when the higher one is taken.
        """
        return any(
            t.state == self._states.COMPLETE
            or (t.state == self._states.RUNNING and t.number < number)
            for t in self._by_slot().get(slot, [])
            if t.number != number
        )

    def _fail_the_dead(self) -> None:
        now = time.monotonic()
        for trial in self._trials():
            if trial.state != self._states.RUNNING:
                continue
            beat = int(trial.user_attrs.get(_BEAT, 0))
            seen = self._seen.get(trial.number)
            if seen is None or seen[0] != beat:
                self._seen[trial.number] = (beat, now)
            elif now - seen[1] > self._grace:
                self._tell_failed(trial.number)

    def _tell_failed(self, number: int) -> None:
        # Another process may have been faster.
        with contextlib.suppress(ValueError, RuntimeError):
            self._study.tell(number, state=self._states.FAIL)

    def _beat(self, trial: Any, stop: threading.Event) -> None:
        beat = 0
        while not stop.wait(self._grace / _BEATS):
            beat += 1
            # A storage that does not answer for a while is no reason to stop training: if it was
            # for too long, others have taken the trial over, which shows at the end.
            with contextlib.suppress(Exception):
                trial.set_user_attr(_BEAT, beat)


__all__ = ["Board", "Claim", "Counts"]
