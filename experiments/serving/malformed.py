"""Requests that nobody should send."""

import json

from hypothesis import strategies as st

KEYS = st.sampled_from(["text", "inputs", "tasks", "text_pair", "tokens", "Text", ""]) | st.text(max_size=4)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["mood", "intent"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
BODIES = st.one_of(
    st.binary(max_size=40),
    st.one_of(
        st.dictionaries(KEYS, VALUES, max_size=3),
        st.fixed_dictionaries({"text": VALUES}, optional={"tasks": VALUES}),
        st.fixed_dictionaries({"inputs": st.dictionaries(KEYS, VALUES, max_size=2)}, optional={"tasks": VALUES}),
    ).map(lambda value: json.dumps(value).encode()),
)
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Accept-Encoding", "X-Odd"]),
    st.sampled_from(["application/json", "multipart/form-data", "text/plain; charset=utf-16", "gzip", "\xff", "a"]),
)
METHODS = st.sampled_from(["POST"] * 9 + ["GET", "PUT"])
PATHS = st.sampled_from(["/predict"] * 9 + ["/x"])
