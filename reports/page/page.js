"use strict";
// Sorting, filtering, charts and the comparison of images. All text goes in as text, never as HTML.

const find = (selector, inside = document) => inside.querySelector(selector);
const findAll = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const readData = (element) => JSON.parse(element.textContent);

function makeElement(name, properties = {}, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

function fillSelect(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => makeElement("option", { value, textContent: text })));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}

/* ---- light and dark ---- */

const redraws = [];

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function recall() {
  try { return localStorage.getItem("theme"); } catch { return null; } // storage can be closed to files
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("theme", theme); } catch { /* it holds for this page then */ }
  redraws.forEach((redraw) => redraw());
}

function setUpTheme() {
  const stored = recall();
  if (stored === "dark" || stored === "light") document.documentElement.dataset.theme = stored;
  const button = find("#theme");
  button.hidden = false;
  button.addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraws.forEach((redraw) => redraw()));
}

/* ---- tables ---- */

function readKey(cell) {
  const text = cell.dataset.sort;
  if (text === undefined) return null;
  const number = Number(text);
  return text !== "" && !Number.isNaN(number) ? number : text;
}

// missing values stay last in both directions
function compareKeys(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b));
}

function sortTable(table, column, direction) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, place) => ({ row, place, key: readKey(row.cells[column]) }));
  const sign = direction === "ascending" ? 1 : -1;
  rows.sort((a, b) => compareKeys(a.key, b.key, sign) || a.place - b.place);
  body.append(...rows.map(({ row }) => row));
  [...table.tHead.rows[0].cells].forEach((cell, number) => {
    if (number === column) cell.setAttribute("aria-sort", direction);
    else cell.removeAttribute("aria-sort");
  });
  table.dispatchEvent(new Event("sorted"));
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = find("button", cell);
    button.addEventListener("click", () => {
      const first = "rising" in button.dataset ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      sortTable(table, column, cell.getAttribute("aria-sort") === first ? other : first);
    });
  });
}

const FIRST_ROWS = 100; // to lay out a thousand takes as long as one notices

function setUpBoards() {
  const boards = findAll(".board");
  if (!boards.length) return;
  const filter = find("#filter"), split = find("#split"), front = find("#front"), shown = find("#shown"), all = find("#all");
  let most = FIRST_ROWS;
  function showRows(board) {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...find("tbody", board).rows];
    let count = 0;
    for (const row of rows) {
      const fits = words.every((word) => row.dataset.search.includes(word)) && (!front?.checked || "front" in row.dataset);
      count += fits;
      row.hidden = !fits || count > most;
    }
    const of = count === rows.length ? "" : ` of ${rows.length}`;
    shown.textContent = `${count}${of} submission${rows.length === 1 ? "" : "s"}${count ? "" : ": none fits"}`;
    all.hidden = count <= most;
    all.textContent = `Show all ${count}, not only ${most}`;
  }
  function apply() {
    boards.forEach((board, number) => { board.hidden = number !== Number(split?.value ?? 0); });
    showRows(boards.find((board) => !board.hidden));
  }
  filter.addEventListener("input", apply);
  for (const control of [front, split]) control?.addEventListener("change", apply);
  boards.forEach((board) => find("table", board).addEventListener("sorted", apply));
  all.addEventListener("click", () => { most = Infinity; apply(); });
  apply();
}

/* ---- charts ---- */

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star", "triangle-left", "triangle-right"];

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return { ground: read("--ground"), text: read("--text"), line: read("--line"), soft: read("--soft"), mark: read("--mark") };
}

// Plotly reads a little HTML in its labels: entities keep a name what it is
const escapeLabel = (text) => String(text).replace(/[&<>]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[c]);

function layOut(x, y, more = {}) {
  const colours = readColours();
  const axis = (side) => ({
    title: { text: side.label, standoff: 12 }, type: side.log ? "log" : "linear", gridcolor: colours.line, zeroline: false,
    linecolor: colours.line, automargin: true, ...(side.log ? { tickvals: side.ticks, ticktext: side.ticks.map(String) } : {}),
  });
  return {
    paper_bgcolor: colours.ground, plot_bgcolor: colours.ground,
    font: { color: colours.text, size: 14, family: getComputedStyle(document.body).fontFamily },
    margin: { l: 70, r: 20, t: 20, b: 75 }, hovermode: "closest", showlegend: false,
    xaxis: axis(x), yaxis: axis(y), ...more,
  };
}

// 1, 2, 5, 10, ...: as many as lie between the ends, written out
function listTicks(values) {
  const ends = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(...ends))) - 1, high = Math.ceil(Math.log10(Math.max(...ends))) + 1;
  const ticks = [];
  const steps = Math.max(...ends) < 4 * Math.min(...ends) ? [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9] : [1, 2, 5];
  for (let power = low; power <= high; power++) for (const step of steps) ticks.push(Number(`${step}e${power}`));
  return ticks;
}

// a name stands beside its point, towards the middle, and away from a neighbour of about the same place
function placeNames(board, sides) {
  const scale = (side) => {
    const values = board.values[side.key].map((value) => (side.log ? Math.log(value) : value));
    const known = values.filter(Number.isFinite), low = Math.min(...known), range = Math.max(...known) - low || 1;
    return values.map((value) => (value - low) / range);
  };
  const [x, y] = sides.map(scale);
  return x.map((across, place) => {
    const above = y.some((up, other) => other !== place && Math.abs(x[other] - across) < 0.15 && up - y[place] >= 0 && up - y[place] < 0.12 && (up > y[place] || other < place));
    return `${above ? "bottom" : "top"} ${across > 0.6 ? "left" : "right"}`;
  });
}

const SETTINGS = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };

function drawChart(element, traces, layout) {
  return Plotly.react(element, traces, layout, SETTINGS);
}

function listBars(board, side) {
  const low = board.low[side.key], high = board.high[side.key];
  if (!low) return undefined;
  const values = board.values[side.key];
  return {
    type: "data", symmetric: false, array: high.map((h, i) => (h === null ? 0 : h - values[i])),
    arrayminus: low.map((l, i) => (l === null ? 0 : values[i] - l)), thickness: 1, width: 0, color: readColours().soft,
  };
}

function setUpScatter() {
  const element = find("#chart");
  if (!element || typeof Plotly === "undefined") return;
  const boards = readData(find("#chart-data"));
  const x = find("#x"), y = find("#y"), split = find("#split");
  const choices = boards[0].sides.map((side) => [side.key, side.label]);
  const [across, up] = [["speed_up", "niqe"], ["psnr"]].map((wanted) => wanted.find((key) => key in boards[0].values));
  fillSelect(x, choices, across);
  fillSelect(y, choices, up);
  find("#axes").hidden = false;
  function draw() {
    const board = boards[Number(split?.value ?? 0)];
    const sides = [x, y].map((select) => board.sides.find((side) => side.key === select.value) ?? board.sides[0]);
    const places = board.names.map((_, place) => place);
    const few = board.names.length <= 25 && element.clientWidth > 600; // else names would cover each other
    const trace = {
      type: "scatter", mode: few ? "markers+text" : "markers",
      x: board.values[sides[0].key], y: board.values[sides[1].key],
      error_x: listBars(board, sides[0]), error_y: listBars(board, sides[1]),
      text: board.names.map(escapeLabel), textposition: placeNames(board, sides), customdata: board.names, cliponaxis: false,
      hovertemplate: `<b>%{text}</b><br>${sides[0].label} %{x}<br>${sides[1].label} %{y}<extra></extra>`,
      marker: {
        size: few ? 12 : 8, line: { width: 1, color: readColours().ground },
        color: places.map((place) => COLOURS[place % COLOURS.length]),
        symbol: places.map((place) => SYMBOLS[place % SYMBOLS.length]),
      },
    };
    const withTicks = sides.map((side) => ({ ...side, ticks: side.log ? listTicks(board.values[side.key]) : [] }));
    return drawChart(element, [trace], layOut(...withTicks));
  }
  draw().then(() => element.on("plotly_click", (event) => {
    const name = event.points[0].customdata;
    find("#picked").replaceChildren(makeElement("a", { href: `page/submissions/${encodeURIComponent(name)}.html`, textContent: name }));
  }));
  [x, y, split].forEach((select) => select?.addEventListener("change", draw));
  redraws.push(draw);
}

function setUpHistogram(kinds) {
  const element = find("#histogram");
  if (!element || typeof Plotly === "undefined") return;
  const columns = kinds.flatMap((kind) => kind.columns.map((name, place) => ({ name, rows: kind.rows, place: place + 1 })));
  const select = find("#metric");
  fillSelect(select, columns.map(({ name }, number) => [String(number), name]), "0");
  function draw() {
    const { name, rows, place } = columns[Number(select.value)];
    const known = rows.map((row) => row[place]).filter((value) => value !== null), infinite = rows.length - known.length;
    const trace = {
      type: "histogram", x: known, marker: { color: readColours().mark },
      nbinsx: 40, hovertemplate: "%{x}: %{y} images<extra></extra>",
    };
    return drawChart(element, [trace], layOut({ label: infinite ? `${name}; ${infinite} infinite ones are not drawn` : name }, { label: "Images" }, { bargap: 0.05 }));
  }
  select.addEventListener("change", draw);
  redraws.push(draw);
  draw();
}

function setUpTiming() {
  const element = find("#timing");
  if (!element || typeof Plotly === "undefined") return;
  const series = readData(find("#timing-data"));
  function draw() {
    const traces = series.map(({ name, blocks }, number) => ({
      type: "scatter", mode: "markers", name: escapeLabel(name),
      x: blocks.flatMap((runs, block) => runs.map(() => block + 1)), y: blocks.flat(),
      marker: { color: COLOURS[number], symbol: SYMBOLS[number], size: 9, opacity: 0.8 },
      hovertemplate: "pair %{x}: %{y} ms<extra>%{fullData.name}</extra>",
    }));
    const layout = layOut({ label: "Pair of processes" }, { label: "Time (ms)" }, { showlegend: true, legend: { orientation: "h", y: 1.12 } });
    layout.yaxis.rangemode = "tozero";
    layout.xaxis.dtick = Math.max(1, Math.ceil(series[0].blocks.length / 12));
    return drawChart(element, traces, layout);
  }
  redraws.push(draw);
  draw();
}

/* ---- comparison ---- */

function listSides(picture) {
  const sides = [["source", "source", picture.source]];
  if (picture.target) sides.push(["target", "target", picture.target]);
  return [...sides, ...Object.entries(picture.outputs).map(([name, path]) => [`output ${name}`, name, path])];
}

function setUpComparison(section) {
  const { root, pictures } = readData(find(".data", section));
  const [picture, left, right] = ["picture", "left", "right"].map((name) => find(`.${name}`, section));
  const frame = find(".frame", section), range = find("input[type=range]", section), exact = find(".exact", section);
  let sides = [];
  function show() {
    const chosen = pictures[Number(picture.value)];
    const { width_px: width, height_px: height } = chosen;
    const small = width < 400;
    frame.style.setProperty("--ratio", `${width} / ${height}`);
    frame.style.setProperty("--own", `${width / devicePixelRatio}px`);
    frame.style.setProperty("--wide", `${small ? Math.max(width, 480) : width}px`);
    frame.style.setProperty("--rendering", small ? "pixelated" : "auto");
    for (const [image, select] of [[".above", left], [".below", right]]) {
      const [, label, path] = sides.find(([key]) => key === select.value);
      Object.assign(find(image, frame), { src: root + path, alt: `${label} of ${chosen.image}` });
    }
    const [one, other] = [left, right].map((select) => select.selectedOptions[0].textContent);
    find(".caption", section).textContent = `Left of the line: ${one}. Right: ${other}. ${width}x${height} pixels${chosen.note ? `; ${chosen.note}` : ""}.`;
  }
  function fill() {
    sides = listSides(pictures[Number(picture.value)]);
    const options = sides.map(([key, label]) => [key, label]);
    const output = options.length - Object.keys(pictures[Number(picture.value)].outputs).length;
    fillSelect(left, options, left.value || "source");
    fillSelect(right, options, right.value || options[Math.min(output, options.length - 1)][0]);
    show();
  }
  fillSelect(picture, pictures.map(({ label }, number) => [String(number), label]), "0");
  range.addEventListener("input", () => frame.style.setProperty("--cut", `${range.value}%`));
  exact.addEventListener("change", () => find(".stage", section).classList.toggle("exact-size", exact.checked));
  picture.addEventListener("change", fill);
  [left, right].forEach((select) => select.addEventListener("change", show));
  fill();
}

/* ---- values of every image ---- */

function setUpValues() {
  const data = find("#values-data");
  if (!data) return [];
  const kinds = readData(data);
  findAll(".values").forEach((place, number) => {
    const { columns, digits, rows } = kinds[number];
    const heads = ["Image", ...columns].map((text) => {
      const head = makeElement("th", { scope: "col", className: text === "Image" ? "text" : "" }, makeElement("button", { type: "button", textContent: text }));
      if (text === "Image" || text.includes("↓")) find("button", head).dataset.rising = "";
      return head;
    });
    const body = makeElement("tbody", {}, ...rows.map(([image, ...values]) => {
      const name = makeElement("th", { scope: "row", textContent: image });
      name.dataset.sort = image;
      const cells = values.map((value, column) => {
        const cell = makeElement("td", { textContent: value === null ? "∞" : value.toFixed(digits[column]) });
        cell.dataset.sort = value === null ? "Infinity" : value;
        return cell;
      });
      const row = makeElement("tr", {}, name, ...cells);
      row.dataset.search = image.toLowerCase();
      return row;
    }));
    const table = makeElement("table", { className: "sortable" }, makeElement("thead", {}, makeElement("tr", {}, ...heads)), body);
    place.append(table);
  });
  find("#find").addEventListener("input", (event) => {
    const word = event.target.value.toLowerCase();
    for (const row of findAll(".values tbody tr")) row.hidden = !row.dataset.search.includes(word);
  });
  return kinds;
}

function setUpResize() {
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => redraws.forEach((redraw) => redraw()), 200);
  });
}

setUpTheme();
setUpResize();
const kinds = setUpValues();
findAll("table.sortable").forEach(makeSortable);
setUpBoards();
setUpScatter();
setUpHistogram(kinds);
setUpTiming();
findAll(".comparison").forEach(setUpComparison);
