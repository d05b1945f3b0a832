"""The arms of an experiment: who answers whom, what came of it, and the way to compare two of them.

A part of Compare. Leaves to others: splitting users and intervals (the service), charts.
"""

from __future__ import annotations

import streamlit as st

from app_pages import frames, view
from app_pages.words import t
from crossrec import release_plots
from crossrec.serving.insight_messages import ArmList, ReleaseCard


def section(found: ArmList, known: list[ReleaseCard]) -> None:
    """What the arms are and did; nothing where there never was an experiment.

    Args:
        known: evaluated releases, which alone can be compared case by case.
    """
    if not found.arms:
        return
    state = t("runs") if found.running else t("is over")
    text = t("Experiment {name} {state}.", name=str(found.experiment), state=state)
    view.section(t("Arms"), f"{text} {t('Lift: the rate over that of control, less 1.')}")
    frame = frames.arms(found)
    lifts = frame.drop_nulls("lift").select(
        label="arm", value="lift", low="lift_low", high="lift_high", n="n_users"
    )
    if not lifts.is_empty():
        title = t("lift, 95 % interval over users")
        drawn = release_plots.intervals(lifts, title, zero="equal")
        view.chart(drawn, t("Lift of each arm with its interval"))
    view.table(frame, f"arms-{found.experiment}", t("Arms"))
    _to_compare(found, {one.version for one in known})


def _to_compare(found: ArmList, evaluated: set[str]) -> None:
    """A button for each arm that sets its release beside that of control."""
    control, *others = [one.release for one in found.arms]
    for arm, release in zip(found.arms[1:], others, strict=True):
        if control is not None and {control, release} <= evaluated:
            st.button(
                t("Compare {name} with control, case by case", name=arm.name),
                key=f"arm.{arm.name}",
                icon=":material/compare_arrows:",
                on_click=_set,
                args=(control, release),
            )


def _set(a: str, b: str) -> None:
    st.session_state.update({"a": a, "b": b})
