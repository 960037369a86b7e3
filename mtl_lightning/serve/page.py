"""The page to try a model by hand, which needs nothing but itself."""

import base64
import hashlib
import re
from importlib.resources import files

PAGE = files(__package__).joinpath("page.html").read_text("utf-8")


def _hashes(tag: str) -> str:
    """What a content security policy allows: the contents of a tag, as they are in the page."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in found]
    return " ".join(f"'sha256-{digest}'" for digest in digests)


_POLICY = (
    "default-src 'none'",
    f"script-src {_hashes('script')}",
    f"style-src {_hashes('style')}",
    "img-src data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
PAGE_HEADERS = {
    "Content-Security-Policy": "; ".join(_POLICY),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Nothing is loaded from elsewhere, and no other page can hold this one."""
