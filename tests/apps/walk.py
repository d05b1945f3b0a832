"""Moves every control of every page of the app, as a visitor would: a named move each.

Shared by the browser tests and the benchmarks of the app. Leaves to others: opening pages
(running.py), what is expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Error, Page

Act = Callable[[Page], None]
CONTROLS = "[data-testid=stMain], [data-testid=stSidebar]"


class Move:
    """Something that a visitor does to one control."""

    def __init__(self, name: str, act: Act) -> None:
        self.name = name
        self._act = act

    def __call__(self, page: Page) -> None:
        """Do it."""
        self._act(page)


def press(label: str) -> Move:
    """Press a button, or one of the choices of a segmented control, or a tab."""
    return Move(
        f"press {label}",
        lambda page: page.locator(CONTROLS).get_by_text(label, exact=True).first.click(),
    )


def slide(label: str) -> Move:
    """Move a slider one step to the right."""

    def act(page: Page) -> None:
        handle = page.get_by_role("slider", name=label).first
        handle.focus()
        handle.press("ArrowRight")

    return Move(f"slide {label}", act)


def slide_second(label: str) -> Move:
    """Move the second slider of this name, that of the question after the change."""

    def act(page: Page) -> None:
        handle = page.get_by_role("slider", name=label).nth(1)
        handle.focus()
        for _ in range(3):
            handle.press("ArrowRight")

    return Move(f"slide {label}, after", act)


def _weigh(page: Page) -> None:
    handle = page.locator("[data-testid=stExpander]").get_by_role("slider").last
    handle.focus()
    handle.press("ArrowRight")


weigh = Move("weigh an objective", _weigh)
"""Move the slider of the last objective one step; which there are is the domain's affair."""


def pick(label: str, position: int = 1, which: int = 0) -> Move:
    """Choose another option of a select box: of the first of this name, or of `which`."""

    def act(page: Page) -> None:
        box = page.get_by_role("combobox", name=label).nth(which)
        option = page.get_by_role("option").nth(position)
        for _ in range(3):  # a run of the page that comes in between closes the list again
            box.click()
            try:
                option.click(timeout=5_000)
            except Error:
                page.keyboard.press("Escape")
            else:
                return
        raise AssertionError(f"'{label}' offers no option number {position}")

    return Move(f"pick {label}", act)


def write(label: str, text: str, which: int = 0) -> Move:
    """Type into a field."""

    def act(page: Page) -> None:
        page.get_by_label(label, exact=True).nth(which).fill(text)
        page.keyboard.press("Enter")

    return Move(f"write {label}", act)


def follow(label: str, name: str) -> Move:
    """Press a button that leads to Explore, and come back to page `name` as it was."""

    def act(page: Page) -> None:
        before = page.url
        page.locator("[data-testid=stMain]").get_by_role("link", name=label).first.click()
        page.wait_for_function(f"!location.pathname.includes('{name}')")
        page.get_by_role("button", name="Why?").first.wait_for()
        page.goto(before)
        page.locator("[data-testid=stMain]").get_by_role("link", name=label).first.wait_for()

    return Move(f"follow {label}", act)


def _ask_what_if(page: Page) -> None:
    before, main = page.url, page.locator("[data-testid=stMain]")
    main.get_by_role("link", name="What if for this user").click()
    page.wait_for_url("**/whatif**")
    main.get_by_text(re.compile(r"User \S")).first.wait_for()  # of whom it is
    page.goto(before)
    main.get_by_role("link", name="What if for this user").wait_for()


ask_what_if = Move("ask What if for this user", _ask_what_if)
"""Follow the link to What if with the user of the page, and come back."""


def _open_ranking(page: Page) -> None:
    page.locator(CONTROLS).get_by_text(re.compile(r"^Numbers: Top \d")).first.click()


open_ranking = Move("open the ranking's numbers", _open_ranking)
"""The fold is named by whom the list is for."""


def _take_found(page: Page) -> None:
    page.locator("[data-testid=stPopoverBody] button").first.click(timeout=10_000)
    page.keyboard.press("Escape")


take_found = Move("take the user found", _take_found)
"""Take the first user whom the search found."""

MOVES: dict[str, list[Move]] = {
    "explore": [
        ask_what_if, slide("Number of items"), press("Only items new to the user"),
        press("Table"), press("Cards"), open_ranking,
        press("Signals"), press("Numbers: Signals of each item"), press("History"),
        press("Reasons"), press("Why?"),
        pick("Item", 2), pick("Compare with", 1), press("zh"), press("Like"), press("Dislike"),
        write("Wish in words", "space"), press("Item"), press("Find users"),
        write("Part of an id, or of what they had", "number"), take_found,
        pick("User", 1), slide("Hour"), press("What matters beside relevance"),
        press("Weights of my own"), weigh, press("Filters"), pick("Filter by", 0),
        write("year from", "1985"), press("Described"),
        write("Find items they had", "horror"), pick("They had", 0),
        write("The user, or a wish, in words", "a friend of the sea"), press("A stored user"),
    ],
    "whatif": [
        slide("Number of items"), pick("Leave out of the history", 0),
        write("Find items to add", "horror"), pick("Add to the history", 0),
        write("Wish in words, before", "space"), write("Wish in words, after", "comedy"),
        slide("Days later"), slide("Hour"), slide_second("Hour"), press("Find users"),
        write("Part of an id, or of what they had", "number"), take_found,
    ],
    "compare": [pick("One item in both", 2), press("Lose"), press("Gain"), press("Lose"),
                follow("Explore", "compare"), pick("Look closer at", 0),
                pick("against this one (A)", 0),
                press("Numbers: Gap of each metric with its interval"),
                press("Numbers: Users by items that both lists share"),
                pick("This release (B)", 1)],
    "quality": [press("Recall@10"), press("MRR@10"),
                press("Numbers: NDCG@10 by length of the history"), pick("Release", 1)],
    "fairness": [press("Recall@10"), press("NDCG@10"), pick("Groups by", 0), pick("Release", 1)],
    "item_map": [press("Numbers: Items on the map"), press("before training, texts alone"),
                 write("Find items", "horror"), write("Only this category", "none of them"),
                 pick("Release", 1)],
    "data": [pick("Show", 2), pick("Show", 0, which=1)],
    "domains": [follow("Explore", "domains")],
    "experiments": [pick("Search", 0)],
    "transfer": [pick("Share of the users who are learned from", 0)],
    "live": [pick("Domain", 1), press("Ask again every 10 s")],
}  # fmt: skip
"""Page → its controls, each moved once; what is taken home has tests of its own."""
PLACES: dict[str, list[Move]] = {
    "explore": [
        pick("Weather", 0), slide("Weekday"), write("Temperature", "12"),
        write("Location, latitude", "48.1"), write("Location, longitude", "16.1"),
        press("Filters"), pick("Filter by", 0),
        write("year from", "1985"), write("studio: one of", "north"),
        press("What matters beside relevance"), press("Weights of my own"), weigh,
    ],
    "whatif": [
        pick("Weather", 0), slide("Weekday"), write("Temperature", "12"),
        write("Location, latitude", "48.1"), write("Location, longitude", "16.1"),
        pick("Weather", 2, which=1), slide_second("Weekday"), write("Temperature", "20", which=1),
        write("Location, latitude", "48.2", which=1), write("Location, longitude", "16.2", which=1),
    ],
    "quality": [], "fairness": [], "compare": [], "item_map": [], "data": [pick("Show", 1)],
}  # fmt: skip
"""The same of a domain with every kind of context, which nobody has evaluated."""
