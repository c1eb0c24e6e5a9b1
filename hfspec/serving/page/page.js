"use strict";

const EVERY = 2000; // milliseconds between two looks at the meters
const KEPT = 45; // points of a plot
const SVG = "http://www.w3.org/2000/svg";
const OF_PAGE = new Set(["model", "outputs"]);

function made(name, text, kind) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
}

function shown(section, name) {
  return section.querySelector(`[data-show="${name}"]`);
}

/* The request that a form is. */

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result).split(",", 2)[1] || "");
    reader.onerror = () => reject(new Error(`${file.name} cannot be read`));
    reader.readAsDataURL(file);
  });
}

function typed(text, kind, name, chats) {
  if (name === "messages" && chats && !text.trimStart().startsWith("[")) return [{ role: "user", content: text }];
  if (name === "documents" && !text.trimStart().startsWith("[")) return text.split("\n").filter((line) => line.trim());
  if (kind === "string" || kind === "binary") return text;
  try {
    return JSON.parse(text);
  } catch (error) {
    if (kind === "any") return text;
    throw new Error(`${name}: “${text}” is not what is wanted here`);
  }
}

async function body(form, chats, reads) {
  const row = {};
  const params = {};
  for (const field of form.elements) {
    if (!field.name || OF_PAGE.has(field.name)) continue;
    const [kind, ...rest] = field.name.split(".");
    const name = rest.join(".");
    const target = kind === "row" ? row : params;
    if (field.type === "file") {
      if (field.files.length) target[name] = reads ? await base64(field.files[0]) : `<${field.files[0].name} in base64>`;
      else if (field.required) target[name] = "<a file in base64>";
    } else if (field.value !== "" || field.required) {
      target[name] = typed(field.value, field.dataset.type, name, chats);
    }
  }
  const names = Object.keys(row);
  const only = form.querySelectorAll('[name^="row."][required]').length === 1 && names.length === 1;
  const found = { inputs: only && names[0] !== "messages" ? row[names[0]] : row };
  if (Object.keys(params).length) found.params = params;
  const outputs = form.elements.outputs && form.elements.outputs.value;
  if (outputs) found.outputs = outputs;
  return found;
}

/* The same call for elsewhere. */

function python(value, indent = "") {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map((item) => python(item)).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([key, item]) => `${JSON.stringify(key)}: ${python(item)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

async function describe(section) {
  const form = section.querySelector("form");
  if (!form) return;
  let sent;
  try {
    sent = await body(form, section.hasAttribute("data-chat"), false);
  } catch (error) {
    return;
  }
  const address = `${location.origin}/models/${section.dataset.model}/predict`;
  const asks = section.hasAttribute("data-key");
  const quoted = JSON.stringify(sent).replaceAll("'", "'\\''");
  const curlKey = asks ? '  -H "Authorization: Bearer $HFSPEC_API_KEY" \\\n' : "";
  shown(section, "curl").textContent =
    `curl ${address} \\\n${curlKey}  -H 'Content-Type: application/json' \\\n  -d '${quoted}'`;
  const pythonKey = asks ? "    headers={\"Authorization\": f\"Bearer {os.environ['HFSPEC_API_KEY']}\"},\n" : "";
  shown(section, "python").textContent =
    `${asks ? "import os\n" : ""}import requests\n\nanswer = requests.post(\n    "${address}",\n${pythonKey}` +
    `    json=${python(sent)},\n)\nprint(answer.json()["predictions"])`;
}

/* Answers. */

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" && !Number.isInteger(value)) return value.toFixed(4);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function table(rows) {
  const names = Object.keys(rows[0]);
  const found = made("table");
  const head = found.createTHead().insertRow();
  for (const name of names) {
    const title = made("th", name);
    title.scope = "col";
    head.append(title);
  }
  const lines = found.createTBody();
  for (const row of rows.slice(0, 100)) {
    const line = lines.insertRow();
    for (const name of names) line.insertCell().textContent = cell(row[name]);
  }
  const around = made("div", undefined, "scroll");
  around.tabIndex = 0;
  around.append(found);
  return [around];
}

function code(value) {
  const found = made("pre");
  found.tabIndex = 0;
  found.append(made("code", typeof value === "string" ? value : JSON.stringify(value, null, 2)));
  return found;
}

function numbers(answer) {
  const shape = [];
  let inner = answer;
  let last = [answer];
  while (Array.isArray(inner) && inner.length) {
    shape.push(inner.length);
    last = inner;
    inner = inner[0];
  }
  if (typeof inner !== "number") return null;
  if (!shape.length) return [made("p", cell(answer), "text")];
  const begin = last.slice(0, 12).map(cell).join(", ") + (last.length > 12 ? ", …" : "");
  if (shape.length === 1 && shape[0] === 1) return [made("p", cell(last[0]), "text")];
  return [made("p", `${shape.join(" × ")} numbers`, "quiet"), code(`[${begin}]`)];
}

function rendered(answer) {
  if (typeof answer === "string") return [made("p", answer, "text")];
  if (Array.isArray(answer) && answer.length) {
    if (answer.every((item) => typeof item === "string")) return answer.map((item) => made("p", item, "text"));
    const flat = (item) => item && typeof item === "object" && !Array.isArray(item);
    const plain = (item) => Object.values(item).every((value) => value === null || typeof value !== "object");
    if (answer.every((item) => flat(item) && plain(item))) return table(answer);
  }
  return numbers(answer) || [code(answer)];
}

async function refusal(answer) {
  try {
    const said = await answer.json();
    return said.error.message || String(said.error);
  } catch (error) {
    return `the server answered ${answer.status}`;
  }
}

function post(address, sent) {
  const headers = { "Content-Type": "application/json" };
  return fetch(address, { method: "POST", headers, body: JSON.stringify(sent) });
}

async function predict(section, sent) {
  const answer = await post(`/models/${section.dataset.model}/predict`, sent);
  if (!answer.ok) throw new Error(await refusal(answer));
  return (await answer.json()).predictions;
}

/* A conversation, whose answers come word by word. */

async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    held += value;
    const parts = held.split("\n\n");
    held = parts.pop();
    for (const part of parts) {
      const text = part.replace(/^data: /, "");
      if (text === "[DONE]") return;
      yield JSON.parse(text);
    }
  }
}

function texts(answer) {
  if (typeof answer === "string") return answer;
  if (Array.isArray(answer)) return texts(answer[0]);
  return answer && answer.choices ? answer.choices[0].message.content : JSON.stringify(answer);
}

async function talk(section, sent, talked) {
  const said = sent.inputs.messages;
  const messages = said.length === 1 ? [...talked, ...said] : said;
  const list = shown(section, "talk");
  list.append(made("li", String(said[said.length - 1].content), "user"));
  const line = made("li", "", "assistant");
  list.append(line);
  line.setAttribute("aria-busy", "true");
  try {
    if (section.hasAttribute("data-streams")) {
      const asked = { ...sent.params, ...sent.inputs, model: section.dataset.model, messages, stream: true };
      const answer = await post("/v1/chat/completions", asked);
      if (!answer.ok) throw new Error(await refusal(answer));
      for await (const event of events(answer)) {
        if (event.error) throw new Error(event.error.message);
        const [choice] = event.choices;
        if (choice && choice.delta.content) line.textContent += choice.delta.content;
      }
    } else {
      line.textContent = texts(await predict(section, { ...sent, inputs: { ...sent.inputs, messages } }));
    }
    talked.splice(0, talked.length, ...messages, { role: "assistant", content: line.textContent });
  } catch (error) {
    line.remove();
    throw error;
  } finally {
    line.removeAttribute("aria-busy");
  }
}

function tries(section) {
  const form = section.querySelector("form");
  if (!form) return;
  const button = form.querySelector("button");
  const answer = shown(section, "answer");
  const spent = shown(section, "spent");
  const talked = [];
  form.addEventListener("input", () => describe(section));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    spent.textContent = "…";
    const begun = performance.now();
    answer.replaceChildren();
    try {
      const sent = await body(form, section.hasAttribute("data-chat"), true);
      if (section.hasAttribute("data-chat")) {
        await talk(section, sent, talked);
        form.elements["row.messages"].value = "";
      } else {
        answer.replaceChildren(...rendered(await predict(section, sent)));
      }
      spent.textContent = `${Math.round(performance.now() - begun)} ms`;
    } catch (error) {
      const line = made("p", error.message, "error");
      line.setAttribute("role", "alert");
      answer.replaceChildren(line);
      spent.textContent = "";
    } finally {
      button.disabled = false;
    }
  });
  const message = section.hasAttribute("data-chat") && form.elements["row.messages"];
  if (message) {
    message.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!button.disabled) form.requestSubmit();
    });
  }
  describe(section);
}

function copies(button) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
}

/* Plots. */

function quantile(counts, bounds, share) {
  const all = counts[counts.length - 1];
  if (!all) return null;
  const wanted = share * all;
  const place = counts.findIndex((count) => count >= wanted);
  if (place >= bounds.length) return bounds[bounds.length - 1];
  const below = place ? counts[place - 1] : 0;
  const low = place ? bounds[place - 1] : 0;
  const inside = counts[place] - below;
  return low + (inside ? (wanted - below) / inside : 1) * (bounds[place] - low);
}

function line(points, most, kind) {
  const found = document.createElementNS(SVG, "polyline");
  const step = 100 / (KEPT - 1);
  const first = KEPT - points.length;
  const placed = points
    .map((value, place) => (value === null ? null : `${((first + place) * step).toFixed(2)},${(32 - (30 * value) / most).toFixed(2)}`))
    .filter((point) => point !== null);
  if (placed.length === 1) placed.push(placed[0]); // a line without length is drawn as a dot
  found.setAttribute("points", placed.join(" "));
  if (kind) found.setAttribute("class", kind);
  return found;
}

function draw(plot, text, ...series) {
  plot.querySelector("b").textContent = text;
  let svg = plot.querySelector("svg");
  if (!svg) {
    svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "0 0 100 34");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    plot.append(svg);
  }
  const ground = document.createElementNS(SVG, "line");
  for (const [name, value] of Object.entries({ x1: 0, x2: 100, y1: 33, y2: 33 })) ground.setAttribute(name, value);
  const most = Math.max(1e-9, ...series.flat().filter((value) => value !== null));
  svg.replaceChildren(ground, ...series.map((points, place) => line(points, most, place ? "second" : "")));
}

function short(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(1)} k`;
  return value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(1);
}

function milliseconds(seconds) {
  if (seconds === null) return "–";
  return seconds >= 1 ? `${seconds.toFixed(1)} s` : `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
}

function keep(points, value) {
  points.push(value);
  if (points.length > KEPT) points.shift();
}

function last(points) {
  for (let place = points.length - 1; place >= 0; place -= 1) if (points[place] !== null) return points[place];
  return null;
}

const HISTORY = new Map();

function drawn(section, now, before, bounds, seconds) {
  const name = section.dataset.model;
  if (!HISTORY.has(name)) HISTORY.set(name, { rate: [], median: [], high: [], tokens: [] });
  const points = HISTORY.get(name);
  const since = now.latency.map((count, place) => count - before.latency[place]);
  keep(points.rate, (now.requests - before.requests) / seconds);
  keep(points.tokens, (now.tokens - before.tokens) / seconds);
  keep(points.median, quantile(since, bounds, 0.5));
  keep(points.high, quantile(since, bounds, 0.95));
  const plot = (kind) => section.querySelector(`[data-plot="${kind}"]`);
  draw(plot("rate"), short(last(points.rate)), points.rate);
  draw(plot("tokens"), short(last(points.tokens)), points.tokens);
  const [middle, high] = [last(points.median), last(points.high)];
  draw(plot("latency"), middle === null ? "–" : `${milliseconds(middle)} · ${milliseconds(high)}`, points.median, points.high);
  section.querySelector(".plots").hidden = false;
}

async function watch(sections) {
  let before = null;
  for (;;) {
    if (!document.hidden) {
      try {
        const answer = await fetch("/stats");
        const now = await answer.json();
        for (const section of sections) {
          const name = section.dataset.model;
          const model = now.models && now.models[name];
          if (!model) continue;
          const state = shown(section, "state");
          state.textContent = model.queue ? `${model.state}, ${model.queue} waiting` : model.state;
          state.className = `state ${model.state}`;
          const earlier = before && before.models[name];
          if (earlier) drawn(section, model, earlier, now.bounds, now.at - before.at);
        }
        before = now;
      } catch (error) {
        before = null;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY));
  }
}

const sections = [...document.querySelectorAll("[data-model]")];
sections.forEach(tries);
document.querySelectorAll("[data-copy]").forEach(copies);
watch(sections);
