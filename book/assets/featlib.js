// The book's only script of its own: the scoreboard's filters and sorting, and notes on terms and citations.
// Without it every row shows in the order of the book, and the browser shows a note's text as the link's title.
(() => {
  "use strict";

  const board = document.querySelector("[data-board]");
  if (board) {
    const table = board.querySelector("table");
    const bodies = [...table.tBodies];
    const form = document.querySelector(".fl-filter");
    const said = form.querySelector("[role=status]");
    const verdicts = [...form.elements.verdict.options].map((option) => option.value);

    const filter = () => {
      let shown = 0;
      for (const body of bodies) {
        const fits = (name) => !form.elements[name].value || form.elements[name].value === body.dataset[name];
        body.hidden = !["chapter", "verdict", "kind"].every(fits);
        shown += !body.hidden;
      }
      said.textContent = `${shown} of ${bodies.length} claims shown`;
    };

    const keys = {
      Claim: (body) => body.querySelector(".fl-says").textContent.toLowerCase(),
      Kind: (body) => body.dataset.kind,
      Seeds: (body) => -body.dataset.seeds,
      Verdict: (body) => verdicts.indexOf(body.dataset.verdict),
    };
    const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

    // First press: forwards; second: backwards; third: the order of the book again.
    const sort = (head, key) => {
      const next = { none: "ascending", ascending: "descending", descending: "none" }[head.getAttribute("aria-sort")];
      table.querySelectorAll("[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const order = next === "none" ? bodies : [...bodies].sort((a, b) => sign * compare(key(a), key(b)));
      table.append(...order);
    };

    for (const head of table.tHead.rows[0].cells) {
      const key = keys[head.textContent];
      if (!key) continue;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sort(head, key));
    }

    // A link to a claim shows its row; a link to a chapter shows the claims of that chapter.
    const follow = () => {
      const name = decodeURIComponent(location.hash.slice(1));
      const body = bodies.find((one) => one.rows[0].id === name);
      const chapter = bodies.find((one) => `chapter-${one.dataset.chapter.replaceAll("_", "-")}` === name);
      if (body || chapter) form.reset();
      if (chapter) form.elements.chapter.value = chapter.dataset.chapter;
      filter();
      if (body) body.scrollIntoView();
      if (chapter) form.scrollIntoView();
    };

    form.hidden = false;
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", follow);
    follow();
  }

  const note = document.createElement("div");
  note.id = "fl-note-hover";
  note.setAttribute("role", "tooltip");
  note.hidden = true;
  let timer = null;
  let owner = null;

  const hide = () => {
    clearTimeout(timer);
    note.hidden = true;
    owner?.removeAttribute("aria-describedby");
    owner = null;
  };
  const leave = () => {
    clearTimeout(timer);
    timer = setTimeout(hide, 250); // time enough to reach the note itself
  };
  const show = (link) => {
    hide();
    owner = link;
    note.textContent = link.dataset.note;
    note.hidden = false;
    link.setAttribute("aria-describedby", note.id);
    const place = link.getClientRects()[0];
    const left = Math.min(place.left, document.documentElement.clientWidth - note.offsetWidth - 12);
    const below = place.bottom + 6;
    const above = place.top - note.offsetHeight - 6;
    note.style.left = `${Math.max(12, left)}px`;
    note.style.top = `${below + note.offsetHeight < innerHeight || above < 0 ? below : above}px`;
  };

  const links = document.querySelectorAll("article a.reference.internal[title]");
  for (const link of links) {
    link.dataset.note = link.title;
    link.removeAttribute("title"); // or the browser would show it as well
    link.addEventListener("pointerenter", () => show(link));
    link.addEventListener("pointerleave", leave);
    link.addEventListener("focus", () => show(link));
    link.addEventListener("blur", hide);
  }
  if (links.length) {
    document.querySelector("article").append(note);
    note.addEventListener("pointerenter", () => clearTimeout(timer));
    note.addEventListener("pointerleave", leave);
    addEventListener("keydown", (event) => event.key === "Escape" && hide());
    addEventListener("scroll", hide, { passive: true });
  }
})();
