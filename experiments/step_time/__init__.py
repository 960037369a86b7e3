"""Whether the model of a step's time holds: fitted to a plain all-reduce of gloo processes, it predicts their steps."""
