"use strict";

// Sorting: missing values last, whichever the direction; equal ones keep their order.
function sort(header, direction) {
  const row = header.parentElement, body = row.closest("table").tBodies[0];
  const at = [...row.children].indexOf(header), numeric = header.firstChild.dataset.numeric === "1";
  const sign = direction === "ascending" ? 1 : -1;
  const keyed = [...body.rows].map((line) => [line.children[at].dataset.key, line]);
  const compare = numeric ? (a, b) => Number(a) - Number(b) : (a, b) => a.localeCompare(b, undefined, { numeric: true });
  keyed.sort(([a], [b]) => (a === "") - (b === "") || (a === "" ? 0 : sign * compare(a, b)));
  body.append(...keyed.map(([, line]) => line));
  for (const other of row.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", direction);
}

for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const header = button.parentElement, now = header.getAttribute("aria-sort");
    const other = { ascending: "descending", descending: "ascending" };
    sort(header, now ? other[now] : button.dataset.first);
  });
}

// Tooltips: one element, shown on focus and on hover, gone with Escape.
const tip = document.getElementById("tip");
let owner = null, leaving = 0;

function show(element) {
  clearTimeout(leaving);
  hide();
  owner = element;
  tip.textContent = element.dataset.tip;
  tip.hidden = false;
  element.setAttribute("aria-describedby", "tip");
  place();
}

function place() {
  const box = owner.getBoundingClientRect(), size = tip.getBoundingClientRect();
  const below = box.bottom + 6, above = box.top - size.height - 6;
  tip.style.top = `${below + size.height < innerHeight || above < 0 ? below : above}px`;
  tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - size.width - 8))}px`;
}

function hide() {
  if (owner) owner.removeAttribute("aria-describedby");
  owner = null;
  tip.hidden = true;
}

const later = () => { leaving = setTimeout(hide, 200); };
document.addEventListener("mouseover", (event) => {
  if (tip.contains(event.target)) return clearTimeout(leaving);
  const element = event.target.closest?.("[data-tip]");
  if (element) { if (element !== owner) show(element); else clearTimeout(leaving); } else if (owner && owner !== document.activeElement) later();
});
document.addEventListener("focusin", (event) => { if (event.target.dataset.tip) show(event.target); else hide(); });
document.addEventListener("focusout", hide);
document.addEventListener("scroll", () => { if (owner && owner === document.activeElement) place(); else hide(); }, true);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

// Cells with a tooltip: one stop of the Tab key for each table, arrow keys from there.
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
for (const table of document.querySelectorAll("table")) {
  const first = table.querySelector("td[data-tip]");
  if (first) first.tabIndex = 0;
  table.addEventListener("keydown", (event) => {
    const step = STEPS[event.key], from = event.target;
    if (!step || from.tagName !== "TD") return;
    event.preventDefault();
    const rows = [...table.tBodies[0].rows];
    let line = rows.indexOf(from.parentElement), at = from.cellIndex, next;
    do {
      line += step[0];
      at += step[1];
      next = rows[line]?.children[at];
    } while (next && !next.dataset.tip);
    if (!next) return;
    table.querySelector("td[tabindex='0']").tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
}

// Theme: what the system says, until the reader says otherwise.
const theme = document.getElementById("theme"), system = matchMedia("(prefers-color-scheme: dark)");
const dark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
const label = () => { theme.textContent = `Mode: ${dark() ? "dark" : "light"}`; };
theme.hidden = false;
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  label();
});
system.addEventListener("change", label);
label();

// Tables that are wider than the page say that there is more.
for (const frame of document.querySelectorAll(".frame")) {
  const inside = frame.firstElementChild;
  const more = () => {
    const left = inside.scrollLeft > 1, right = inside.scrollLeft + inside.clientWidth < inside.scrollWidth - 1;
    frame.dataset.more = [left && "left", right && "right"].filter(Boolean).join(" ");
  };
  inside.addEventListener("scroll", more);
  new ResizeObserver(more).observe(inside);
}

// On paper nothing can be opened.
addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
