from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from crossrec.verbs.progress import bar, both, import_steps, in_jupyter

IN_A_NOTEBOOK = """
from crossrec.verbs.progress import bar, import_steps, in_jupyter, training_bars
from IPython.utils.capture import capture_output
assert in_jupyter()
with capture_output() as seen:
    with bar("judging <b>", 2, True) as tell:
        tell("popularity")
    with import_steps("movies", True) as told:
        told("movies: importing items")
    with training_bars("movies", 4, True) as bars:
        bars.update({"domain": "movies", "stage": "encoding texts", "completed": 1, "total": 9})
        bars.update({"domain": "movies", "metrics": {"epoch": 2, "loss": 1.5}})
        bars.done("movies", "done, 2 epochs")
print([output.data["text/html"] for output in seen.outputs])
"""


def test_nothing_is_drawn_unless_asked_for(capfd: pytest.CaptureFixture[str]):
    with bar("judging", 3, False) as tell:
        tell("popularity")
    assert capfd.readouterr() == ("", "")


def test_both_are_told():
    heard: list[str] = []
    both(heard.append, None)("one")
    both(heard.append, heard.append)("two")
    assert heard == ["one", "two", "two"]


def test_a_terminal_is_no_notebook():
    assert not in_jupyter()


def test_in_a_terminal_an_import_draws_for_itself():
    for show in (True, False):
        with import_steps("movies", show) as steps:
            assert steps is show


def test_a_saved_notebook_keeps_nothing_of_a_bar():
    code = """
from crossrec.verbs.progress import bar
with bar("judging", 2, True) as tell:
    tell("popularity")
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=60).execute()
    [left] = notebook.cells[0].outputs
    assert left["data"] == {"text/html": "", "text/plain": ""}


def test_a_notebook_gets_bars_that_are_gone_at_the_end():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(IN_A_NOTEBOOK)])
    NotebookClient(notebook, timeout=60).execute()
    [printed] = notebook.cells[0].outputs
    shown = eval(printed.text)
    assert shown[0] == "judging &lt;b&gt; <progress value='0' max='2'></progress> "
    assert "judging &lt;b&gt; <progress value='1' max='2'></progress> popularity" in shown
    assert "movies <progress value='1' max='9'></progress> encoding texts" in shown
    assert "movies <progress value='2' max='4'></progress> epoch 2, loss 1.500" in shown
    assert "importing movies <progress></progress> movies: importing items" in shown
    assert shown.count("") == 3
    assert shown[-1] == ""
