// Search while typing, safe for Chinese input: a field with data-live asks only when no input
// method is composing ("c", "ch", "che" never leave the keyboard, only 陈 does), and only when the
// value changed and typing paused. htmx does the asking: the field's hx-trigger is "live". What may
// be an identity number is not asked for while typing: it must not stand in an address.

const PAUSE = 200;
const MAYBE_A_NUMBER = /\d{5}/;

for (const field of document.querySelectorAll("[data-live]")) {
  let asked = field.value;
  let timer;
  const ask = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (field.value === asked) return;
      asked = field.value;
      if (MAYBE_A_NUMBER.test(asked)) return;
      field.dispatchEvent(new CustomEvent("live", { bubbles: true }));
    }, PAUSE);
  };
  field.addEventListener("input", (event) => { if (!event.isComposing) ask(); });
  field.addEventListener("compositionend", ask);
}

document.addEventListener("htmx:after:swap", (event) => {
  const words = document.querySelector("[data-announce]")?.textContent;
  if (words) document.getElementById("live").textContent = words;
});
