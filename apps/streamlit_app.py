"""Entry of the analysts' app: `streamlit run apps/streamlit_app.py`. Navigation, shared state.

Leaves to others: what is on a page (app_pages/), every call over HTTP (app_pages/service.py).
"""

from __future__ import annotations

import streamlit as st
from app_pages import service

st.set_page_config(page_title="crossrec", page_icon="🧭", layout="wide")
# Streamlit leaves a hand's breadth empty above the page; a laptop screen has none to spare.
st.html("<style>.stMainBlockContainer {padding: 3.75rem 2rem 2rem}</style>")

page = st.navigation(
    [
        st.Page("app_pages/explore.py", title="Explore", icon=":material/search:", default=True),
        st.Page("app_pages/domains.py", title="Domains", icon=":material/category:"),
    ],
    position="top",
)

with service.or_stop():
    served = service.domains(service.address())
if not served:
    st.info("The service answers, but serves no domain yet. Start one: `crossrec serve movies`.")
    st.stop()
page.run()
