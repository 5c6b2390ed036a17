// Renews the part of a page that changes (#live), without moving what somebody is reading.
//
// It asks for the part again, naming the state that is on show; 304 says that nothing has changed, and then it asks less
// often. Of a new state, only the blocks that differ are replaced; folded and unfolded ones stay as they are. It asks
// nothing while the page is hidden. While something is selected or has the focus, or while what one may click is under
// the pointer, it only offers the new state. Every answer says how many approvals wait for the person, for the badge.
"use strict";

(() => {
  const SOONEST = 1000, LATEST = 20000, OFFERED = 4000, SLOWER = 1.4; // milliseconds

  function withoutTimes(html) {
    return html.replace(/(<time [^>]*>)[^<]*/g, "$1");
  }

  function busy(live) {
    const selection = getSelection();
    if (!selection.isCollapsed && live.contains(selection.anchorNode)) return true;
    if (live.querySelector("input:focus, textarea:focus, select:focus, input:checked")) return true;
    return live.querySelector("a:hover, button:hover, summary:hover, [data-row]:hover") !== null;
  }

  function replace(old, fresh) {
    for (const details of old.querySelectorAll("details[id]")) {
      const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
      if (same) same.open = details.open;
    }
    const focused = old.contains(document.activeElement) && document.activeElement.id;
    old.replaceWith(fresh);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  // The badge, and what is read out with it.
  function count(waiting) {
    const badge = document.querySelector("[data-waiting]");
    if (waiting === null || !badge || badge.textContent === waiting) return;
    badge.textContent = waiting;
    badge.hidden = waiting === "0";
    const labelled = badge.closest("[aria-label]");
    labelled.ariaLabel = labelled.ariaLabel.replace(/[\d,]+\+?/, waiting);
  }

  class Live {
    constructor(element) {
      this.element = element;
      this.version = element.dataset.live;
      this.delay = SOONEST;
      this.sources = new Map();
      this.remember(element);
      this.later();
    }

    remember(root) {
      for (const part of root.querySelectorAll("[id^=part-]")) this.sources.set(part.id, withoutTimes(part.outerHTML));
    }

    later() {
      setTimeout(() => this.look(), this.delay);
    }

    async look() {
      if (document.hidden) {
        this.delay = SOONEST;
        return this.later();
      }
      try {
        const url = new URL(location.href);
        url.searchParams.set("app", document.getElementById("switcher")?.value ?? "");
        const answer = await fetch(url, { headers: { "X-Live": this.version }, redirect: "manual" });
        if (answer.type === "opaqueredirect") return location.reload(); // logged out: the login page, then back here
        count(answer.headers.get("X-Waiting"));
        if (answer.status === 200 && answer.headers.has("X-Live")) {
          const show = this.take(await answer.text(), answer.headers);
          const waits = busy(this.element);
          this.delay = waits ? OFFERED : SOONEST;
          if (waits) this.offer(show);
          else if (show()) return this.lost(false);
        } else if (answer.status === 304) {
          this.delay = Math.min(this.delay * SLOWER, LATEST);
        } else {
          throw new Error(`answered ${answer.status}`);
        }
        this.lost(false);
      } catch {
        this.delay = Math.min(this.delay * 2, LATEST);
        this.lost(true);
      }
      this.later();
    }

    // What shows the new state, and says whether it is the last one.
    take(html, headers) {
      return () => {
        this.offer(null);
        this.renew(html);
        this.version = headers.get("X-Live");
        return headers.get("X-Live-Ends") === "yes";
      };
    }

    offer(show) {
      let button = document.querySelector(".something-new");
      if (!show) return button?.remove();
      if (!button) {
        button = document.createElement("button");
        button.type = "button";
        button.className = "button something-new";
        button.textContent = "There is something new: show it";
        document.body.append(button);
      }
      button.onclick = show;
    }

    renew(html) {
      const fresh = document.createElement("div");
      fresh.innerHTML = html;
      const sources = new Map([...fresh.querySelectorAll("[id^=part-]")].map((part) => [part.id, withoutTimes(part.outerHTML)]));
      const known = [...this.element.querySelectorAll("[id^=part-]")].map((part) => part.id);
      if (!known.length || known.join() !== [...sources.keys()].join()) {
        fresh.id = "live";
        replace(this.element, fresh);
        this.element = fresh;
      } else {
        for (const [id, source] of sources) {
          if (this.sources.get(id) !== source) replace(document.getElementById(id), fresh.querySelector(`#${CSS.escape(id)}`));
        }
      }
      this.sources = sources;
      document.dispatchEvent(new Event("hector:renewed"));
    }

    lost(yes) {
      let note = document.querySelector(".lost-contact");
      if (yes && !note) {
        note = document.createElement("div");
        note.className = "lost-contact";
        note.setAttribute("role", "status");
        note.textContent = "The server does not answer. This page shows the last state that it knows.";
        document.body.append(note);
      } else if (!yes) note?.remove();
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const element = document.getElementById("live");
    if (element && element.dataset.ends === "no") new Live(element);
  });
})();
