"use strict";
// What pages do if scripts run: they change while a form is filled in, wells can be
// clicked, and the progress of a run is updated. Without scripts, forms do the same.

document.documentElement.classList.add("scripts");

// Replace a part of the page by the same part of a received page.
function replacePart(id, text) {
  const part = new DOMParser().parseFromString(text, "text/html").getElementById(id);
  const oldPart = document.getElementById(id);
  if (!part || !oldPart || part.outerHTML === oldPart.outerHTML) return part;
  const focused = document.activeElement && document.activeElement.id;
  oldPart.replaceWith(part);
  // Keep the keyboard focus where it was.
  const refocused = focused && document.getElementById(focused);
  if (refocused && part.contains(refocused)) refocused.focus();
  showScrolledLogs();
  return part;
}

// Forms that change a part of the page while they are filled in.
for (const form of document.querySelectorAll("form[data-live]")) {
  let timer = 0;
  let request = null;

  async function send() {
    if (request) request.abort();
    request = new AbortController();
    const part = document.getElementById(form.dataset.live);
    part.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.getAttribute("action"), {
        method: "POST",
        body: new URLSearchParams(new FormData(form)),
        signal: request.signal,
      });
      replacePart(form.dataset.live, await answer.text());
    } catch (error) {
      if (error.name !== "AbortError") showClosed();
    }
  }

  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(send, 350);
  });
  // Send what was typed before this script ran, or restored by the browser.
  const inputs = [...form.querySelectorAll("input")];
  if (inputs.some((input) => input.value !== input.defaultValue)) send();
}

function showClosed() {
  if (document.getElementById("closed")) return;
  const note = document.createElement("div");
  note.id = "closed";
  note.className = "caution";
  note.setAttribute("role", "alert");
  const text = document.createElement("p");
  text.textContent =
    "The app was closed in its terminal. A run that was started goes on: start stratonet app again and open the folder of the run.";
  note.append(text);
  document.querySelector("h1").after(note);
}

// The page of a run, which is updated while the run is at work.
function showScrolledLogs() {
  for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
}

async function watch() {
  const part = document.querySelector("[data-refresh]");
  if (!part) return;
  try {
    const answer = await fetch(location.href);
    replacePart(part.id, await answer.text());
  } catch {
    showClosed();
    return;
  }
  setTimeout(watch, Number(part.dataset.refresh));
}
showScrolledLogs();
watch();

// Buttons that copy a command.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    // If the browser does not let pages copy, select the command for the reader to copy.
    getSelection().selectAllChildren(code);
  }
});

// The plate: clicking wells writes the controls into two fields.
const plate = document.querySelector(".plate");
if (plate) {
  const ROLES = ["negative", "positive"];
  const WORDS = { negative: "negative control", positive: "positive control", "": "" };
  const wells = [...plate.querySelectorAll(".well")];
  const wellsByPosition = new Map(wells.map((well) => [well.dataset.position, well]));
  const roles = new Map(wells.map((well) => [well, ""]));
  const fields = Object.fromEntries(ROLES.map((role) => [role, document.getElementById(role)]));
  plate.classList.toggle("small", plate.rows[0].cells.length > 13);

  function getPosition(well) {
    return well.dataset.position.split(",").map(Number);
  }

  function showRoles() {
    for (const [well, role] of roles) {
      well.className = `well ${role}`;
      well.setAttribute("aria-label", [well.dataset.well, WORDS[role]].filter(Boolean).join(", "));
      well.setAttribute("aria-pressed", String(role !== ""));
    }
  }

  // Wells below each other are written as one range: A01:H01.
  function nameRanges(marked) {
    const ranges = [];
    for (const well of marked.sort((a, b) => getPosition(a)[1] - getPosition(b)[1] || getPosition(a)[0] - getPosition(b)[0])) {
      const last = ranges.at(-1);
      const [row, column] = last ? getPosition(last.at(-1)) : [];
      if (last && getPosition(well)[0] === row + 1 && getPosition(well)[1] === column) last.push(well);
      else ranges.push([well]);
    }
    return ranges.map((range) => [...new Set([range[0], range.at(-1)])].map((well) => well.dataset.well).join(":"));
  }

  function writeFields() {
    for (const role of ROLES) {
      const marked = wells.filter((well) => roles.get(well) === role);
      fields[role].value = nameRanges(marked).join(",");
    }
    showRoles();
  }

  // A1, a01 and A-01 are one well; AA is the row after Z.
  function parseWell(name) {
    const match = /^\s*([A-Za-z]{1,2})[ _-]?0*([1-9]\d*)\s*$/.exec(name);
    if (!match) return null;
    const letters = match[1].toUpperCase();
    const row = [...letters].reduce((sum, letter) => 26 * sum + letter.charCodeAt(0) - 64, 0);
    return [row - 1, Number(match[2]) - 1];
  }

  function readFields() {
    for (const well of wells) roles.set(well, "");
    for (const role of ROLES) {
      for (const part of fields[role].value.split(",")) {
        const corners = part.split(":").map(parseWell);
        if (corners.includes(null)) continue;
        const rows = corners.map((corner) => corner[0]);
        const columns = corners.map((corner) => corner[1]);
        for (const well of wells) {
          const [row, column] = getPosition(well);
          const inRows = Math.min(...rows) <= row && row <= Math.max(...rows);
          const inColumns = Math.min(...columns) <= column && column <= Math.max(...columns);
          if (inRows && inColumns) roles.set(well, role);
        }
      }
    }
    showRoles();
  }

  function assignRole(chosen, role) {
    // Clicking once more undoes it.
    const isRepeated = chosen.every((well) => roles.get(well) === role);
    for (const well of chosen) roles.set(well, isRepeated ? "" : role);
    writeFields();
  }

  function getBrush() {
    return document.querySelector("input[name=brush]:checked").value;
  }

  function focus(well) {
    for (const other of wells) other.tabIndex = other === well ? 0 : -1;
    well.focus();
  }

  // The next well in a direction, skipping gaps.
  function findNextWell(well, down, right) {
    let [row, column] = getPosition(well);
    for (let count = 0; count < 60; count += 1) {
      row += down;
      column += right;
      const next = wellsByPosition.get(`${row},${column}`);
      if (next) return next;
    }
    return well;
  }

  plate.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.well) {
      assignRole([button], getBrush());
      focus(button);
      return;
    }
    const index = button.dataset.row === undefined ? 1 : 0;
    const number = Number(index ? button.dataset.column : button.dataset.row);
    assignRole(wells.filter((well) => getPosition(well)[index] === number), getBrush());
  });

  const STEPS = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
  };
  const KEYS = { n: "negative", p: "positive", Delete: "", Backspace: "" };
  plate.addEventListener("keydown", (event) => {
    const well = event.target.closest(".well");
    if (!well || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (key in STEPS) focus(findNextWell(well, ...STEPS[key]));
    else if (key in KEYS) {
      roles.set(well, KEYS[key]);
      writeFields();
    } else return;
    event.preventDefault();
  });

  for (const role of ROLES) fields[role].addEventListener("input", readFields);
  if (wells.length) wells[0].tabIndex = 0;
  readFields();
}
