"""Optuna's study of a sweep: a journal file in its folder, or a database by URL. It is named by the sweep."""

from __future__ import annotations

import os
import re
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from pipeline.config import ConfigError
from sweeps.layout import JOURNAL
from sweeps.search import journal
from sweeps.specification.samplers import SAMPLERS
from sweeps.specification.spec import SweepSpec

DIRECTIONS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
VARIABLE = re.compile(r"\$\{(\w+)\}")


def open_study(spec: SweepSpec, folder: Path) -> optuna.Study:
    """The sweep's study, created where there is none.

    Raises:
        ConfigError: the database cannot be reached, its driver is not installed, or the study has other objectives.
    """
    directions = [DIRECTIONS[mode] for mode in spec.search.modes.values()]
    url = spec.search.storage
    if url is None:
        folder.mkdir(parents=True, exist_ok=True)
        if SAMPLERS[spec.search.sampler].pickles:
            _check_owner(folder / JOURNAL, spec.search.sampler)
        return _create(spec.name, _journal(folder / JOURNAL), directions)
    try:
        return _create(spec.name, _database(url, folder), directions)
    except (SQLAlchemyError, ValueError) as error:
        raise _unusable(url, error) from None


def _check_owner(path: Path, sampler: str) -> None:
    """A study that may hold pickles is opened only where it belongs to the user who opens it."""
    if path.exists() and path.stat().st_uid != os.getuid():
        raise ConfigError(f"{path}: belongs to another user: with sampler {sampler!r} only one's own study is opened")


def _journal(path: Path) -> JournalStorage:
    """Optuna's storage over a journal file, created where it is missing and repaired where a crash tore it."""
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if path.exists():
        journal.repair(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


def _create(name: str, storage: BaseStorage, directions: list[StudyDirection]) -> optuna.Study:
    return optuna.create_study(study_name=name, storage=storage, directions=directions, load_if_exists=True)


def asked(spec: SweepSpec, folder: Path) -> set[int] | None:
    """Numbers of the trials in the study, which is left as it is; None where there is no study."""
    if spec.search.storage is None:
        return journal.asked(folder / JOURNAL, spec.name)
    try:
        study = optuna.load_study(study_name=spec.name, storage=_database(spec.search.storage, folder))
    except (KeyError, SQLAlchemyError):
        return None
    return {trial.number for trial in study.get_trials(deepcopy=False)}


def claim(spec: SweepSpec, folder: Path, *, force: bool) -> None:
    """See to it that a new sweep starts with an empty study.

    Raises:
        ConfigError: the database holds a study of this name, and `force` was not given.
    """
    if (url := spec.search.storage) is None or _inside(make_url(url)):
        return  # the study comes and goes with the folder
    try:
        storage = _database(url, folder)
        if spec.name not in optuna.get_all_study_names(storage):
            return
        if not force:
            raise ConfigError(
                f"search.storage: the database already holds a study named {spec.name!r}: choose another name, "
                "or --force to delete it"
            )
        optuna.delete_study(study_name=spec.name, storage=storage)
    except SQLAlchemyError as error:
        raise _unusable(url, error) from None


def _database(url: str, folder: Path) -> RDBStorage:
    """A relative SQLite path lies in the sweep's folder."""
    parsed = make_url(VARIABLE.sub(_from_environment, url))
    if _inside(parsed) and parsed.database:
        folder.mkdir(parents=True, exist_ok=True)
        parsed = parsed.set(database=str(folder / parsed.database))
    try:
        return RDBStorage(parsed.render_as_string(hide_password=False), skip_table_creation=False)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or "of the database's driver"
        raise ConfigError(f"search.storage: needs the package {package}, which is not installed, got {url!r}") from None
    except SQLAlchemyError as error:
        raise _unusable(url, error) from None


def _inside(url: URL) -> bool:
    """Whether the database lies in the sweep's folder."""
    return url.get_backend_name() == "sqlite" and bool(url.database) and not Path(str(url.database)).is_absolute()


def _from_environment(match: re.Match[str]) -> str:
    name = match.group(1)
    if name not in os.environ:
        raise ConfigError(f"search.storage: the environment variable {name} is not set")
    return os.environ[name]


def _unusable(url: str, error: Exception) -> ConfigError:
    """Without what SQLAlchemy says of the connection, which may hold the password."""
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    return ConfigError(f"search.storage: {url} cannot be used: {type(error).__name__}: {reason}")
