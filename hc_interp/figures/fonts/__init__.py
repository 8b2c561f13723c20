"""The font that .svg files contain: a small part of Liberation Sans, with the letter widths of Helvetica and Arial."""

import base64
from functools import cache
from importlib.resources import files

NAME = "HC Sans"
WEIGHTS = {"normal": "Regular", "bold": "Bold"}


@cache
def font_faces() -> str:
    """CSS that defines the font in both weights, as `data:` links."""
    return "".join(
        f"@font-face{{font-family:'{NAME}';font-weight:{weight};src:url(data:font/woff2;base64,{_packed(style)})"
        " format('woff2')}"
        for weight, style in WEIGHTS.items()
    )


def _packed(style: str) -> str:
    return base64.b64encode(files(__name__).joinpath(f"HCSans-{style}.woff2").read_bytes()).decode()
