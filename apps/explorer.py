"""The explorer: `streamlit run apps/explorer.py -- STUDY`. Without STUDY it opens the demo's."""

import streamlit as st

st.set_page_config(page_title="interp explorer", layout="wide", initial_sidebar_state="collapsed")
pages = [
    st.Page("overview.py", title="Overview", icon=":material/home:", default=True),
    st.Page("capture.py", title="Activations", icon=":material/grid_on:", url_path="activations"),
    st.Page("ability.py", title="Abilities", icon=":material/call_split:", url_path="abilities"),
]
st.navigation(pages, position="top").run()
