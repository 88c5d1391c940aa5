// Filters: nothing chosen is everything. Values come from the range that is shown, when a filter is opened.

import * as state from "./state.js";

const SEARCH_MS = 200;

export function start() {
  for (const menu of document.querySelectorAll(".choice")) prepare(menu);
  for (const select of document.querySelectorAll("[data-one]")) {
    select.addEventListener("change", () => {
      state.choose(select.dataset.one, select.value === select.dataset.default ? [] : [select.value]);
    });
  }
  document.getElementById("everything")?.addEventListener("click", () => {
    state.go((next) => [...next.keys()].filter((name) => name.startsWith("var-")).forEach((name) => next.delete(name)));
    document.querySelector(".choice summary")?.focus();
  });
  show();
}

/** Filters say what the address has. */
export function show() {
  let isAny = false;
  for (const menu of document.querySelectorAll(".choice")) {
    const values = state.values(menu.dataset.choice);
    isAny ||= values.length > 0;
    menu.classList.toggle("chosen", values.length > 0);
    menu.querySelector(".picked").textContent = values.length ? values[0] + (values.length > 1 ? ` +${values.length - 1}` : "") : "all";
  }
  for (const select of document.querySelectorAll("[data-one]")) {
    const [value] = state.values(select.dataset.one);
    isAny ||= value !== undefined;
    const wanted = value ?? select.dataset.default;
    if (![...select.options].some((option) => option.value === wanted)) select.add(new Option(wanted, wanted));
    select.value = wanted;
  }
  const unapplied = document.getElementById("unapplied");
  if (unapplied) {
    unapplied.hidden = !unapplied.dataset.names.split(" ").some((name) => state.values(name).length > 0);
    isAny ||= !unapplied.hidden;
  }
  const reset = document.getElementById("everything");
  if (reset) reset.hidden = !isAny;
}

function prepare(menu) {
  const name = menu.dataset.choice;
  const search = menu.querySelector("[type=search]");
  const options = menu.querySelector(".options");
  const hint = menu.querySelector(".hint");
  let ticked = new Set();
  let waiting = 0;
  let asked = 0;

  menu.addEventListener("toggle", () => {
    if (!menu.open) return;
    ticked = new Set(state.values(name));
    search.value = "";
    fill();
    search.focus();
  });
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(fill, SEARCH_MS);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const only = options.querySelector("input");
    if (search.value && only && ticked.size === 0) ticked.add(only.value);
    apply();
  });
  options.addEventListener("change", (event) => {
    if (event.target.checked) ticked.add(event.target.value);
    else ticked.delete(event.target.value);
  });
  menu.querySelector(".apply").addEventListener("click", apply);
  menu.querySelector(".all").addEventListener("click", () => {
    ticked = new Set();
    apply();
  });

  function apply() {
    menu.open = false;
    menu.querySelector("summary").focus();
    state.choose(name, [...ticked]);
  }

  async function fill() {
    asked += 1;
    const mine = asked;
    hint.textContent = "…";
    const sent = state.parts();
    sent.set("search", search.value);
    sent.set("now", String(Date.now()));
    try {
      const address = `/api/boards/${encodeURIComponent(state.own.board)}/choices/${encodeURIComponent(name)}?${state.written(sent)}`;
      const response = await fetch(address);
      const answer = await response.json();
      if (mine !== asked) return;
      if (!response.ok) { hint.textContent = answer.failure; return; }
      const absent = [...ticked].filter((value) => !answer.values.includes(value) && value.includes(search.value));
      options.replaceChildren(...[...absent, ...answer.values].map(option));
      const more = answer.count - answer.values.length;
      hint.textContent = answer.count === 0 ? "No such value in this range." : more > 0 ? `${more} more: search for them.` : "";
    } catch {
      if (mine === asked) hint.textContent = "The board's server does not answer.";
    }
  }

  function option(value) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = value;
    box.checked = ticked.has(value);
    label.append(box, ` ${value}`);
    return label;
  }
}
