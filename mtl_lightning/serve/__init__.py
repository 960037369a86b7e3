"""The command ``serve``: a model behind HTTP, on LitServe.

One process answers requests and gathers those that ask for the same into batches; another one, which LitServe starts,
has the model.
"""
