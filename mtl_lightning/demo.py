"""The embedded demo: what a bare ``fit`` trains."""

from pathlib import Path

DEMO = Path(__file__).with_name("demo.yaml")
