"""The storage that the processes of a sweep share, and the study in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lilnetx.errors import MissingExtraError, SweepError

# Values of a trial, in this order.
DIRECTIONS = ("maximize", "minimize", "minimize")
_JOURNALS = (".journal", ".log")
_DEFINITION = "lilnetx_sweep"
# Seconds to wait for a lock that another process holds.
_TIMEOUT = 120
_TRIES = 10

_T = TypeVar("_T")


def import_optuna() -> Any:
    """Optuna, quiet; MissingExtraError where it is not installed."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "sweep", "a sweep") from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def open_study(storage: str, name: str, definition: dict[str, Any]) -> Any:
    """The study of a sweep, made when it is not there.

    Args:
        storage: A file: SQLite, or Optuna's journal where it ends in ``.journal`` or ``.log``; or
            the URL of a database, as Optuna takes it.
        name: Of the study in the storage.
        definition: JSON-able settings of the sweep, which all its processes must share.

    Raises:
        MissingExtraError: Optuna is not installed.
        SweepError: The storage cannot be used, or the study in it is of another sweep.
    """
    optuna = import_optuna()
    backend = _patiently(storage, lambda: _backend(optuna, storage))
    study = _patiently(
        storage,
        lambda: optuna.create_study(
            storage=backend, study_name=name, directions=list(DIRECTIONS), load_if_exists=True
        ),
    )
    stored = study.user_attrs.get(_DEFINITION)
    if stored is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(_DEFINITION, definition)
        stored = study.user_attrs[_DEFINITION]
    if stored is None or [d.name.lower() for d in study.directions] != list(DIRECTIONS):
        raise SweepError(f"{storage}: the study {name!r} is no sweep of lilnetx; give --study")
    differences = _differences(stored, definition)
    if differences:
        raise SweepError(
            f"{storage} holds a sweep with other settings ({'; '.join(differences)}): join it with "
            "the same settings, or name another sweep by --study or another folder"
        )
    return study


def _backend(optuna: Any, storage: str) -> Any:
    if "://" in storage:
        if storage.startswith("sqlite"):
            return _sqlite(optuna, storage)
        return optuna.storages.get_storage(storage)
    path = Path(storage)
    if not path.parent.is_dir():
        raise SweepError(f"{storage}: folder {path.parent} does not exist; create it first")
    if path.suffix in _JOURNALS:
        journal = optuna.storages.journal
        # A process that is killed while it holds the lock leaves it behind: after a while, others
        # take it over.
        lock = journal.JournalFileOpenLock(str(path), grace_period=30)
        return optuna.storages.JournalStorage(journal.JournalFileBackend(str(path), lock))
    return _sqlite(optuna, f"sqlite:///{path.resolve()}")


def _sqlite(optuna: Any, url: str) -> Any:
    options = {"connect_args": {"timeout": _TIMEOUT}}
    return optuna.storages.RDBStorage(url, engine_kwargs=options)


def _patiently(storage: str, make: Callable[[], _T]) -> _T:
    """Tries again where two processes create the same tables at once, of which one fails."""
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    optuna = import_optuna()
    for attempt in range(_TRIES):
        try:
            return make()
        except (ArgumentError, NoSuchModuleError, ImportError, OSError, ValueError) as error:
            raise SweepError(f"{storage}: cannot be used as a storage ({_line(error)})") from error
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            if attempt + 1 == _TRIES:
                raise SweepError(
                    f"{storage}: cannot be opened ({_line(error.__cause__ or error)}); if it is a "
                    "damaged file, delete it: runs that are in the folder are found again"
                ) from error
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError("the last try returns or raises")


def _differences(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    old, new = _flat(stored), _flat(wanted)
    keys = dict.fromkeys([*old, *new])
    return [
        f"{key}: {old.get(key, 'none')} there, {new.get(key, 'none')} here"
        for key in keys
        if old.get(key) != new.get(key)
    ]


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        (f"{key} {name}" if key == "vary" else name): value
        for key, part in tree.items()
        for name, value in part.items()
    }


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


__all__ = ["DIRECTIONS", "import_optuna", "open_study"]
