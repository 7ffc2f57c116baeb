// Keeps a table or a document as new as the platform has it: it follows the
// API's watch of what the page shows, fetches the page again when something
// has changed, and marks what differs. A form in which something was typed is
// left alone; a word then tells what has changed.
"use strict";

const main = document.querySelector("main");
const news = document.querySelector("#news");

// pulse is the least time between two fetches, in milliseconds.
const pulse = 300;

// retry is how long to wait for a platform that is away or busy.
const retry = 2000;

const tell = (text) => {
  news.textContent = text;
  news.hidden = false;
};

// typed tells whether a form has what the server has not.
const typed = (form) => [...form.elements].some((e) => e.type !== "hidden" && (e.options
  ? [...e.options].some((option) => option.selected !== option.defaultSelected)
  : "defaultValue" in e && e.value !== e.defaultValue));

function unmark(row) {
  row.classList.remove("changed");
  if (!row.className) row.removeAttribute("class");
  return row;
}

// bring makes the rows of one list those of another, and returns the keys of
// those that differ. With keep it only looks.
function bring(rows, next, keep) {
  const had = new Map([...rows.children].map((row) => [row.dataset.key, row]));
  const changed = [];
  const now = [...next.children].map((row) => {
    const old = had.get(row.dataset.key);
    had.delete(row.dataset.key);
    if (old && unmark(old.cloneNode(true)).isEqualNode(row)) return keep ? old : unmark(old);
    if (row.dataset.key) {
      changed.push(row.dataset.key);
      row.classList.add("changed");
    }
    return row;
  });
  for (const key of had.keys()) if (key) changed.push(key + " (gone)");
  if (!keep) rows.replaceChildren(...now);
  return changed;
}

// renew loads the page again, unless that would lose something typed.
function renew() {
  if ([...main.querySelectorAll("form[data-keep]")].some(typed)) tell("This page is out of date. Load it again when you have kept what you typed.");
  else location.reload();
}

// show brings the page in line with a newer one.
function show(page) {
  const focus = document.activeElement;
  const lists = [...main.querySelectorAll("[data-rows]")], next = [...page.querySelectorAll("main [data-rows]")];
  if (lists.length !== next.length) return renew();
  main.dataset.live = page.querySelector("main").dataset.live ?? "";
  const missed = [], changed = [];
  lists.forEach((rows, i) => {
    const form = rows.closest("form[data-keep]");
    const keep = form && typed(form);
    (keep ? missed : changed).push(...bring(rows, next[i], keep));
  });
  if (focus?.isConnected) focus.focus();
  else if (focus?.name) main.querySelector(`[name="${CSS.escape(focus.name)}"]`)?.focus();
  if (missed.length) tell("Changed meanwhile: " + missed.join(", ") + ". Saving will show you both.");
  else if (changed.length) tell("Changed: " + changed.slice(0, 5).join(", ") + (changed.length > 5 ? " and " + (changed.length - 5) + " more" : ""));
}

// end leaves the page as it is for good.
function end(text) {
  tell(text);
  main.classList.add("gone");
  main.dataset.live = "";
  watch?.close();
}

const pause = (time) => new Promise((done) => setTimeout(done, time));

let fetching = false, again = false;

async function refresh() {
  again = true;
  if (fetching) return;
  fetching = true;
  while (again) {
    again = false;
    const rest = pause(pulse);
    try {
      const response = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (response.redirected) renew(); // to the sign-in page
      else if (response.ok) show(new DOMParser().parseFromString(await response.text(), "text/html"));
      else if (response.status === 404) end("This document has been deleted.");
      else if (response.status === 429 || response.status >= 500) throw new Error("later");
      else end("This page can no longer be shown: " + response.status + " " + response.statusText);
    } catch {
      again = true;
      await pause(retry);
    }
    await rest;
  }
  fetching = false;
}

let watch = null, last = null;

function follow() {
  if (watch || document.hidden || !main.dataset.live) return;
  const address = new URL(main.dataset.live, location);
  if (last) address.searchParams.set("from", last);
  const stream = (watch = new EventSource(address));
  const changed = (event) => {
    last = event.lastEventId;
    refresh();
  };
  stream.addEventListener("put", changed);
  stream.addEventListener("delete", changed);
  stream.addEventListener("live", (event) => {
    last = event.lastEventId;
    document.documentElement.dataset.following = "yes";
  });
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CLOSED) return; // it resumes by itself
    // The position is too old, or the token is not valid any more.
    if (watch === stream) watch = null;
    last = null; // the page that is fetched tells a newer one
    setTimeout(async () => {
      await refresh();
      follow();
    }, retry);
  };
}

// A browser has few connections to one server: a tab that nobody looks at
// gives its own up, and gets what it has missed when it is looked at again.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    watch?.close();
    watch = null;
  }
  follow();
});

follow();
