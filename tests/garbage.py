"""The garbage collector rests until all is imported and collected, which is no garbage; import this first."""

import gc

gc.disable()


def resume() -> None:
    """Has it leave what is there alone: it need not walk through all of that again and again, here or in forks."""
    gc.freeze()
    gc.enable()
