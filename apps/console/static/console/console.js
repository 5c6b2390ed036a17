// Small conveniences of every page. Nothing here is needed to read a page or to send a form.
"use strict";

(() => {
  // --- Times: relative, kept current; exact on hover, in the viewer's zone ------------------------------------------
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

  function relative(at) {
    const seconds = (at - Date.now()) / 1000;
    const length = Math.abs(seconds);
    if (length < 1) return "now";
    const [size, unit] = UNITS.find(([size]) => length >= size);
    const words = `${Math.floor(length / size)} ${unit}`;
    return seconds > 0 ? `in ${words}` : `${words} ago`;
  }

  const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

  const SOON = 600_000; // milliseconds

  // How long there is until then: both of the two largest units, so that the last minutes are counted down.
  function left(at) {
    let seconds = Math.floor((at - Date.now()) / 1000);
    if (seconds <= 0) return "time is over";
    const words = [];
    for (const [size, unit] of UNITS) {
      if (seconds >= size || words.length) words.push(`${Math.floor(seconds / size)} ${unit}`);
      seconds %= size;
    }
    return `${words.slice(0, 2).join(" ")} left`;
  }

  function tellTimes() {
    for (const element of document.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const text = "left" in element.dataset ? left(at) : relative(at);
      if ("left" in element.dataset) element.toggleAttribute("data-soon", at - Date.now() < SOON);
      if (!("fixed" in element.dataset) && element.textContent !== text) element.textContent = text;
      if (!element.dataset.exact) {
        element.dataset.exact = "yes";
        element.title = exact.format(at);
      }
    }
  }

  // --- Copying a payload --------------------------------------------------------------------------------------------
  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    const label = button.querySelector("span:not(.icon)");
    let said = "Copied";
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {
      getSelection().selectAllChildren(source); // no clipboard without HTTPS: at least it is selected
      said = "Selected";
    }
    if (!label) return;
    const before = label.dataset.before ?? label.textContent;
    label.dataset.before = before;
    label.textContent = said;
    setTimeout(() => { label.textContent = before; }, 1500);
  }

  // --- Keys: / searches, j and k go through rows, ? tells them all; an element names its own with data-key -----------
  const KEYS = [["/", "Search"], ["j", "Next row"], ["k", "Row before"], ["Enter", "Open the row"], ["x", "Select the row"]];
  const SWITCH = "hector-keys"; // where it is kept that somebody has turned them off

  function typing(target) {
    return target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], dialog");
  }

  function move(step) {
    const links = [...document.querySelectorAll("[data-row] .row-link")];
    if (!links.length) return;
    const here = links.findIndex((link) => link.closest("[data-row]").contains(document.activeElement));
    links[Math.min(Math.max(here + step, 0), links.length - 1)].focus();
  }

  // A link is followed, a button focused: what changes something takes Enter, too.
  function use(element) {
    if (element.tagName === "A") element.click();
    else element.focus();
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "?") return tellKeys();
    if (localStorage.getItem(SWITCH) === "off") return;
    const search = document.querySelector("[data-search]");
    const own = document.querySelector(`[data-key="${CSS.escape(event.key)}"]:not(:disabled)`);
    if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "x") document.activeElement.closest?.("[data-row]")?.querySelector("[type=checkbox]")?.click();
    else if (own?.checkVisibility({ visibilityProperty: true })) use(own);
  }

  function tellKeys() {
    const dialog = document.getElementById("keys");
    if (!dialog || dialog.open) return;
    const own = [...document.querySelectorAll("[data-key]")].map((element) => [element.dataset.key, element.dataset.keySays]);
    const rows = document.querySelector("[data-row] .row-link");
    const known = KEYS.filter(([name]) => (name === "/" ? document.querySelector("[data-search]") : rows));
    dialog.querySelector("dl").replaceChildren(...[...known, ...own].flatMap(([name, says]) => {
      const [term, words, keyboard] = ["dt", "dd", "kbd"].map((tag) => document.createElement(tag));
      keyboard.textContent = name;
      term.append(keyboard);
      words.textContent = says;
      return [term, words];
    }));
    const box = dialog.querySelector("input");
    box.checked = localStorage.getItem(SWITCH) !== "off";
    box.onchange = () => localStorage.setItem(SWITCH, box.checked ? "on" : "off");
    dialog.showModal();
  }

  // --- Forms --------------------------------------------------------------------------------------------------------
  // A time of the viewer's own zone goes to the server as an instant.
  function tellInstant(input) {
    const instant = new Date(input.value);
    input.form.elements[input.dataset.local].value = Number.isNaN(instant.getTime()) ? "" : instant.toISOString();
  }

  function changed(event) {
    const form = event.target.form;
    if (event.target.hasAttribute("data-check-all")) {
      for (const box of form.querySelectorAll("[data-row] [type=checkbox]")) box.checked = event.target.checked;
    }
    if (event.target.dataset.local) {
      tellInstant(event.target);
      event.target.closest("label").querySelector("[type=radio]").checked = true;
    }
    if (form && (form.hasAttribute("data-submit-on-change") || event.target.hasAttribute("data-submit"))) {
      form.requestSubmit();
    }
  }

  function submitted(event) {
    if (!event.target.hasAttribute("data-submit-once")) return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  }

  document.addEventListener("DOMContentLoaded", () => {
    tellTimes();
    setInterval(tellTimes, 1000);
    for (const zone of document.querySelectorAll("[data-zone]")) zone.textContent = "";
    for (const input of document.querySelectorAll("[data-local]")) if (input.value) tellInstant(input);
  });
  document.addEventListener("hector:renewed", tellTimes);
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (button) copy(button);
  });
  document.addEventListener("keydown", key);
  document.addEventListener("change", changed);
  document.addEventListener("submit", submitted);
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("[data-submit-once]")) delete form.dataset.sent; // came back to it
  });
})();
