"""The explorer: `streamlit run apps/explorer.py -- STUDY`. Without STUDY it opens the demo's."""

import streamlit as st

st.set_page_config(page_title="interp explorer", layout="wide", initial_sidebar_state="collapsed")
pages = [
    st.Page("overview.py", title="Overview", default=True),
    st.Page("capture.py", title="Activations"),
    st.Page("ability.py", title="Abilities"),
]
st.navigation(pages, position="top").run()
