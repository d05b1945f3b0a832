from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from crossrec.verbs.progress import bar, both, in_jupyter

IN_A_NOTEBOOK = """
from crossrec.verbs.progress import bar, in_jupyter, training_bars
from IPython.utils.capture import capture_output
assert in_jupyter()
with capture_output() as seen:
    with bar("judging <b>", 2, True) as tell:
        tell("popularity")
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


def test_a_notebook_gets_bars_that_are_gone_at_the_end():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(IN_A_NOTEBOOK)])
    NotebookClient(notebook, timeout=60).execute()
    [printed] = notebook.cells[0].outputs
    shown = eval(printed.text)
    assert shown[0] == "judging &lt;b&gt; <progress value='0' max='2'></progress> "
    assert "judging &lt;b&gt; <progress value='1' max='2'></progress> popularity" in shown
    assert "movies <progress value='1' max='9'></progress> encoding texts" in shown
    assert "movies <progress value='2' max='4'></progress> epoch 2, loss 1.500" in shown
    assert shown.count("") == 2
    assert shown[-1] == ""
