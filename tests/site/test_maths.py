"""Equations: what becomes of TeX, and what is refused."""

import xml.etree.ElementTree as ET

import pytest

from featlib.press.pages.maths import mathml

APPLY = "\u2061"  # the invisible sign between a function and its argument
NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"


def tree(tex, block=False):
    return ET.fromstring(mathml(tex, block).replace("&ApplyFunction;", APPLY))


def letters(tex):
    return "".join("".join(tree(tex).itertext()).split()).replace(APPLY, "")


@pytest.mark.parametrize(
    ("tex", "shown"),
    [
        (r"O\in\mathbb R^{N\times C}", "O∈ℝN×C"),
        (r"L = O v_1 = \sigma_1 u_1", "L=Ov1=σ1u1"),
        (r"\frac{G^2}{2G^2+10^{-6}}", "G22G2+10−6"),
        (r"\frac12 + \tfrac34", "12+34"),
        (r"1, \dots, C", "1,…,C"),
        (r"a \iff b", "a⟺b"),
        (r"\mathrm{ReLU}\Bigl(\sum_c \alpha_c A_c\Bigr)", "ReLU(∑cαcAc)"),
        (r"\big[ x \big] + \Big\{ y \Big\} + \bigg| z \bigg|", "[x]+{y}+|z|"),
        (r"\lVert x \rVert_F", "‖x‖F"),
        (r"\text{if } x < 0", "ifx<0"),
        (r"\operatorname{softmax}(z)_i", "softmax(z)i"),
    ],
)
def test_every_letter_is_there_in_its_order(tex, shown):
    assert letters(tex) == shown


def test_a_fraction_has_its_numerator_above_its_denominator():
    (fraction,) = tree(r"\frac{a}{b}").iter(f"{NAMESPACE}mfrac")
    assert ["".join(part.itertext()).strip() for part in fraction] == ["a", "b"]


@pytest.mark.parametrize("environment", ["aligned", "align", "align*", "gather*", "equation", "split", "pmatrix"])
def test_lines_of_an_environment_are_rows(environment):
    rows = tree(rf"\begin{{{environment}}} a &= b \\ c &= d \end{{{environment}}}").findall(f".//{NAMESPACE}mtr")
    assert ["".join("".join(row.itertext()).split()) for row in rows] == ["a=b", "c=d"]


def test_a_plain_brace_does_not_grow_and_a_sign_behind_it_is_a_sign():
    marks = list(tree(r"\{-1, 1\}^{16} \in (-1)").iter(f"{NAMESPACE}mo"))
    assert [mark.get("stretchy") for mark in marks if mark.text in "{}()"] == ["false"] * 4
    assert [mark.get("form") for mark in marks if mark.text == "−"] == ["prefix"] * 2
    assert all(mark.get("stretchy") is None for mark in tree(r"\left\{ x \right\}").iter(f"{NAMESPACE}mo"))


def test_only_a_displayed_formula_is_a_block():
    assert tree("x", block=True).get("display") == "block"
    assert tree("x", block=False).get("display") != "block"


@pytest.mark.parametrize(
    ("tex", "complaint"),
    [
        (r"\nosuchcommand x", "nosuchcommand"),
        (r"\begin{tikzpicture} a \end{tikzpicture}", "tikzpicture"),
        (r"\frac{a", "{ and } do not pair up"),
        (r"a}", "{ and } do not pair up"),
        (r"\left( a", r"\\left and \\right do not pair up"),
        (r"\begin{pmatrix} a", r"\\begin and \\end do not pair up"),
        (r"a & b", "not well formed"),
        (r"a^", "a\\^"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_its_formula(tex, complaint):
    with pytest.raises(ValueError, match=complaint) as refused:
        mathml(tex, block=False)
    assert tex in str(refused.value)


def test_markup_in_a_formula_is_escaped():
    assert "<b>" not in mathml(r"\text{<b>bold</b>}", block=False)
    assert letters(r"\text{<b>}") == "<b>"
