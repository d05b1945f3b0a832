"""The API reference of `make docs`: every page is built, every public name says what it is."""

from __future__ import annotations

import importlib.util
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pdoc
import pdoc.doc
import pytest

import crossrec

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE, NOTEBOOKS = ROOT / "Makefile", ROOT / "notebooks"


def modules() -> list[str]:
    """What `make docs` documents."""
    text = MAKEFILE.read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.search(r"^REFERENCE := \$\(addprefix crossrec\.,([^)]*)\)", text, re.MULTILINE)
    assert found is not None
    return [f"crossrec.{name}" for name in found[1].split()]


def public(of: pdoc.doc.Namespace) -> Iterator[pdoc.doc.Doc]:
    """Modules, classes and functions below a module that are its own and public."""
    for member in of.own_members:
        if member.name.startswith("_"):
            continue
        if isinstance(member, pdoc.doc.Namespace):
            yield member
            yield from public(member)
        elif isinstance(member, pdoc.doc.Function):
            yield member


def imported(notebook: Path) -> set[str]:
    """Modules below crossrec that a notebook imports from."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    pairs = re.findall(r"^from (crossrec[\w.]*) import ([\w, ]+)", code, re.MULTILINE)
    names = (
        (module, name.split(" as ")[0].strip()) for module, n in pairs for name in n.split(",")
    )
    return {
        f"{module}.{name}" if is_module(f"{module}.{name}") else module for module, name in names
    }


def is_module(name: str) -> bool:
    """Whether there is a module of this name."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # what should hold it is no package
        return False


def test_what_notebooks_import_is_documented():
    found = set[str]().union(*map(imported, NOTEBOOKS.glob("*.ipynb")))
    assert {"crossrec.plots", "crossrec.data.split"} <= found
    assert found <= set(modules())


@pytest.mark.parametrize("name", modules())
def test_every_public_name_has_a_docstring(name: str):
    module = pdoc.doc.Module.from_name(name)
    assert module.docstring
    assert not [member.fullname for member in public(module) if not member.docstring.strip()]


def test_a_name_without_a_docstring_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "undocumented.py").write_text('"""A module."""\ndef silent(): ...\n')
    monkeypatch.syspath_prepend(tmp_path)
    module = pdoc.doc.Module.from_name("undocumented")
    assert [one.fullname for one in public(module) if not one.docstring] == ["undocumented.silent"]


def test_every_verb_is_on_a_page(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # types that are imported for checks only
        pdoc.pdoc(*modules(), output_directory=tmp_path)
    page = (tmp_path / "crossrec" / "verbs.html").read_text(encoding="utf-8")
    assert [name for name in crossrec.__all__ if f'id="{name}"' not in page] == []
    assert (tmp_path / "index.html").is_file()
