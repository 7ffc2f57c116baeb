// Sends the request that the form describes, and shows its answer as it comes.
"use strict";

const form = document.querySelector("#try");
const part = (id) => document.querySelector("#" + id);

// most is how much of an answer is shown, in characters.
const most = 1 << 20;

let running = null;

// request makes the address and the options of a fetch from the form.
function request() {
  let path = form.dataset.path;
  const query = new URLSearchParams(), headers = new Headers();
  for (const input of form.querySelectorAll("[data-in]")) {
    const { in: where, name } = input.dataset, value = input.value;
    if (where === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (!value) continue;
    else if (where === "query") query.set(name, value);
    else if (where === "header") headers.set(name, value);
  }
  const options = { method: form.dataset.method, headers };
  const body = part("body")?.value.trim();
  if (body) {
    options.body = body;
    headers.set("Content-Type", form.dataset.media);
  }
  return [path + (query.size ? "?" + query : ""), options];
}

// pretty lays JSON out over several lines, without touching its numbers.
function pretty(text, type) {
  if (!/json/.test(type) || /ndjson/.test(type)) return text; // its lines are values
  let out = "", depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[^\s"{}[\],:]+|[{}[\],:]/g)) {
    const line = () => "\n" + "  ".repeat(depth);
    if (token === "{" || token === "[") depth++, (out += token + line());
    else if (token === "}" || token === "]") depth--, (out += line() + token);
    else out += token === "," ? "," + line() : token === ":" ? ": " : token;
  }
  return out.replace(/([{[])\s+([}\]])/g, "$1$2");
}

async function send() {
  running?.abort();
  const mine = (running = new AbortController());
  const [address, options] = request();
  part("answer").hidden = false;
  part("sent").textContent = options.method + " " + address;
  part("status").textContent = "…";
  part("headers").textContent = part("result").textContent = "";
  part("stop").hidden = false;
  const began = performance.now();
  try {
    const answer = await fetch(address, { ...options, signal: mine.signal });
    part("status").textContent = `${answer.status} ${answer.statusText} · ${Math.round(performance.now() - began)} ms`;
    part("status").className = answer.ok ? "good" : "bad";
    part("headers").textContent = [...answer.headers].map(([name, value]) => name + ": " + value).join("\n");
    let text = "";
    for await (const piece of pieces(answer)) {
      text = (text + piece).slice(-most);
      part("result").textContent = text;
    }
    part("result").textContent = pretty(text, answer.headers.get("Content-Type") ?? "");
  } catch (error) {
    if (!mine.signal.aborted) part("status").textContent = "No answer: " + error.message;
  }
  if (running === mine) part("stop").hidden = true;
}

// pieces yields the text of an answer as it comes.
async function* pieces(answer) {
  if (!answer.body) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let got; !(got = await reader.read()).done; ) yield got.value;
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
part("stop")?.addEventListener("click", () => running?.abort());
