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

  function tellTimes() {
    for (const element of document.querySelectorAll("time[datetime]")) {
      const at = new Date(element.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      const text = relative(at);
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

  // --- Keys: / searches, j and k go through rows ---------------------------------------------------------------------
  function typing(target) {
    return target.closest?.("input, textarea, select, [contenteditable]");
  }

  function move(step) {
    const links = [...document.querySelectorAll("[data-row] .row-link")];
    if (!links.length) return;
    const here = links.indexOf(document.activeElement);
    links[Math.min(Math.max(here + step, 0), links.length - 1)].focus();
  }

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    const search = document.querySelector("[data-search]");
    if (event.key === "/" && search) {
      event.preventDefault();
      search.focus();
    } else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
  }

  // --- Forms --------------------------------------------------------------------------------------------------------
  function changed(event) {
    const form = event.target.form;
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
