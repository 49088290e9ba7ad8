"""The scoreboard as a reader works it: filters, sorting, the way to the evidence; all of it by keyboard too."""

import itertools

import pytest

BOARD = "book/scoreboard.html"


@pytest.fixture
def board(visit):
    return visit().go(BOARD)


def needs(page, selector, what):
    """Skip on a board that is a plain table; one with a handle must have it all."""
    if not page.locator("[data-board]").count():
        pytest.skip("the scoreboard is a plain table ([data-board] is not there)")
    assert page.locator(selector).count(), f"the scoreboard has no {what} ({selector})"


def rows(page):
    """The claims that show, by their ids."""
    shown = page.locator("[data-board] tbody tr[id^=claim-]:visible")
    return shown.evaluate_all("all => all.map(row => row.id)")


@pytest.mark.parametrize("name", ["chapter", "verdict", "kind"])
def test_a_filter_keeps_what_it_names_and_lets_go_again(board, name):
    needs(board, f"select[name={name}]", f"filter by {name}")
    everything = rows(board)
    assert len(everything) == 6
    choice = board.locator(f"select[name={name}]")
    options = choice.locator("option").evaluate_all("all => all.map(option => option.value)")
    kept = []
    for value in options[1:]:
        choice.select_option(value)
        kept.append(rows(board))
        assert 0 < len(kept[-1]) < 6
    assert sorted(itertools.chain.from_iterable(kept)) == sorted(everything)
    choice.select_option(options[0])
    assert rows(board) == everything


def test_filters_work_together_and_say_how_many_are_left(board):
    needs(board, "select[name=chapter]", "filter by chapter")
    board.locator("select[name=chapter]").select_option(index=1)
    inside = rows(board)
    board.locator("select[name=kind]").select_option(index=1)
    assert set(rows(board)) < set(inside)
    live = board.locator("[aria-live], [role=status], output")
    assert any(str(len(rows(board))) in text for text in live.all_inner_texts())


def test_sorting_by_keyboard_turns_the_rows_round_and_says_so(board):
    needs(board, "[data-board] th button", "button to sort by")
    button = board.locator("[data-board] th button").first
    heading = button.locator("xpath=ancestor::th")
    button.press("Enter")
    one, up = heading.get_attribute("aria-sort"), rows(board)
    button.press("Enter")
    other, down = heading.get_attribute("aria-sort"), rows(board)
    assert {one, other} == {"ascending", "descending"}
    assert sorted(up) == sorted(down)
    assert up != down
    assert button.evaluate("e => e === document.activeElement")


@pytest.mark.parametrize("script", [True, False])
def test_every_row_leads_to_its_evidence_by_keyboard(visit, script):
    page = visit(java_script_enabled=script).go(BOARD)
    needs(page, "[data-board] a.fl-behind", "link to the evidence")
    assert page.locator("[data-board] a.fl-behind").count() == len(rows(page)) == 6
    page.locator("#claim-alpha-own a.fl-behind").press("Enter")
    page.wait_for_url("**/evidence/alpha.html#claim-alpha-own")
    section = page.locator("section#claim-alpha-own")
    assert 0 <= section.locator("h2").bounding_box()["y"] < page.viewport_size["height"]
    assert section.locator(".fl-strip").is_visible()
    assert "Why this verdict" in section.inner_text()


def test_a_link_to_a_claim_shows_that_claim(visit):
    page = visit().go(f"{BOARD}#claim-alpha-holds")
    assert page.locator("#claim-alpha-holds").is_visible()
    assert page.locator("#claim-alpha-holds").bounding_box()["y"] < page.viewport_size["height"]


def test_without_script_it_is_a_plain_table_with_every_claim(visit):
    page = visit(java_script_enabled=False).go(BOARD)
    assert page.locator("tr[id^=claim-]:visible").count() == 6
    assert page.locator("select:visible").count() == 0
