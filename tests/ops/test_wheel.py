"""A wheel of Hector has all that the sources have, and runs without them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.installation import ROOT

PACKAGES = ("apps", "hector", "hector_site", "hector_demo")
LOOK = """
import apps, hector_site
from django.conf import settings
from django.contrib.staticfiles import finders
from django.template.loader import get_template
from apps.agents.config.checks import validate
from apps.ops.startup import DEMO

for package in (apps, hector_site):
    assert package.__file__.startswith(WHEEL), package.__file__
validate(DEMO.read_text())
for name in ("404.html", "403_csrf.html", "admin/login.html", "console/task.html", "unfold/helpers/navigation.html"):
    assert get_template(name).origin.name.startswith(WHEEL), name
for name in ("console/console.css", "console/live.js", "console/logo.svg"):
    assert finders.find(name).startswith(WHEEL), name
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, for building leaves files beside them."""
    sources, built = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("built")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, sources / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, sources)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(built)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=sources, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return next(built.glob("*.whl"))


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    expected = {str(path.relative_to(ROOT)) for path in files if path.parent.name != "__pycache__"}
    assert len(expected) > 300
    assert expected - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_hector_finds_its_pages_and_its_demo_in_it(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = f"import django; django.setup(); WHEEL = {str(tmp_path / 'site')!r}\n{LOOK}"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site"), "DJANGO_SETTINGS_MODULE": "hector_site.settings"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
