// Keys for people who do this all day. Whatever carries data-hotkey is pressed by that key: a field
// takes the cursor, everything else is clicked. F-keys work from inside a field, single characters
// only outside, and none while an input method composes. In a list j and k walk, o or Enter opens.

const off = () => document.documentElement.dataset.shortcuts === "off";
const typing = (element) => element?.closest("input, textarea, select, [contenteditable]");
const visible = (element) => element.getClientRects().length > 0;

function press(key) {
  const target = [...document.querySelectorAll(`[data-hotkey="${CSS.escape(key)}"]`)].find(visible);
  if (!target) return false;
  if (target.matches("input, textarea, select")) { target.focus(); target.select?.(); } else { target.click(); }
  return true;
}

function walk(step) {
  const rows = [...document.querySelectorAll("table.list tbody tr")].filter((row) => row.querySelector("a"));
  if (!rows.length) return false;
  const at = rows.findIndex((row) => row.classList.contains("at"));
  const next = Math.min(rows.length - 1, Math.max(0, at + step));
  rows[at]?.classList.remove("at");
  rows[next].classList.add("at");
  rows[next].querySelector("a").focus();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Escape") {
    const drawer = document.activeElement?.closest("details[open]");
    if (drawer) { drawer.open = false; drawer.querySelector("summary").focus(); }
    return;
  }
  if (off()) return;
  const isFunctionKey = /^F\d+$/.test(event.key);
  if (typing(event.target) && !isFunctionKey) return;
  const done =
    event.key === "j" ? walk(1) :
    event.key === "k" ? walk(-1) :
    event.key === "o" ? Boolean(document.querySelector("tr.at a")?.click()) :
    press(event.key);
  if (done) event.preventDefault();
});

// Enter goes to the next field of a grid, Ctrl+Enter sends the form.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.isComposing) return;
  const field = event.target;
  if (event.ctrlKey && field.form) { event.preventDefault(); field.form.requestSubmit(); return; }
  if (!field.closest?.("[data-grid]") || !field.matches("input, select")) return;
  event.preventDefault();
  const fields = [...field.closest("[data-grid]").querySelectorAll("input:not([type=hidden]), select")];
  fields[fields.indexOf(field) + 1]?.focus();
});

// A refused form: the summary takes the focus; its links go to the fields.
document.querySelector("[data-focus]")?.focus();
document.addEventListener("click", (event) => {
  const link = event.target.closest(".errors a[href^='#']");
  const field = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!field) return;
  event.preventDefault();
  field.closest("details")?.setAttribute("open", "");
  field.focus();
});

document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) window.print(); });

// A table that scrolls sideways and holds nothing to focus can be scrolled by keys too.
const reachScrollers = () => {
  for (const frame of document.querySelectorAll(".table-wrap:not([tabindex])")) {
    if (frame.scrollWidth > frame.clientWidth && !frame.querySelector("a, button, input, select")) frame.tabIndex = 0;
  }
};
reachScrollers();
window.addEventListener("resize", reachScrollers);
