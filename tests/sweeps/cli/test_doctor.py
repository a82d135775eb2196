"""What `elbosweep doctor` finds, and that it says what is wrong in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.cli import doctor
from sweeps.cli.doctor import Finding, examine


def find(findings: list[Finding], what: str) -> Finding:
    return next(finding for finding in findings if finding.what == what)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str | None]:
    """Versions that differ from those installed; None: not there."""
    changed: dict[str, str | None] = {}
    real = doctor.version

    def version(package: str) -> str:
        found = changed.get(package, real(package) if package not in changed else None)
        if found is None:
            raise doctor.PackageNotFoundError(package)
        return found

    monkeypatch.setattr(doctor, "version", version)
    return changed


def test_a_sound_installation_is_sound(tmp_path: Path) -> None:
    findings = examine(tmp_path, None)
    assert [finding for finding in findings if not finding.good] == []
    assert {"python", "base packages", "torch and torchvision", "processor", "W&B", "digits", "runs folder"} <= {
        finding.what for finding in findings
    }
    assert "1258 training images" in find(findings, "digits").says


def test_a_mixed_pair_of_torch_and_torchvision_is_named(installed: dict[str, str | None], tmp_path: Path) -> None:
    installed |= {"torch": "2.14.1+cpu", "torchvision": "0.27.0"}
    finding = find(examine(tmp_path, None), "torch and torchvision")
    assert not finding.good
    assert finding.says.startswith("torch 2.14.1+cpu needs torchvision 0.29, got 0.27.0")


def test_a_missing_extra_says_what_to_install(installed: dict[str, str | None], tmp_path: Path) -> None:
    installed["optuna"] = None
    finding = find(examine(tmp_path, None), "extra sweeps")
    assert not finding.good
    assert finding.says == "missing: optuna; pip install 'elbosweep[sweeps]'"


def test_the_key_is_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = "local-" + "5ecre7" * 7
    monkeypatch.setenv("WANDB_API_KEY", key)
    findings = examine(tmp_path, None)
    assert "a key is there" in find(findings, "W&B").says
    assert all(key not in str(finding) for finding in findings)


def test_mnist_is_found_or_not(tmp_path: Path) -> None:
    assert f"not in {tmp_path}" in find(examine(tmp_path, tmp_path), "mnist").says


def test_a_folder_that_cannot_be_written_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    finding = find(examine(tmp_path / "runs", None), "runs folder")
    assert not finding.good
    assert str(tmp_path / "runs") in finding.says


def test_a_check_that_raises_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> None:
        raise RuntimeError("driver is too old")

    monkeypatch.setattr("torch.cuda.is_available", broken)
    finding = find(examine(tmp_path, None), "check")
    assert str(finding) == "WRONG check: failed: RuntimeError: driver is too old"
