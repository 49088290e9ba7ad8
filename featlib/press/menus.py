"""The script that opens the menus in the head of a page. It does what the theme uses of Bootstrap's 80 KB."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE", "TOGGLES"]

TOGGLES = frozenset({"dropdown", "tooltip"})
"""The parts of Bootstrap that are done without; a browser shows a ``title`` as a tooltip by itself."""

SCRIPT = """
(() => {
  const menus = [...document.querySelectorAll('[data-bs-toggle="dropdown"]')].map(button => ({
    button, list: button.parentElement.querySelector(".dropdown-menu")
  })).filter(menu => menu.list);
  const set = (menu, open) => {
    menu.list.classList.toggle("show", open);
    menu.button.setAttribute("aria-expanded", open);
    // Which side has room: the menu hangs from the right end of its button if it would leave the page.
    menu.list.classList.remove("fl-from-right");
    if (open && menu.list.getBoundingClientRect().right > document.documentElement.clientWidth)
      menu.list.classList.add("fl-from-right");
  };
  const items = menu => [...menu.list.querySelectorAll("a, button")];
  menus.forEach(menu => {
    const isOpen = () => menu.list.classList.contains("show");
    menu.button.addEventListener("click", () => set(menu, !isOpen()));
    menu.button.parentElement.addEventListener("keydown", event => {
      const at = items(menu).indexOf(document.activeElement), step = {ArrowDown: 1, ArrowUp: -1}[event.key];
      if (event.key === "Escape" && isOpen()) { set(menu, false); menu.button.focus(); }
      else if (step) {
        event.preventDefault();
        set(menu, true);
        items(menu)[(at + step + items(menu).length + (at < 0 && step < 0)) % items(menu).length].focus();
      }
    });
    menu.button.parentElement.addEventListener("focusout", event => {
      if (event.relatedTarget && !menu.button.parentElement.contains(event.relatedTarget)) set(menu, false);
    });
  });
  document.addEventListener("click", event => menus.forEach(menu => {
    if (!menu.button.parentElement.contains(event.target)) set(menu, false);
  }));
})();
"""
STYLE = """
.dropdown-menu.show{top:100%;left:0}
.dropdown-menu.show.fl-from-right{left:auto;right:0}
"""
