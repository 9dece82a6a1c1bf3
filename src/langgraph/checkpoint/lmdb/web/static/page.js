// The page works without this script. With it, the page follows the store, lists fill while one
// scrolls, and the keyboard moves through lists and trees.
"use strict";

const SECOND = 1000;
const MOST = 500; // items of a list that fills by itself

let mark = null; // ETag of what is shown
let shown = new URL(location.href);
let failures = 0;

if (shown.searchParams.has("token")) { // keep the token out of the address bar and the history
  shown.searchParams.delete("token");
  history.replaceState(null, "", shown);
}

function parsed(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

// --- live: ask for the page again, and replace the regions that have changed

function wanted() {
  const url = new URL(location.href);
  for (const list of document.querySelectorAll("[data-grow]")) {
    const count = list.querySelectorAll("[data-row], [data-step]").length;
    if (count > Number(list.dataset.count)) url.searchParams.set(list.dataset.grow, count);
    if (Number(list.dataset.top)) url.searchParams.set("top", list.dataset.top);
  }
  return url;
}

async function refresh() {
  if (document.querySelector("[data-live]") === null) return;
  const address = location.href;
  const headers = mark ? { "If-None-Match": mark } : {};
  const response = await fetch(wanted(), { headers });
  if (response.status === 304) return;
  const found = parsed(await response.text());
  if (location.href !== address) return; // the user was faster
  mark = response.headers.get("ETag");
  replace(found);
}

function replace(found, regions = "[data-live]") {
  for (const region of document.querySelectorAll(regions)) {
    const next = found.getElementById(region.id);
    if (next === null) {
      location.reload();
    } else if (next.innerHTML !== region.source) {
      swap(region, next);
    }
  }
}

function swap(region, next) {
  const open = new Map([...region.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
  const focused = region.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  const before = new Set([...region.querySelectorAll("tr")].map((one) => one.textContent));
  const source = next.innerHTML;
  for (const one of next.querySelectorAll("details[id]")) {
    if (open.has(one.id)) one.open = open.get(one.id);
  }
  region.replaceChildren(...next.childNodes);
  for (const name of Object.keys(next.dataset)) region.dataset[name] = next.dataset[name];
  region.source = source;
  for (const row of region.querySelectorAll("tr")) {
    row.classList.toggle("fresh", !before.has(row.textContent));
  }
  if (focused !== null) {
    const again = [...region.querySelectorAll("a")].find((one) => one.getAttribute("href") === focused);
    if (again) again.focus({ preventScroll: true });
  }
  watchLists();
}

async function follow() {
  const begin = performance.now();
  try {
    if (!document.hidden) await refresh();
    failures = 0;
  } catch {
    failures += 1;
  }
  const status = document.getElementById("live");
  status.classList.toggle("lost", failures > 1);
  const text = failures > 1 ? "not connected" : "live";
  if (status.textContent !== text) status.textContent = text;
  // A store that takes long to read is asked less often.
  setTimeout(follow, Math.max(SECOND, 5 * (performance.now() - begin)));
}

// --- lists that fill: the next page is fetched when its link comes into sight

const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) grow(entry.target);
}, { rootMargin: "300px" });

function watchLists() {
  for (const more of document.querySelectorAll("[data-more]")) sight.observe(more);
}

async function grow(more) {
  const list = more.closest("[data-grow]");
  if (list.querySelectorAll("[data-row], [data-step]").length >= MOST) return;
  sight.unobserve(more);
  const response = await fetch(more.href);
  if (!response.ok || !more.isConnected) return;
  const found = parsed(await response.text()).getElementById(list.id);
  const known = new Set([...list.querySelectorAll("[data-row]")].map((one) => one.getAttribute("href")));
  for (const item of found.querySelector("[data-items]")?.children ?? []) {
    const row = item.querySelector("[data-row]");
    if (row === null || !known.has(row.getAttribute("href"))) {
      list.querySelector("[data-items]").append(document.importNode(item, true));
    }
  }
  const next = found.querySelector("[data-more]");
  if (next) more.href = next.getAttribute("href");
  if (next) more.textContent = next.textContent;
  if (next) sight.observe(more);
  else more.parentElement.remove();
  if (!next && list.querySelector("[data-row]") === null) list.append(...found.querySelectorAll(".empty"));
}

// --- the tree: a step opens beside it, without a new page

let opening = null;

async function openStep(step) {
  opening?.abort();
  opening = new AbortController();
  for (const one of document.querySelectorAll("[data-step][aria-current]")) one.removeAttribute("aria-current");
  step.setAttribute("aria-current", "true");
  step.focus({ preventScroll: true });
  step.scrollIntoView({ block: "nearest" });
  try {
    const response = await fetch(step.getAttribute("href"), { signal: opening.signal });
    const found = parsed(await response.text());
    if (found.getElementById("step") === null) return void location.assign(step.getAttribute("href"));
    history.pushState(null, "", step.getAttribute("href"));
    shown = new URL(location.href);
    mark = null;
    replace(found, "#step");
  } catch (error) {
    if (error.name !== "AbortError") location.assign(step.getAttribute("href"));
  }
}

function stepOf(id) {
  return id ? document.querySelector(`[data-step="${CSS.escape(id)}"]`) : null;
}

document.addEventListener("click", (event) => {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
  const go = event.target.closest("[data-go]");
  const step = go ? stepOf(go.dataset.go) : event.target.closest("[data-step]");
  if (step === null || !step.getAttribute("href").startsWith("/thread")) return;
  event.preventDefault();
  openStep(step);
});

window.addEventListener("popstate", () => {
  if (shown.pathname !== location.pathname) return void location.reload();
  shown = new URL(location.href);
  mark = null;
  refresh().catch(() => location.reload());
});

// --- the keyboard

function move(items, distance) {
  const list = [...items];
  const at = list.indexOf(document.activeElement.closest("[data-row], [data-step]"));
  const chosen = at < 0 ? list.findIndex((one) => one.hasAttribute("aria-current")) : at;
  return list[Math.min(Math.max(chosen + distance, 0), list.length - 1)];
}

const DISTANCES = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input, textarea, select")) return;
  const current = document.querySelector("[data-step][aria-current]");
  const onTree = document.activeElement.closest("[data-step]") || document.activeElement === document.body;
  let target = null;
  if (event.key === "/") target = document.getElementById("search");
  else if (event.key === "c") return void document.getElementById("compare-parent")?.click();
  else if (event.key in DISTANCES && document.querySelector("[data-step]") && onTree) {
    target = move(document.querySelectorAll("[data-step]"), DISTANCES[event.key]);
  } else if ("jk".includes(event.key) || document.activeElement.matches("[data-row]")) {
    if (event.key in DISTANCES) target = move(document.querySelectorAll("[data-row]"), DISTANCES[event.key]);
  }
  if (current && onTree && event.key === "ArrowLeft") target = stepOf(current.dataset.parent);
  if (current && onTree && event.key === "ArrowRight") target = stepOf(current.dataset.child);
  if (!target) return;
  event.preventDefault();
  if (target.matches("[data-step]") && target.getAttribute("href").startsWith("/thread")) openStep(target);
  else target.focus();
});

// --- plots of a large store: the page is there before they are

const slow = document.querySelector("[data-load]");
if (slow) {
  slow.textContent += " …";
  fetch(slow.href).then((response) => response.text()).then((text) => {
    document.getElementById("plots").replaceChildren(...parsed(text).getElementById("plots").childNodes);
  }).catch(() => {});
}

for (const region of document.querySelectorAll("[data-live]")) region.source = region.innerHTML;
document.querySelector("[data-step][aria-current]")?.scrollIntoView({ block: "nearest" });
watchLists();
setTimeout(follow, SECOND);
