// Panels are asked for one by one, those in sight first, and drawn when they come near; a failure is a sentence in its place.

import * as state from "./state.js";

const AT_ONCE = 4;
const AGAIN_MS = 5_000;
const NEAR = "600px";

const panels = new Map();
const isNear = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const panel = panels.get(entry.target);
    panel.isNear = entry.isIntersecting;
    if (panel.isNear && panel.pending) drawLater(panel, panel.pending);
  }
  pump();
}, { rootMargin: NEAR });

let asking = 0;
let round = 0;
let now = Date.now();
let isEager = true;
let isDragging = false;
let again = 0;
let told = () => {};

/** Whether a live page had better wait: somebody drags, or the last answers are not there yet. */
export const isBusy = () => isDragging || asking > 0 || document.querySelector("details[open]") !== null;

export function start(onRound) {
  told = onRound;
  setTimeout(() => vega().catch(() => {}));
  for (const element of document.querySelectorAll(".panel")) {
    const panel = { element, number: element.dataset.number, isStale: true, isNear: false, isTable: false, view: null };
    panels.set(element, panel);
    const button = element.querySelector(".as-table");
    button?.addEventListener("click", () => toggle(panel, button));
    isNear.observe(element);
  }
}

/** Asks for all panels anew: all of them where `isAll`, otherwise others than those in sight once they are. */
export function ask({ isAll = true } = {}) {
  round += 1;
  now = Date.now();
  isEager = isAll;
  for (const panel of panels.values()) {
    panel.isStale = true;
    if (isAll) {
      panel.abort?.abort();
      panel.element.querySelector(".body").setAttribute("aria-busy", "true");
    }
  }
  pump();
}

/** The panel as a table, or as it was. */
export function toggleTable(element) {
  const button = element?.querySelector(".as-table");
  if (button) toggle(panels.get(element), button);
}

function toggle(panel, button) {
  panel.isTable = !panel.isTable;
  button.setAttribute("aria-pressed", String(panel.isTable));
  panel.isStale = true;
  panel.abort?.abort();
  pump();
}

function pump() {
  while (asking < AT_ONCE) {
    const waiting = [...panels.values()].filter((panel) => panel.isStale);
    const next = waiting.find((panel) => panel.isNear) || (isEager ? waiting[0] : undefined);
    if (!next) break;
    next.isStale = false;
    asking += 1;
    load(next, round).finally(() => {
      asking -= 1;
      pump();
    });
  }
  if (asking === 0 && ![...panels.values()].some((panel) => panel.isStale && (isEager || panel.isNear))) {
    told({ round, now, failed: [...panels.values()].filter((panel) => panel.failure).length, count: panels.size });
  }
}

async function load(panel, asked) {
  panel.abort = new AbortController();
  const search = state.parts();
  search.set("now", String(now));
  if (panel.isTable) search.set("as", "table");
  try {
    const address = `/api/boards/${encodeURIComponent(state.own.board)}/panels/${panel.number}?${state.written(search)}`;
    const response = await fetch(address, { signal: panel.abort.signal, headers: { Accept: "application/json" } });
    const answer = await response.json();
    if (asked !== round && panel.isStale) return;
    panel.failure = response.ok ? "" : answer.failure;
    if (response.status === 503 || response.status === 429) retry(panel, answer.failure, response.status === 503);
    else banner("");
    if (response.ok) {
      fill(panel, answer);
      if (answer.spec && panel.isNear) drawLater(panel, answer);
    } else if (response.status !== 429) fail(panel, answer.failure);
  } catch (error) {
    if (error.name === "AbortError") return;
    panel.failure = "The board's server does not answer: start `turnwatch board` again.";
    fail(panel, panel.failure);
    retry(panel, panel.failure, true);
  }
}

/** What time heals is asked again, whether the page is live or not. */
function retry(panel, sentence, isTold) {
  if (isTold) banner(`${sentence} Trying again …`);
  panel.isRetried = true;
  clearTimeout(again);
  again = setTimeout(() => {
    for (const each of panels.values()) {
      if (each.isRetried) { each.isRetried = false; each.isStale = true; }
    }
    pump();
  }, AGAIN_MS);
}

export function banner(sentence) {
  const element = document.getElementById("banner");
  if (element.textContent === sentence) return;
  element.textContent = sentence;
  element.hidden = !sentence;
}

function fail(panel, sentence) {
  const body = panel.element.querySelector(".body");
  panel.view?.finalize();
  panel.view = panel.pending = null;
  const said = document.createElement("p");
  said.className = "failure";
  said.textContent = sentence;
  body.replaceChildren(said);
  body.setAttribute("aria-busy", "false");
}

/** All that is said; a chart is drawn once its panel is near, and has its room, name and figures until then. */
function fill(panel, answer) {
  const body = panel.element.querySelector(".body");
  panel.element.querySelector("h3").textContent = answer.title;
  // All HTML of an answer was escaped by the server; the page's policy forbids inline scripts besides.
  const below = document.createElement("div");
  below.className = "scrolls";
  below.innerHTML = answer.html;
  reachable(below, answer.title);
  const said = [below];
  if (answer.note) {
    const note = document.createElement("p");
    note.className = "hint";
    note.textContent = answer.note;
    said.push(note);
  }
  panel.pending = answer.spec ? answer : null;
  if (answer.spec) {
    const chart = body.querySelector(".chart") || document.createElement("div");
    chart.className = "chart";
    chart.style.minHeight = `${answer.spec.height + 8}px`;
    named(chart, answer.summary);
    said.unshift(chart);
  } else {
    panel.view?.finalize();
    panel.view = null;
  }
  body.replaceChildren(...said);
  if (!answer.spec || !panel.isNear) body.setAttribute("aria-busy", "false");
}

/** One after the other, and in between the page answers its reader. */
let drawing = Promise.resolve();
function drawLater(panel, answer) {
  drawing = drawing.then(async () => {
    if (panel.pending === answer) await draw(panel, answer);
    await new Promise((resolve) => { setTimeout(resolve); });
  });
}

async function draw(panel, answer) {
  panel.pending = null;
  const body = panel.element.querySelector(".body");
  const chart = body.querySelector(".chart");
  try {
    const { vegaEmbed } = await vega();
    if (!chart?.isConnected) return;
    panel.view?.finalize();
    panel.view = await vegaEmbed(chart, answer.spec, {
      mode: "vega-lite", renderer: "svg", actions: false, ast: true, logLevel: 1, defaultStyle: false,
      tooltip: { disableDefaultStyle: true, theme: "custom" },
    });
    named(chart, answer.summary);
    drag(chart, panel);
    body.setAttribute("aria-busy", "false");
  } catch (error) {
    console.error(error);
    fail(panel, "This chart cannot be drawn here; its table can be shown.");
  }
}

/** To screen readers a chart is a picture with its summary; the table below it has the figures. Vega says otherwise. */
function named(chart, summary) {
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", summary);
  chart.removeAttribute("aria-roledescription");
  chart.querySelector("svg")?.setAttribute("aria-hidden", "true");
}

/** What scrolls can be scrolled by keys. */
function reachable(element, title) {
  requestAnimationFrame(() => {
    if (element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1) {
      element.tabIndex = 0;
      element.setAttribute("role", "region");
      element.setAttribute("aria-label", `${title}: table`);
    }
  });
}

/** Dragging over a chart sets the range, once the pointer is released. */
function drag(chart, panel) {
  if (chart.dataset.drags) return;
  chart.dataset.drags = "yes";
  chart.addEventListener("pointerdown", () => {
    isDragging = true;
    addEventListener("pointerup", () => setTimeout(() => {
      isDragging = false;
      const range = Object.values(brushed(panel.view?.view))[0];
      if (!range) return;
      const [from, to] = [Math.min(...range), Math.max(...range)].map((ms) => Math.round(ms / 1000) * 1000);
      if (to - from >= 10_000) state.setRange(from, to);
    }, 50), { once: true });
  });
}

function brushed(view) {
  try { return view?.signal("brush") || {}; } catch { return {}; }
}

/** Vega comes with the first chart. As a module its names stay its own. */
let loading = null;
function vega() {
  loading ??= import(state.own.vega).then(() => window, (error) => { loading = null; throw error; });
  return loading;
}
