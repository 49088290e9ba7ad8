"""Pictures to touch: every way to move them moves the picture, and nobody is left without it."""

from types import SimpleNamespace

import pytest

from featlib.widgets import frames

BOX, OTHER = (f'.featlib-frames[aria-label^="{word}"]' for word in ("One", "Another"))
"""Two on one page, of which the first alone brings style and script."""


def pixels(page):
    """What the box of states shows, as bytes."""
    return page.locator(f"{BOX} [data-states]").screenshot()


def described(page, box=BOX):
    """The description of the picture that shows."""
    images = page.locator(f"{box} img:visible")
    assert images.count() == 1
    return images.get_attribute("alt")


def slider(page, name):
    return page.get_by_role("slider", name=name)


def test_moving_a_slider_changes_the_picture_and_says_so(visit):
    page = visit().go()
    first, before = described(page), pixels(page)
    slider(page, "colour").fill("2")
    assert described(page) == "A field of blue, bright in tone."
    assert first == "A field of red, bright in tone."
    assert pixels(page) != before
    assert slider(page, "colour").get_attribute("aria-valuetext") == "blue"
    assert page.locator(f"{BOX} output").all_inner_texts() == ["bright", "blue"]
    slider(page, "colour").fill("0")
    assert pixels(page) == before


def test_two_sliders_choose_from_one_grid(visit):
    page = visit().go()
    slider(page, "tone").fill("1")
    slider(page, "colour").fill("1")
    assert described(page) == "A field of green, dark in tone."


def test_two_on_a_page_share_a_script_and_move_each_by_itself(visit):
    page = visit().go()
    for kind in ("script", "style"):
        blocks = page.locator(f"{kind}[data-once]").evaluate_all("blocks => blocks.map(block => block.textContent)")
        assert len(set(blocks)) == len(blocks) == 2  # that of frames and that of heat maps
    slider(page, "leaf").focus()
    page.keyboard.press("ArrowRight")
    assert described(page, OTHER) == "A field of green, bright in tone."
    assert described(page) == "A field of red, bright in tone."
    slider(page, "colour").fill("2")
    assert described(page) == "A field of blue, bright in tone."
    page.get_by_role("button", name="Next leaf").click()
    assert described(page, OTHER) == "A field of red, bright in tone."


def notebook_output(page, html):
    """Show an output as JupyterLab does: the markup first, then each of its scripts again as one that runs."""
    page.evaluate(
        """html => {
          const node = document.body.appendChild(document.createElement("div"));
          node.innerHTML = html;
          for (const old of node.querySelectorAll("script")) {
            const script = document.createElement("script");
            for (const {name, value} of old.attributes) script.setAttribute(name, value);
            script.textContent = old.textContent;
            old.replaceWith(script);
          }
        }""",
        html,
    )


def test_an_output_of_a_notebook_needs_no_other_and_survives_when_others_go(visit):
    first, second = frames_of_words("left"), frames_of_words("right")
    page = visit().page
    for html in (first, second, first):  # run, run another, and the first one shown anew
        notebook_output(page, html)
    boxes = page.locator(".featlib-frames[data-live]")
    assert boxes.count() == 3
    page.evaluate("document.body.firstChild.remove()")
    notebook_output(page, second)
    for at in range(3):
        boxes.nth(at).get_by_role("button", name="Next").click()
        assert boxes.nth(at).locator("figure:visible").all_inner_texts() == ["two\n\nword: two"]


def frames_of_words(name):
    """A figure whose states are words."""
    states = [SimpleNamespace(html=lambda word=word: f"<p>{word}</p>") for word in ("one", "two", "three")]
    return frames(states, {"word": ["one", "two", "three"]}, f"Three words on the {name}").html()


def test_arrow_keys_home_and_end_move_the_slider_that_has_the_focus(visit):
    page = visit().go()
    slider(page, "colour").focus()
    seen = [described(page)]
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "Home", "End"):
        page.keyboard.press(key)
        seen.append(described(page))
    assert [text.split()[3].strip(",") for text in seen] == ["red", "green", "blue", "green", "red", "blue"]


def test_buttons_step_and_go_round(visit):
    page = visit().go()
    page.get_by_role("button", name="Previous colour").click()
    assert "blue" in described(page)
    page.get_by_role("button", name="Next colour").click()
    assert "red" in described(page)
    page.get_by_role("button", name="Next colour").press("Enter")
    assert "green" in described(page)


def test_play_plays_and_stops(visit):
    page = visit().go()
    page.get_by_role("button", name="Play colour").click()
    page.wait_for_function("document.querySelector('[data-on] img').alt.includes('green')")
    page.wait_for_function("document.querySelector('[data-on] img').alt.includes('blue')")
    page.get_by_role("button", name="Pause").click()
    stopped = described(page)
    page.wait_for_timeout(1300)
    assert described(page) == stopped
    assert page.get_by_role("button", name="Play colour").count() == 1


def test_touching_a_slider_stops_the_play(visit):
    page = visit().go()
    page.get_by_role("button", name="Play colour").click()
    slider(page, "tone").fill("1")
    page.wait_for_timeout(1300)
    assert described(page) == "A field of red, dark in tone."


def test_who_asked_for_reduced_motion_is_not_offered_to_play(visit):
    assert visit().go().locator(f"{BOX} button[data-play]:visible").count() == 2
    assert visit(reduced_motion="reduce").go().locator(f"{BOX} button[data-play]:visible").count() == 0


def test_print_is_a_contact_sheet_with_names_and_without_controls(visit):
    page = visit().go()
    page.emulate_media(media="print")
    assert page.locator(f"{BOX} img:visible").count() == 6
    assert page.locator(f"{BOX} input:visible, {BOX} button:visible").count() == 0
    named = page.locator(f"{BOX} figcaption:visible").all_inner_texts()
    assert named[0] == "tone: bright, colour: red"
    assert len(set(named)) == 6


def test_without_script_every_state_shows_and_no_control_is_dead(visit):
    page = visit(java_script_enabled=False).go()
    assert page.locator(f"{BOX} img:visible").count() == 6
    assert page.locator(f"{BOX} input:visible, {BOX} button:visible").count() == 0


@pytest.mark.parametrize("width", [1280, 400])
def test_controls_are_large_enough_for_a_finger(visit, width):
    page = visit(viewport={"width": width, "height": 800}).go()
    for control in page.locator(f"{BOX} input, {BOX} button").all():
        box = control.bounding_box()
        assert min(box["width"], box["height"]) >= 24
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
