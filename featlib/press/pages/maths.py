"""Equations as MathML, made while the book is printed: nothing is loaded or run when a page is read.

JupyterLab draws the same TeX with its own MathJax. A formula that cannot be translated is a warning, and so
stops the build; MathJax would show it to the reader as an error.
"""

from __future__ import annotations

import re
from html import escape
from itertools import cycle
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

RENDERER = "mathml"
LOGGER = logging.getLogger(__name__)

# What authors write and the translator does not know, as what it does know.
SAME_AS = {
    r"\\dots(?![A-Za-z])": r"\\ldots",
    r"\\iff(?![A-Za-z])": r"\\Longleftrightarrow",
    r"\\([dt]?frac)\s*(\d)\s*(\d)": r"\\\1{\2}{\3}",
    r"\{(?:align|gather|equation|split)\*?\}": "{aligned}",
}
# A size without a side, and the delimiter it is for; and which delimiters close, or may do either.
SIZED = re.compile(r"\\([bB]igg?)(?![A-Za-z])\s*(\\[A-Za-z]+|\\.|.)")
CLOSING = frozenset({")", "]", r"\}", r"\rvert", r"\rVert", r"\rangle", r"\rfloor", r"\rceil"})
BARS = frozenset({"|", r"\|", r"\vert", r"\Vert"})
# A plain brace, which the translator lets grow with what stands beside it; a sign behind one, taken for a minus.
BRACE = re.compile(r"<mo>([{}])</mo>")
SIGN = re.compile(r'(<mo stretchy="false">\{</mo>\s*)<mo>([−+])</mo>')
# What must come in pairs. The translator forgives a missing half and draws something else.
PAIRS = {
    "{ and }": (r"(?<!\\)\{", r"(?<!\\)\}"),
    r"\left and \right": (r"\\left(?![A-Za-z])", r"\\right(?![A-Za-z])"),
    r"\begin and \end": (r"\\begin\b", r"\\end\b"),
}


def mathml(tex: str, block: bool) -> str:
    """TeX as one ``<math>`` element.

    Raises:
        ValueError: if the formula is not well formed or uses something that cannot be translated.
    """
    formula = tex.strip()
    for names, (opening, closing) in PAIRS.items():
        if len(re.findall(opening, formula)) != len(re.findall(closing, formula)):
            raise ValueError(f"{names} do not pair up in the formula: {formula}")
    plain = sided(formula)
    for pattern, replacement in SAME_AS.items():
        plain = re.sub(pattern, replacement, plain)
    try:
        return braced(str(tex2mathml(plain, as_block=block)), plain)
    except ValueError as problem:
        raise ValueError(f"{problem} In the formula: {formula}") from None
    except (AttributeError, IndexError, KeyError, TypeError):
        # A stray & or the like: the translator stumbles without a word.
        raise ValueError(f"this formula is not well formed: {formula}") from None


def braced(drawn: str, formula: str) -> str:
    r"""The element with braces as tall as parentheses, unless ``\left`` asks for more; a sign behind one is a sign."""
    if re.search(r"\\(?:left|right)\s*\\[{}]", formula):
        return drawn
    return SIGN.sub(r'\1<mo form="prefix">\2</mo>', BRACE.sub(r'<mo stretchy="false">\1</mo>', drawn))


def sided(formula: str) -> str:
    r"""The formula with ``\bigl`` or ``\bigr`` for ``\big``: the translator must be told which half of a pair it is."""
    bars = cycle("lr")

    def side(found: re.Match[str]) -> str:
        size, delimiter = found.groups()
        half = next(bars) if delimiter in BARS else "r" if delimiter in CLOSING else "l"
        return f"\\{size}{half}{delimiter}"

    return SIZED.sub(side, formula)


def translate(node: nodes.Element, block: bool) -> str:
    """MathML of one node; a formula that fails is named, and shown as its TeX."""
    try:
        return mathml(node.astext(), block)
    except ValueError as problem:
        LOGGER.warning("%s", problem, location=node, type="featlib", subtype="math")
        return f"<code>{escape(node.astext())}</code>"


def visit_inline(translator: Any, node: nodes.math) -> None:
    """Write a formula within a line.

    Raises:
        SkipNode: always; the node is written in full here.
    """
    translator.body.append(translate(node, block=False))
    raise nodes.SkipNode


def visit_block(translator: Any, node: nodes.math_block) -> None:
    """Write a displayed formula, with its number and permalink where it has a label.

    Raises:
        SkipNode: always; the node is written in full here.
    """
    # A wide formula scrolls within its own box, which must then be reachable by keyboard.
    translator.body.append(translator.starttag(node, "div", CLASS="fl-equation", tabindex="0"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(translate(node, block=True) + "</div>\n")
    raise nodes.SkipNode
