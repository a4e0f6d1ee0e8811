"use strict";
// Figures of wells that readers can explore, drawn by plotly.js in place of their
// pictures where there is room. Data and choices come from explore.js.

const COLORS = [
  "#0072B2",
  "#E69F00",
  "#009E73",
  "#D55E00",
  "#56B4E9",
  "#CC79A7",
  "#F0E442",
  "#8c8c8c",
];
const MARKS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x"];
const MOST_NAMED = 20; // more values get a scale instead of a key
const DIM = 0.12; // opacity of the wells of other treatments
const wide = matchMedia("(min-width: 600px)");
const dark = matchMedia("(prefers-color-scheme: dark)");

function readColor(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

async function loadLibrary() {
  const packed = document.getElementById("library").textContent;
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const code = await new Response(stream).text();
  document.head.append(make("script", { textContent: code }));
}

// Wells that the page does not list come as plate and well: give them numbers, too.
function numberWells(figure) {
  const { plate, well, treatment, negative } = explore.wells;
  figure.well = figure.well.map((numberOrName) => {
    if (!Array.isArray(numberOrName)) return numberOrName;
    treatment.push("");
    negative.push(false);
    plate.push(numberOrName[0]);
    return well.push(numberOrName[1]) - 1;
  });
}

// Everything that can colour the rows of a figure, by its name in the list.
function listColors(figure) {
  const colors = { ...figure.colors };
  const { plate, treatment } = explore.wells;
  const treatments = figure.well.map((n) => treatment[n] || "none");
  const plates = figure.well.map((n) => plate[n]);
  if (new Set(treatments).size > 1) colors.treatment = treatments;
  if (!figure.shape && new Set(plates).size > 1) colors.plate = plates;
  if (!Object.keys(colors).length) colors.wells = figure.well.map(() => "well");
  return colors;
}

function describeRow(figure, row) {
  const colors = Object.entries(figure.colors);
  return colors.map(([name, values]) => [name, values[row] === null ? "none" : values[row]]);
}

function isNumeric(values) {
  return values.every((value) => value === null || typeof value === "number");
}

function chooseMarker(figure, rows, size) {
  const { treatment } = explore;
  const names = explore.wells.treatment;
  const isDim = (row) => treatment && names[figure.well[row]] !== treatment;
  return {
    size,
    opacity: rows.map((row) => (isDim(row) ? DIM : 1)),
    line: { width: 0.5, color: readColor("--paper") },
  };
}

function makeTrace(figure, rows, more) {
  const { plate, well, treatment } = explore.wells;
  return {
    type: "scatter",
    mode: "markers",
    x: rows.map((row) => figure.x[row]),
    y: rows.map((row) => figure.y[row]),
    customdata: rows,
    text: rows.map((row) => {
      const n = figure.well[row];
      return `${plate[n]} ${well[n]}<br>${treatment[n] || "no treatment"}`;
    }),
    hovertemplate: "%{text}<extra></extra>",
    showlegend: false,
    ...more,
  };
}

// One trace with a colour scale, or one trace per value, each with its own mark.
function makeTraces(figure, rows, values, size, width) {
  const distinct = [...new Set(rows.map((row) => values[row]))];
  if (isNumeric(values) || distinct.length > MOST_NAMED) {
    const order = new Map(distinct.sort().map((value, index) => [value, index]));
    const marker = chooseMarker(figure, rows, size);
    const number = (value) => (isNumeric(values) ? value : order.get(value));
    marker.color = rows.map((row) => number(values[row]));
    marker.colorscale = "Viridis";
    if (isNumeric(values) && figure.scale) [marker.cmin, marker.cmax] = figure.scale;
    marker.symbol = figure.shape ? "square" : "circle";
    marker.colorbar = { thickness: 10, len: 0.7, ...placeKey(figure, width) };
    if (!isNumeric(values)) marker.colorbar.title = { text: `${distinct.length}, by name` };
    return [makeTrace(figure, rows, { marker })];
  }
  const collator = new Intl.Collator("en", { numeric: true });
  return distinct.sort(collator.compare).map((value, index) => {
    const chosen = rows.filter((row) => values[row] === value);
    const marker = chooseMarker(figure, chosen, size);
    marker.color = COLORS[index % COLORS.length];
    marker.symbol = MARKS[index % MARKS.length];
    return makeTrace(figure, chosen, { marker, name: value || "none", showlegend: true });
  });
}

function makeRings(figure, rows, size) {
  const marked = rows.filter((row) => explore.marked.has(figure.well[row]));
  const line = { width: 2, color: readColor("--ink") };
  const marker = { symbol: "circle-open", size: size + 6, color: readColor("--ink"), line };
  return makeTrace(figure, marked, { marker, hoverinfo: "skip", hovertemplate: null });
}

function nameRow(number) {
  const letter = String.fromCharCode(65 + (number % 26));
  return number < 26 ? letter : String.fromCharCode(64 + Math.floor(number / 26)) + letter;
}

function makeAxes(figure) {
  const shared = { zeroline: false, showgrid: false, color: readColor("--ink") };
  if (!figure.shape) {
    if (figure.labels) {
      const [xaxis, yaxis] = figure.labels.map((text) => ({
        ...shared,
        title: { text, standoff: 6 },
      }));
      return { xaxis, yaxis };
    }
    // Numbers along the axes of a map mean nothing.
    const bare = { ...shared, showticklabels: false };
    return { xaxis: bare, yaxis: bare };
  }
  const [rows, columns] = figure.shape;
  const step = Math.ceil(columns / 12);
  const letters = [...Array(rows).keys()];
  const fixed = { ...shared, fixedrange: true };
  const xaxis = { ...fixed, range: [-0.6, columns - 0.4] };
  xaxis.tickvals = [...Array(columns).keys()].filter((column) => column % step === 0);
  xaxis.ticktext = xaxis.tickvals.map((column) => String(column + 1));
  const yaxis = { ...fixed, range: [rows - 0.4, -0.6], tickvals: letters };
  yaxis.ticktext = letters.map(nameRow);
  return { xaxis, yaxis };
}

const MARGIN = { l: 34, r: 10, t: 34, b: 74 };

// Height of the plot without title, axes and key, in pixels.
function measureHeight(figure, width) {
  const inner = width - MARGIN.l - MARGIN.r;
  return figure.shape ? (inner * figure.shape[0]) / figure.shape[1] : 0.6 * inner;
}

// Place the key or scale below the column numbers, where it takes no width.
function placeKey(figure, width) {
  const below = figure.shape ? 26 : figure.labels ? 42 : 6;
  return { orientation: "h", y: -below / measureHeight(figure, width), yanchor: "top" };
}

function makeLayout(figure, width, title) {
  return {
    ...makeAxes(figure),
    width,
    height: measureHeight(figure, width) + MARGIN.t + MARGIN.b,
    title: { text: title, font: { size: 13 }, x: 0.02, xanchor: "left" },
    margin: figure.labels ? { ...MARGIN, l: 54 } : MARGIN,
    legend: { ...placeKey(figure, width), font: { size: 11 } },
    paper_bgcolor: "transparent",
    plot_bgcolor: "transparent",
    font: { color: readColor("--ink"), size: 11 },
    modebar: { bgcolor: "transparent", color: readColor("--soft") },
    dragmode: figure.shape ? "select" : "lasso",
    hovermode: "closest",
    shapes: makeCursor(figure),
    selections: [],
  };
}

// A ring around the current well, in every figure.
function makeCursor(figure) {
  const isCurrent = (row) => figure.well[row] === explore.current;
  const row = figure.rows ? figure.rows.find(isCurrent) : undefined;
  if (row === undefined) return [];
  const anchor = { xanchor: figure.x[row], yanchor: figure.y[row] };
  const pixels = { xsizemode: "pixel", ysizemode: "pixel", x0: -9, x1: 9, y0: -9, y1: 9 };
  const line = { color: readColor("--edge"), width: 3 };
  return [{ type: "circle", ...pixels, ...anchor, line }];
}

const CONFIG = {
  displaylogo: false,
  responsive: false,
  scrollZoom: false,
  // These and no others: some buttons of plotly.js use the network.
  modeBarButtons: [["zoom2d", "pan2d", "select2d", "lasso2d", "resetScale2d"]],
};

function lookAt(figure, row) {
  change({ current: figure.well[row], facts: describeRow(figure, row) });
}

function listenTo(plot, figure) {
  const findRow = (point) => point.customdata;
  plot.on("plotly_hover", (event) => lookAt(figure, findRow(event.points[0])));
  plot.on("plotly_click", (event) => {
    lookAt(figure, findRow(event.points[0]));
    toggleMark(figure.well[findRow(event.points[0])]);
  });
  plot.on("plotly_selected", (event) => {
    if (event) markAll(event.points.map((point) => figure.well[findRow(point)]));
  });
}

// The row of the nearest well in the direction of an arrow key, as readers see it.
function findNext(figure, key) {
  const across = key === "ArrowLeft" || key === "ArrowRight";
  const isBack = key === "ArrowLeft" || key === (figure.shape ? "ArrowUp" : "ArrowDown");
  const { rows } = figure;
  const current = rows.find((row) => figure.well[row] === explore.current);
  if (current === undefined) return rows[0];
  const spans = [figure.x, figure.y].map((values) => {
    const shown = rows.map((row) => values[row]);
    return figure.shape ? 1 : Math.max(...shown) - Math.min(...shown) || 1;
  });
  let best = current;
  let nearest = Infinity;
  for (const row of rows) {
    const x = (figure.x[row] - figure.x[current]) / spans[0];
    const y = (figure.y[row] - figure.y[current]) / spans[1];
    const ahead = (isBack ? -1 : 1) * (across ? x : y);
    const aside = Math.abs(across ? y : x);
    const distance = ahead + 3 * aside;
    if (ahead > 0 && aside <= 2 * ahead && distance < nearest) {
      best = row;
      nearest = distance;
    }
  }
  return best;
}

function listenToKeys(box, pane, figure) {
  const description = pane.querySelector(".pane-well");
  // Screen readers read it aloud only beside the figure that has the focus.
  box.onfocus = () => description.setAttribute("aria-live", "polite");
  box.onblur = () => description.removeAttribute("aria-live");
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  const words = "Wells: arrow keys move from well to well, Enter marks a well";
  box.setAttribute("aria-label", words);
  box.onkeydown = (event) => {
    if (event.target !== box) return;
    if (event.key.startsWith("Arrow")) lookAt(figure, findNext(figure, event.key));
    else if (event.key === "Enter" || event.key === " ") {
      if (explore.current !== null) toggleMark(explore.current);
    } else return;
    event.preventDefault();
  };
}

// The choices above a figure: colours, panel, plate, treatment, picture.
function makeTools(figure, element, redraw) {
  const tools = make("div", { className: "tools" });
  const colors = Object.keys(figure.colored);
  const values = (names) => names.map((name) => [name, name]);
  const add = (label, names, property) => {
    figure[property] = names[0];
    if (names.length < 2) return;
    const choose = (value) => redraw({ [property]: value });
    tools.append(makeChoice(label, values(names), choose)[0]);
  };
  // On a plate, the first colours, such as true classes, stay beside the chosen ones.
  const isDouble = figure.shape && colors.length > 1;
  figure.fixed = isDouble ? colors[0] : null;
  add("Colour", isDouble ? colors.slice(1) : colors, "color");
  add("Panel", [...new Set(figure.panel || [])], "shownPanel");
  const plates = figure.shape ? figure.well.map((n) => explore.wells.plate[n]) : [];
  add("Plate", [...new Set(plates)], "shownPlate");
  if (listTreatments().length > 1) tools.append(makeTreatmentChoice());
  const picture = make("button", { type: "button", "aria-pressed": "false" }, "Picture");
  picture.onclick = () => {
    const isPicture = element.classList.toggle("as-picture");
    picture.setAttribute("aria-pressed", String(isPicture));
    if (!isPicture) redraw({});
  };
  tools.append(picture);
  return tools;
}

function chooseRows(figure) {
  const { plate } = explore.wells;
  return [...figure.well.keys()].filter(
    (row) =>
      (!figure.shownPanel || figure.panel[row] === figure.shownPanel) &&
      (!figure.shownPlate || plate[figure.well[row]] === figure.shownPlate) &&
      figure.x[row] !== null
  );
}

function drawFigure(figure) {
  if (!wide.matches || !figure.box.offsetWidth) return;
  figure.rows = chooseRows(figure);
  const names = figure.fixed ? [figure.fixed, figure.color] : [figure.color];
  const isBeside = names.length > 1 && figure.box.offsetWidth > 640;
  const width = Math.floor(figure.box.offsetWidth / (isBeside ? 2 : 1)) - 4;
  const cell = figure.shape ? (width - 44) / figure.shape[1] : 0;
  const size = figure.shape ? Math.max(4, 0.72 * cell) : figure.rows.length > 1000 ? 5 : 9;
  names.forEach((name, index) => {
    const traces = makeTraces(figure, figure.rows, figure.colored[name], size, width);
    traces.push(makeRings(figure, figure.rows, size));
    const plot = figure.plots[index];
    Plotly.react(plot, traces, makeLayout(figure, width, name), CONFIG);
    if (!plot.dataset.listens) listenTo(plot, figure);
    plot.dataset.listens = "yes";
  });
}

function updateFigure(figure, values) {
  if (!figure.rows || !wide.matches || !figure.box.offsetWidth) return;
  if ("marked" in values || "treatment" in values) drawFigure(figure);
  else if ("current" in values) {
    const { plots } = figure;
    const drawn = plots.filter((plot) => plot.dataset.listens);
    drawn.forEach((plot) => Plotly.relayout(plot, { shapes: makeCursor(figure) }));
  }
}

function prepareFigure(name, figure) {
  const element = document.querySelector(`figure[data-name="${name}"]`);
  numberWells(figure);
  figure.colored = listColors(figure);
  figure.plots = [make("div"), make("div")];
  figure.box = make("div", { className: "plots" }, ...figure.plots);
  const pane = makePane();
  listenToKeys(figure.box, pane, figure);
  const redraw = (choice) => {
    Object.assign(figure, choice);
    drawFigure(figure);
  };
  const tools = makeTools(figure, element, redraw);
  const body = make("div", { className: "body" }, figure.box, pane);
  element.prepend(make("div", { className: "interactive" }, tools, body));
  explore.listeners.push((values) => updateFigure(figure, values));
}

async function startFigures() {
  const figures = Object.entries(explore.figures);
  if (!figures.length || !wide.matches || document.documentElement.classList.contains("explore"))
    return;
  if (typeof Plotly === "undefined") {
    await loadLibrary();
    for (const [name, figure] of figures) prepareFigure(name, figure);
  }
  document.documentElement.classList.add("explore");
  drawFigures();
}

function drawFigures() {
  Object.values(explore.figures).forEach(drawFigure);
}

let resizeTimer;
addEventListener("resize", () => {
  clearTimeout(resizeTimer);
  resizeTimer = setTimeout(drawFigures, 150);
});
dark.addEventListener("change", drawFigures);
wide.addEventListener("change", startFigures);
// Where a browser cannot unpack the library, or draw, the pictures stay.
startFigures().catch((error) => {
  document.documentElement.classList.remove("explore");
  console.warn("Figures remain pictures.", error);
});
