"""What looks like a credential is taken out of a text before it is logged, stored or shown.

It goes by form: a secret of no known form stays where it is.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "[redacted]"
_FORMS: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}", rf"\1 {MASK}"),
        (r"\beyJ[\w-]+\.[\w-]+\.[\w-]*", MASK),  # a JWT
        (r"\b(?:(?:sk|pk|rk|xox[abps])[-_]|gh[pousr]_|github_pat_|AIza|AKIA)[\w-]{12,}", MASK),
        (r"(?i)(\w+://)[^\s/@:'\"]*:[^\s/@'\"]+@", rf"\1{MASK}@"),
        # `api_key=…`, `"password": "…"`, but neither the name in `${secret:NAME}` nor the scheme of an Authorization
        (
            r"(?i)(?<![\w{-])([\w-]*(?:api[-_]?key|authorization|(?:access|auth)[-_]?token|password|secret)"
            r"['\"]?\s*[:=]\s*['\"]?)(?!bearer |basic )[^\s'\",;&}]+",
            rf"\1{MASK}",
        ),
        (r"(?i)([?&](?:key|token|sig|signature)=)[^\s'\"&]+", rf"\1{MASK}"),
    )
)


def redacted(text: str) -> str:
    for pattern, replacement in _FORMS:
        text = pattern.sub(replacement, text)
    return text
