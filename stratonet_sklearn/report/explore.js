"use strict";
// Interactive figures, tables and pictures: readers look at wells, filter them by
// treatment, mark and copy them. Without scripts the page shows the same: figures are
// pictures, and tables keep their order.

// Data of the wells, and the choices of the reader.
const explore = {
  ...JSON.parse(document.getElementById("explore-data").textContent),
  current: null, // number of the well that the reader looks at
  facts: [], // its values in the figure: pairs of name and value
  treatment: "", // the treatment that is shown; "" for all
  marked: new Set(), // numbers of wells
  listeners: [],
};
document.documentElement.classList.add("scripts");

function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

function change(values) {
  Object.assign(explore, values);
  for (const listener of explore.listeners) listener(values);
}

function nameWell(number) {
  const { plate, well } = explore.wells;
  return `${plate[number]} ${well[number]}`;
}

function toggleMark(number) {
  const { marked } = explore;
  if (!marked.delete(number)) marked.add(number);
  change({ marked });
}

function markAll(numbers) {
  change({ marked: new Set([...explore.marked, ...numbers]) });
}

// Lines for a spreadsheet: plate, well and treatment of each marked well.
function listMarked() {
  const { plate, well, treatment } = explore.wells;
  const numbers = [...explore.marked].sort((a, b) => a - b);
  return numbers.map((n) => [plate[n], well[n], treatment[n]].join("\t")).join("\n");
}

const PICTURES = new Map(
  [...document.querySelectorAll(".gallery figure")].map((figure) => [
    Number(figure.id.replace("well-", "")),
    figure.querySelector("img"),
  ])
);

function getPicture(number) {
  return PICTURES.get(number);
}

// A negative control with a picture, of the same plate if there is one.
function findControl(number) {
  const { plate, negative } = explore.wells;
  const controls = [...PICTURES.keys()].filter((n) => negative[n] && n !== number);
  const onPlate = controls.find((n) => plate[n] === plate[number]);
  return onPlate === undefined ? controls[0] : onPlate;
}

function showPicture(number, words) {
  const picture = getPicture(number);
  if (!picture) return "";
  const image = make("img", { src: picture.src, alt: `${nameWell(number)}, ${words}` });
  return make("figure", {}, image, make("figcaption", {}, words));
}

// The pane beside a figure: the current well, and the marked wells.
function makePane() {
  const well = make("div", { className: "pane-well" });
  const count = make("p", { role: "status" });
  const list = make("textarea", { readOnly: true, rows: 4, "aria-label": "Marked wells" });
  const mark = make("button", { type: "button" }, "Mark");
  const copy = make("button", { type: "button" }, "Copy");
  const clear = make("button", { type: "button" }, "Clear");
  mark.onclick = () => explore.current !== null && toggleMark(explore.current);
  clear.onclick = () => change({ marked: new Set() });
  copy.onclick = async () => {
    const copied = await copyText(list);
    count.textContent = copied
      ? `${countMarked()} copied.`
      : "The browser does not let pages copy text. Copy the selected lines yourself.";
  };
  function countMarked() {
    const n = explore.marked.size;
    return n === 1 ? "1 marked well" : `${n} marked wells`;
  }
  function update() {
    well.replaceChildren(...describeCurrent());
    mark.disabled = explore.current === null;
    mark.textContent = explore.marked.has(explore.current) ? "Unmark" : "Mark";
    copy.disabled = clear.disabled = !explore.marked.size;
    list.hidden = !explore.marked.size;
    list.value = listMarked();
    count.textContent = `${countMarked()}.`;
  }
  explore.listeners.push(update);
  update();
  const buttons = make("div", { className: "buttons" }, mark, copy, clear);
  return make("aside", { className: "pane" }, well, count, buttons, list);
}

function describeCurrent() {
  const number = explore.current;
  if (number === null) return [make("p", {}, "Point at a well, or use the arrow keys.")];
  const negative = explore.wells.negative[number];
  const control = negative ? undefined : findControl(number);
  const parts = [
    make("p", { className: "pane-name" }, nameWell(number)),
    make("p", {}, explore.wells.treatment[number] || "no treatment"),
  ];
  const picture = showPicture(number, negative ? "this control" : "this well");
  const controlPicture = control === undefined ? "" : showPicture(control, "a control");
  if (picture) parts.push(make("div", { className: "pictures" }, picture, controlPicture));
  if (picture) parts.push(make("p", { className: "key" }, explore.key));
  const facts = explore.facts.map(([name, value]) => make("li", {}, `${name}: ${value}`));
  if (facts.length) parts.push(make("ul", {}, ...facts));
  return parts;
}

async function copyText(area) {
  try {
    await navigator.clipboard.writeText(area.value);
    return true;
  } catch (error) {
    // Not every browser lets a page opened from a file write to the clipboard.
    area.select();
    return document.execCommand("copy");
  }
}

// A list of values to choose from, and its label.
function makeChoice(label, values, onChoose) {
  const options = values.map(([value, words]) => make("option", { value }, words));
  const select = make("select", {}, ...options);
  select.onchange = () => onChoose(select.value);
  return [make("label", {}, `${label} `, select), select];
}

function listTreatments() {
  const names = [...new Set(explore.wells.treatment)].filter((name) => name);
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  return names.sort(compare);
}

function makeTreatmentChoice() {
  const names = listTreatments().map((name) => [name, name]);
  const values = [["", "all"], ...names];
  const choose = (treatment) => change({ treatment });
  const [label, select] = makeChoice("Treatment", values, choose);
  select.className = "treatments";
  explore.listeners.push(() => {
    select.value = explore.treatment;
  });
  return label;
}

// Tables: a click on a heading sorts, a click on a treatment shows its wells.
const NUMBER = /^[-+\u2212]?[\d.,]+(?:e[-+]?\d+)?/i;

function readNumber(text) {
  const match = text.trim().replace(/^[<>=~≤≥ ]+/, "").match(NUMBER);
  const value = match && Number(match[0].replace(/,/g, "").replace("\u2212", "-"));
  return match && !Number.isNaN(value) ? value : null;
}

function sortTable(table, column, ascending) {
  const rows = [...table.tBodies[0].rows];
  const texts = rows.map((row) => row.cells[column].textContent);
  const numbers = texts.map(readNumber);
  // Some cells of a column of numbers may say why there is no number.
  const isNumeric = 2 * numbers.filter((value) => value !== null).length > rows.length;
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  const order = [...rows.keys()].sort((a, b) => {
    // Cells without a number come last, in either order.
    if (isNumeric && (numbers[a] === null || numbers[b] === null))
      return (numbers[a] === null) - (numbers[b] === null);
    const sign = isNumeric ? numbers[a] - numbers[b] : compare(texts[a], texts[b]);
    return ascending ? sign : -sign;
  });
  table.tBodies[0].append(...order.map((i) => rows[i]));
}

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    // Pictures have no order.
    if (heading.className === "thumbnails") return;
    const button = make("button", { type: "button" }, heading.textContent);
    heading.replaceChildren(button);
    button.onclick = () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortTable(table, column, ascending);
    };
  });
}

// The name of a treatment in tables, which may lack the role of its wells.
function cutRole(name) {
  return name.trim().replace(/ \((negative|positive) control\)$/, "");
}

// Turn cells that name a treatment into buttons that show its wells below the table.
function linkTreatments(table) {
  const treatments = new Map(listTreatments().map((name) => [cutRole(name), name]));
  const cells = [...table.tBodies[0].rows].flatMap((row) => [...row.cells]);
  const treatmentCells = cells.filter((cell) => treatments.has(cutRole(cell.textContent)));
  if (!treatmentCells.length) return;
  const pictures = make("div", { className: "pictures", "aria-live": "polite" });
  table.parentElement.after(pictures);
  for (const cell of treatmentCells) {
    const words = cell.textContent.trim();
    const name = treatments.get(cutRole(words));
    const button = make("button", { type: "button", "aria-pressed": "false" }, words);
    button.onclick = () => {
      change({ treatment: explore.treatment === name ? "" : name });
    };
    cell.replaceChildren(button);
    explore.listeners.push(() => {
      button.setAttribute("aria-pressed", String(explore.treatment === name));
    });
  }
  explore.listeners.push((values) => {
    if ("treatment" in values) pictures.replaceChildren(...showTreatment());
  });
}

const MOST_SHOWN = 8;

function showTreatment() {
  const { treatment, well, plate } = explore.wells;
  const numbers = [...well.keys()].filter(
    (n) => treatment[n] === explore.treatment && explore.treatment
  );
  if (!numbers.length) return [];
  const shown = numbers.filter(getPicture).slice(0, MOST_SHOWN);
  const control = findControl(numbers[0]);
  const pictures = shown.map((n) => showPicture(n, nameWell(n)));
  if (shown.length && control !== undefined)
    pictures.push(showPicture(control, `control, ${nameWell(control)}`));
  const words = numbers.map((n) => `${plate[n]} ${well[n]}`).join(", ");
  const mark = make("button", { type: "button" }, `Mark all ${numbers.length}`);
  mark.onclick = () => markAll(numbers);
  return [...pictures, make("p", {}, `${explore.treatment}: ${words}. `, mark)];
}

// Pictures of wells can be marked, too, and follow the choice of a treatment.
function linkPictures() {
  for (const [number, image] of PICTURES) {
    const figure = image.parentElement;
    figure.tabIndex = 0;
    figure.setAttribute("role", "button");
    figure.onclick = () => toggleMark(number);
    figure.onkeydown = (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      toggleMark(number);
    };
    explore.listeners.push((values) => {
      // Movements of the mouse change neither.
      if (!("marked" in values || "treatment" in values)) return;
      const { marked, treatment } = explore;
      figure.setAttribute("aria-pressed", String(marked.has(number)));
      figure.hidden = treatment !== "" && explore.wells.treatment[number] !== treatment;
    });
  }
  const gallery = document.querySelector(".gallery");
  if (gallery) gallery.before(makePane());
}

// The link of a picture leads to a file beside the page. A page sent alone lacks that
// file, so open the picture in the page instead.
function openPictures() {
  for (const link of document.querySelectorAll("a.picture")) {
    link.onclick = (event) => {
      event.preventDefault();
      const [head, body] = link.querySelector("img").src.split(",");
      const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
      const type = head.slice(5).split(";")[0];
      open(URL.createObjectURL(new Blob([bytes], { type })), "_blank");
    };
  }
}

for (const table of document.querySelectorAll("table")) {
  linkTreatments(table);
  if (table.tBodies[0].rows.length > 1) makeSortable(table);
}
linkPictures();
openPictures();
