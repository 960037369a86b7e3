"""``mtl-lightning submit``: a run of ``fit``, or an array of them, as a job of a cluster."""
