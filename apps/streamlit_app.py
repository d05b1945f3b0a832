"""Entry of the analysts' app: `streamlit run apps/streamlit_app.py`. Navigation, shared state.

Leaves to others: what is on a page (app_pages/), every call over HTTP (app_pages/service.py).
"""

from __future__ import annotations

import gc

import streamlit as st
from app_pages import controls, service, state, view
from app_pages.words import LANGUAGES, choose_language, follow_language, language, t

st.set_page_config(page_title="crossrec", page_icon="🧭", layout="wide")
# Streamlit (1.67) leaves a hand's breadth empty above the page, which laptops cannot spare; to a
# keyboard it shows neither where in the menu one is nor the tools of charts, and stops at headings.
st.html("""<style>
.stMainBlockContainer {padding: 3.75rem 2rem 2rem}
a:focus-visible, button:focus-visible, canvas:focus-visible {
  outline: 2px solid currentColor !important; outline-offset: -2px}
[data-testid=stElementToolbar]:focus-within {opacity: 1 !important; z-index: 10}
[data-testid=stHeaderActionElements] {display: none}
</style>""")

ASK = {"explore": ("Explore", "search"), "whatif": ("What if", "alt_route")}
JUDGE = {
    "compare": ("Compare", "compare_arrows"),
    "quality": ("Quality", "verified"),
    "fairness": ("Fairness", "balance"),
}
LOOK = {
    "item_map": ("Map", "scatter_plot"),
    "data": ("Data", "database"),
    "domains": ("Domains", "category"),
}
LEARN = {
    "experiments": ("Experiments", "science"),
    "transfer": ("Transfer", "moving"),
    "live": ("Live", "monitor_heart"),
}
WITHOUT_DOMAIN = ("domains", "experiments", "transfer", "live")


@st.cache_resource(show_spinner=False)
def set_libraries_aside() -> None:
    """Once a process: Streamlit (1.67) collects garbage after every run, and without this each
    time looks through all that the libraries hold, which never goes (60 ms and more).
    """
    gc.collect()
    gc.freeze()


choose_language()
follow_language()
pages = {
    name: st.Page(
        f"app_pages/{name}.py",
        title=t(title),
        icon=f":material/{icon}:",
        url_path=name,
        default=name == "explore",
    )
    for name, (title, icon) in (ASK | JUDGE | LOOK | LEARN).items()
}
page = st.navigation(list(pages.values()), position="top")

view.begin()
view.say_what_failed()
state.keep("lang", LANGUAGES[language()])
with service.or_stop():
    served = service.domains(service.address())
if not served:
    view.nothing(
        t("The service answers, but serves no domain yet. Start one: crossrec serve movies")
    )
    st.stop()
if page not in [pages[name] for name in WITHOUT_DOMAIN]:
    controls.choose_domain(served)
page.run()
view.share()
set_libraries_aside()
