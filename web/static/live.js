// Keeps a page as new as what it shows: on each sign that something has
// changed it fetches the page again and changes only what differs, so that
// scrolling, typing and what is folded stay. A log grows by itself.
"use strict";

const main = document.querySelector("main");

// What is kept is not touched by a new version of the page: a log that grows.
const kept = (now, next) => "keep" in (now.dataset ?? {}) && "keep" in (next.dataset ?? {});

// alike tells whether one node can become the other.
const alike = (a, b) => a.nodeName === b.nodeName && (a.nodeType !== Node.ELEMENT_NODE ||
  ["id", "class"].every((name) => a.getAttribute(name) === b.getAttribute(name)));

// morph makes now, which is alike, the same as next.
function morph(now, next) {
  if (now.isEqualNode(next) || kept(now, next)) return;
  if (now.nodeType !== Node.ELEMENT_NODE) {
    now.nodeValue = next.nodeValue;
    return;
  }
  for (const { name } of [...now.attributes]) {
    if (!next.hasAttribute(name) && name !== "open") now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== "open") now.setAttribute(name, value);
  }
  let at = now.firstChild;
  for (const node of [...next.childNodes]) {
    let match = at;
    // An element may come after others that have gone, a text may not.
    while (match && !alike(match, node)) match = node.nodeType === Node.ELEMENT_NODE ? match.nextSibling : null;
    if (!match) {
      now.insertBefore(node, at);
      continue;
    }
    for (; at !== match; at = drop(at)) ;
    at = match.nextSibling;
    morph(match, node);
  }
  while (at) at = drop(at);
}

// drop removes a node and returns the one after it.
function drop(node) {
  const after = node.nextSibling;
  node.remove();
  return after;
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
const sequence = /\x1b(?:\[[0-9;?]*[ -\/]*[@-~]?|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.?)/g;
const longestLog = 6000;

// How a line begins that begins a section, or ends one.
const title = /^(?:---|\+\+\+|~~~) +\S|^::group::/;
const groupEnd = /^::endgroup::/;

// logView appends text to the lines of a log.
function logView(log) {
  const all = log.querySelectorAll("[id^=L]"); // its lines
  const last = all[all.length - 1];
  let number = last ? Number(last.id.slice(1)) : Number(log.dataset.first) - 1;
  let count = all.length;
  let section = last?.closest("details") ?? log; // that the next line goes to
  if (groupEnd.test(last?.lastElementChild.textContent)) section = log;
  let line = null, text = "";
  const begin = () => {
    number++;
    count++;
    line = document.createElement("div");
    line.id = "L" + number;
    const anchor = document.createElement("a");
    anchor.href = "#L" + number;
    anchor.dataset.n = number;
    anchor.tabIndex = -1;
    anchor.setAttribute("aria-label", "line " + number);
    line.append(anchor, document.createElement("span"));
    section.append(line);
    text = "";
  };
  // end takes note of a whole line. What came as a part of a section may begin
  // the next one, which stays open for as long as it grows.
  const end = () => {
    const plain = line.lastElementChild.textContent;
    if (groupEnd.test(plain)) section = log;
    if (title.test(plain)) {
      section = document.createElement("details");
      section.open = true;
      const summary = document.createElement("summary");
      summary.id = line.id;
      summary.className = "title";
      summary.dataset.n = number;
      summary.append(line.lastElementChild);
      line.remove();
      section.append(summary);
      log.append(section);
    }
    line = null;
  };
  // trim removes the first lines of a log that has become too long.
  const trim = () => {
    for (; count > longestLog; count--) {
      const first = log.firstElementChild;
      if (first.tagName !== "DETAILS") first.remove();
      else if (first.childElementCount === 1) first.remove(); // its title
      else first.children[1].remove();
    }
  };
  return (more) => {
    const atEnd = innerHeight + scrollY >= document.documentElement.scrollHeight - 60;
    more.split("\n").forEach((part, i, parts) => {
      const ends = i < parts.length - 1;
      if (!line && (part || ends)) begin();
      if (!line) return;
      text += part;
      text = text.slice(text.lastIndexOf("\r", text.length - 2) + 1); // a line that is written again
      line.lastElementChild.textContent = text.replace(sequence, "");
      if (ends) end();
    });
    trim();
    if (atEnd) scrollTo(0, document.documentElement.scrollHeight);
  };
}

// A log is followed from where its last event ended, if it had one.
let log = null, append = null, offset = null, lines = null;

function followLog() {
  const shown = document.querySelector("[data-log]");
  if (shown !== log) {
    lines?.close();
    [log, lines, offset] = [shown, null, null];
    append = log && logView(log);
  }
  if (!log || lines || document.hidden) return;
  const address = new URL(log.dataset.log, location);
  if (offset) address.searchParams.set("from", offset);
  const stream = (lines = new EventSource(address));
  stream.onmessage = (event) => {
    offset = event.lastEventId;
    append(JSON.parse(event.data));
  };
  stream.addEventListener("end", () => {
    stream.close();
    delete log.dataset.keep; // the page has it in colour
    refresh();
  });
}

// A link to a line unfolds its section. To one that this part of the log does not
// have it leads to the part that has it.
function showLine() {
  const line = /^#L(\d+)$/.exec(location.hash);
  const shown = document.querySelector(".log");
  if (!line || !shown) return;
  const there = document.getElementById("L" + line[1]);
  if (there) {
    const section = there.closest("details");
    if (!section || section.open) return;
    section.open = true;
    there.scrollIntoView({ block: "center" });
    return;
  }
  const address = new URL(location);
  if (address.searchParams.get("line") === line[1]) return; // there is no such line
  address.search = "?line=" + line[1];
  location.replace(address);
}

let signs = null;

function followPage() {
  if (signs || document.hidden || !main.dataset.live) return;
  signs = new EventSource(main.dataset.live);
  signs.addEventListener("changed", refresh);
  signs.onerror = () => {
    if (signs?.readyState === EventSource.CLOSED) refresh(); // the token is not valid any more
  };
}

// A browser has few connections to one server: a tab that nobody looks at
// gives its own up, and gets what it has missed when it is looked at again.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    signs?.close();
    lines?.close();
    signs = lines = null;
  }
  followPage();
  followLog();
});

addEventListener("hashchange", showLine);
showLine();
followPage();
followLog();
