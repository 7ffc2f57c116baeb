// Keeps a page as new as what it shows: on each sign that something has
// changed it fetches the page again and changes only what differs, so that
// scrolling, typing and what is folded stay. A log grows by itself.
"use strict";

const main = document.querySelector("main");

// What is kept is not touched by a new version of the page: a log that grows.
const kept = (now, next) => now.dataset && "keep" in now.dataset && "keep" in next.dataset && now.id === next.id;

function morph(now, next) {
  if (now.isEqualNode(next)) return;
  if (now.nodeType !== next.nodeType || now.nodeName !== next.nodeName || (now.id || "") !== (next.id || "")) {
    now.replaceWith(next);
    return;
  }
  if (now.nodeType !== Node.ELEMENT_NODE) {
    now.nodeValue = next.nodeValue;
    return;
  }
  if (kept(now, next)) return;
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && name !== "open") now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== "open") now.setAttribute(name, value);
  }
  const before = [...now.childNodes], after = [...next.childNodes];
  after.forEach((node, i) => (i < before.length ? morph(before[i], node) : now.append(node)));
  before.slice(after.length).forEach((node) => node.remove());
}

let fetching = false, again = false;

async function refresh() {
  if (fetching) {
    again = true;
    return;
  }
  fetching = true;
  try {
    const response = await fetch(main.dataset.self || location.href, { headers: { Accept: "text/html" } });
    if (response.redirected) return location.reload(); // to the sign-in page
    if (response.ok) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      document.title = page.title;
      morph(main, page.querySelector("main"));
      followLog();
    }
  } catch {
    // The hub is away; the next sign tells when it is back.
  } finally {
    fetching = false;
  }
  if (again) {
    again = false;
    refresh();
  }
}

// An escape sequence of a terminal, or a part of one at the end.
const escape = /\x1b(?:\[[0-9;?]*[ -\/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)/g;
const longestLog = 6000;

// logView appends text to the lines of a log.
function logView(log) {
  const last = log.lastElementChild;
  let number = last ? Number(last.id.slice(1)) : Number(log.dataset.first) - 1;
  let line = null, text = "";
  const begin = () => {
    number++;
    line = document.createElement("div");
    line.id = "L" + number;
    const anchor = document.createElement("a");
    anchor.href = "#L" + number;
    anchor.dataset.n = number;
    line.append(anchor, document.createElement("span"));
    log.append(line);
    text = "";
  };
  return (more) => {
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 60;
    more.split("\n").forEach((part, i, parts) => {
      if (!line && (part || i < parts.length - 1)) begin();
      text += part;
      const shown = text.replace(escape, "").replace(/\r+$/, "");
      if (line) line.lastElementChild.textContent = shown.slice(shown.lastIndexOf("\r") + 1);
      if (i < parts.length - 1) line = null;
      if (!line) text = "";
    });
    while (log.childElementCount > longestLog) log.firstElementChild.remove();
    if (atEnd) scrollTo(0, document.documentElement.scrollHeight);
  };
}

let followed = null, source = null;

function followLog() {
  const log = document.querySelector("[data-log]");
  if (log === followed) return;
  source?.close();
  followed = log;
  if (!log) return;
  const append = logView(log);
  source = new EventSource(log.dataset.log);
  source.onmessage = (event) => append(JSON.parse(event.data));
  const stream = source;
  stream.addEventListener("end", () => {
    stream.close();
    delete log.dataset.keep; // the page has it in colour
    refresh();
  });
}

if (main.dataset.live) {
  new EventSource(main.dataset.live).addEventListener("changed", refresh);
}
followLog();
