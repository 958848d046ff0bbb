// The figures, each made of a study as it stands: what is chosen, what the filter leaves.

function axis(more) {
  const grid = css(printing ? "--print-grid" : "--grid");
  return { gridcolor: grid, zeroline: false, linecolor: grid, automargin: true, ...more };
}

function layoutOf(more) {
  const { xaxis, yaxis, ...rest } = more;
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: printing ? "#111" : css("--ink"), family: css("--font"), size: 12 },
    margin: { l: 50, r: 12, t: 12, b: 40 },
    hovermode: "closest",
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    hoverlabel: { namelength: -1 },
    xaxis: axis(xaxis || {}),
    yaxis: axis(yaxis || {}),
    ...rest,
  };
}

// Of a logarithmic axis: powers of ten only, where two of them or more are on it.
function decades(values) {
  const known = values.filter((value) => value > 0).map(Math.log10);
  const many = Math.floor(Math.max(...known)) - Math.ceil(Math.min(...known)) >= 1;
  return { type: "log", exponentformat: "power", ...(many ? { dtick: 1 } : {}) };
}

const isLog = (values) => {
  const known = values.filter((value) => value !== null);
  const low = Math.min(...known);
  return known.length > 0 && low > 0 && Math.max(...known) / low > LOG_RATIO;
};

// Trials over an x each: those with a value above, the others in a strip below, by their state.
function cloud(study, xs, xaxis, name) {
  const { objective, columns } = study.data;
  const rows = study.shown.map((_, row) => row).filter((row) => study.shown[row]);
  const known = rows.filter((row) => xs[row] !== null && xs[row] !== undefined);
  const lost = Object.keys(page.states).filter((one) =>
    known.some((row) => !has(study, row) && state(study, row) === one),
  );
  const place = (row) => (has(study, row) ? columns.value[row] : lost.indexOf(state(study, row)));
  const trace = (some, more) => ({
    type: "scatter",
    mode: "markers",
    x: some.map((row) => xs[row]),
    y: some.map(place),
    customdata: some.map((row) => row),
    text: some.map((row) => `trial ${number(study, row)}`),
    hovertemplate: `%{text}<br>${name} %{x}<br>${objective} %{y}<extra></extra>`,
    ...more,
  });
  const groups = ["complete", ...lost].map((one) => {
    const [color, symbol] = page.states[one];
    const below = one !== "complete";
    return trace(
      known.filter((row) => (below ? !has(study, row) && state(study, row) === one : has(study, row))),
      {
        name: one,
        marker: { color, symbol, size: 7, opacity: 0.8 },
        yaxis: below ? "y2" : "y",
        ...(below ? { hovertemplate: `%{text}: ${one}<br>${name} %{x}<extra></extra>` } : {}),
      },
    );
  });
  const rings = ["y", "y2"].map((yaxis) => {
    const some = known.filter((row) => study.chosen.has(row) && has(study, row) === (yaxis === "y"));
    const color = some.map((row) => look(study.chosen.get(row)).color);
    const marker = { symbol: "circle-open", size: 13, color, line: { width: 3 } };
    return trace(some, { marker, yaxis, hoverinfo: "skip", hovertemplate: null, name: "chosen" });
  });
  const foot = lost.length ? Math.min(0.5, 0.09 * lost.length) : 0;
  const values = columns.value.filter((value) => value !== null);
  const layout = {
    showlegend: false,
    // Room for the longest state: margins that plotly finds by itself go to and fro with two axes.
    margin: { l: 74, r: 12, t: 12, b: 44 },
    xaxis: { automargin: false, ...xaxis, anchor: lost.length ? "y2" : "y" },
    yaxis: {
      title: { text: objective, standoff: 8 },
      automargin: false,
      domain: [foot ? foot + 0.04 : 0, 1],
      ...(isLog(values) ? { type: "log" } : {}),
      visible: values.length > 0,
    },
  };
  if (lost.length) {
    layout.yaxis2 = axis({
      automargin: false,
      domain: [0, values.length ? foot : 1],
      range: [-0.6, lost.length - 0.4],
      tickvals: lost.map((_, at) => at),
      ticktext: lost,
      fixedrange: true,
      showgrid: false,
    });
  }
  return { data: [...groups, ...rings].filter((one) => one.x.length), layout };
}

function history(study) {
  const { columns, direction, objective } = study.data;
  const whole = study.count <= 12 ? { dtick: 1 } : {};
  const found = cloud(study, columns.number, { ...whole, title: { text: "trial" } }, "trial");
  const better = direction === "maximize" ? Math.max : Math.min;
  const order = columns.number.map((_, row) => row).filter((row) => has(study, row));
  order.sort((one, other) => number(study, one) - number(study, other));
  let best = null;
  const steps = order.map((row) => {
    best = best === null ? columns.value[row] : better(best, columns.value[row]);
    return best;
  });
  if (!steps.length) return found;
  const line = { color: page.lines[0], shape: "hv", width: 1.5 };
  const xs = [...order.map((row) => number(study, row)), Math.max(...columns.number)];
  found.data.unshift({
    type: "scatter", mode: "lines", x: xs, y: [...steps, best], line,
    name: "best so far", hovertemplate: `best so far: ${objective} %{y}<extra></extra>`,
  });
  return found;
}

function slice(study, element) {
  const param = study.data.params[Number(element.dataset.param)];
  if (param.choices) {
    const ticks = { tickvals: param.choices.map((_, at) => at), ticktext: param.choices.map(plain) };
    const range = [-0.6, param.choices.length - 0.4];
    const xs = param.at.map((at, row) => (at === null ? null : at + shift(study, row)));
    const xaxis = { ...ticks, range, automargin: true, title: { text: param.name } };
    const found = cloud(study, xs, xaxis, param.name);
    for (const trace of found.data) {
      trace.text = trace.customdata.map(
        (row) => `trial ${number(study, row)}, ${param.name} ${plain(param.choices[param.at[row]])}`,
      );
      if (trace.hovertemplate) {
        trace.hovertemplate = trace.hovertemplate.replace(`<br>${param.name} %{x}`, "");
      }
    }
    return found;
  }
  const type = param.log ? decades(study.data.columns[param.name]) : {};
  const title = { text: param.log ? `${param.name} (log)` : param.name };
  return cloud(study, study.data.columns[param.name], { ...type, title }, param.name);
}

// Sideways by the trial's number, always the same, so that equal choices do not cover each other.
const shift = (study, row) => (((number(study, row) * 0.618) % 1) - 0.5) * 0.5;

function curves(study, element) {
  const { curves: all, objective } = study.data;
  const traces = [];
  const empty = [];
  for (const [row, place] of [...study.chosen].sort((one, other) => one[0] - other[0])) {
    const ys = all[study.measure][row];
    if (!ys.some((value) => value !== null)) {
      empty.push(`trial ${number(study, row)} (${state(study, row)})`);
      continue;
    }
    const { color, dash, symbol } = look(place);
    const value = study.data.columns.value[row];
    const told = value === null ? state(study, row) : `${objective} ${measure(value)}`;
    traces.push({
      type: "scatter",
      mode: ys.length > 40 ? "lines" : "lines+markers",
      name: `trial ${number(study, row)} (${told})`,
      x: ys.map((_, at) => at + 1),
      y: ys,
      line: { color, dash, width: 2 },
      marker: { symbol, size: 7, color },
      hovertemplate: `trial ${number(study, row)}, epoch %{x}: %{y}<extra></extra>`,
    });
    if (value === null) {
      const [lost, mark] = page.states[state(study, row)];
      traces.push({
        type: "scatter", mode: "markers", showlegend: false, x: [ys.length], y: [ys[ys.length - 1]],
        marker: { symbol: mark, size: 12, color: lost }, hoverinfo: "skip",
      });
    }
  }
  const section = element.closest(".choosing");
  section.querySelector(".left-out").textContent =
    empty.length ? `Without a finished epoch, so not drawn: ${empty.join(", ")}.` : "";
  const log = study.measure.endsWith("loss") && isLog(traces.flatMap((trace) => trace.y));
  const unit = study.measure.endsWith("accuracy") ? "0 to 1" : "cross-entropy";
  const most = Math.max(1, ...traces.map((trace) => trace.x[trace.x.length - 1]));
  return {
    data: traces,
    layout: {
      showlegend: true,
      xaxis: { title: { text: "epoch" }, ...(most <= 12 ? { dtick: 1 } : {}) },
      yaxis: {
        title: { text: `${study.measure} (${unit}${log ? ", log" : ""})` },
        ...(log ? decades(traces.flatMap((trace) => trace.y)) : {}),
      },
    },
  };
}

// Parallel coordinates: lines in groups, so that a thousand trials are a few traces.
const BELOW = -0.13;

function heightOf(param, study, row) {
  if (param.choices) {
    const at = param.at[row];
    if (at === null) return BELOW;
    return (at + 0.5 + shift(study, row) * 0.8) / param.choices.length;
  }
  const value = study.data.columns[param.name][row];
  if (value === null) return BELOW;
  if (param.high <= param.low) return 0.5;
  const scale = param.log ? Math.log : (x) => x;
  return (scale(value) - scale(param.low)) / (scale(param.high) - scale(param.low));
}

function parallel(study) {
  const { params, columns, objective, direction } = study.data;
  const values = columns.value.filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const of = (row) => {
    if (!has(study, row)) return BELOW;
    return high > low ? (columns.value[row] - low) / (high - low) : 0.5;
  };
  const way = (row) => [...params.map((param) => heightOf(param, study, row)), of(row)];
  const rows = study.shown.map((_, row) => row).filter((row) => study.shown[row]);
  const good = rows.filter((row) => has(study, row)); // best first, as the rows are
  const shades = dark() ? [...SHADES].reverse() : SHADES;
  const fifths = shades.map((color, at) => ({
    name: ["best fifth", "second fifth", "third fifth", "fourth fifth", "last fifth"][at],
    rows: good.filter((_, place) => Math.floor((5 * place) / good.length) === at),
    line: { color, width: at === 0 ? 2 : 1 },
  }));
  const lost = Object.entries(page.states).map(([name, [color]]) => ({
    name,
    rows: rows.filter((row) => !has(study, row) && state(study, row) === name),
    line: { color, width: 1, dash: "dot" },
  }));
  const places = [...params.map((_, at) => at), params.length];
  const bundle = (some, more) => ({
    type: "scatter",
    mode: "lines",
    hoverinfo: "skip",
    x: some.flatMap(() => [...places, null]),
    y: some.flatMap((row) => [...way(row), null]),
    ...more,
  });
  const traces = [...lost, ...fifths.reverse()]
    .filter((group) => group.rows.length)
    .map((group) => bundle(group.rows, { name: group.name, line: group.line, opacity: 0.7 }));
  for (const [row, place] of study.chosen) {
    if (!study.shown[row]) continue;
    const { color, symbol } = look(place);
    traces.push(
      bundle([row], {
        name: `trial ${number(study, row)}`,
        mode: "lines+markers",
        line: { color, width: 3 },
        marker: { symbol, size: 8 },
      }),
    );
  }
  const label = (x, y, text, more) => ({ x, y, text: plain(text), showarrow: false, xshift: 4,
    xanchor: "left", font: { size: 11 }, bgcolor: css(printing ? "--print-paper" : "--paper"),
    opacity: 0.85, ...more });
  const texts = params.flatMap((param, at) =>
    param.choices
      ? param.choices.map((choice, i) => label(at, (i + 0.5) / param.choices.length, choice))
      : [label(at, 0, short(param.low)), label(at, 1, short(param.high))],
  );
  if (values.length) {
    texts.push(label(params.length, 0, measure(low)), label(params.length, 1, measure(high)));
  }
  if (rows.some((row) => way(row).includes(BELOW))) {
    texts.push(label(params.length, BELOW, "no value"));
    params.forEach((param, at) => {
      const absent = rows.some((row) => heightOf(param, study, row) === BELOW);
      if (absent) texts.push(label(at, BELOW, "inactive"));
    });
  }
  const ink = css(printing ? "--print-grid" : "--axis");
  const names = [...params.map((one) => (one.log ? `${one.name}<br>(log)` : one.name)), objective];
  return {
    data: traces,
    layout: {
      margin: { l: 20, r: 60, t: 12, b: 45 },
      xaxis: { tickvals: places, ticktext: names, range: [-0.1, params.length + 0.35],
        showgrid: false, fixedrange: true },
      yaxis: { visible: false, range: [BELOW - 0.08, 1.08], fixedrange: true },
      shapes: places.map((x) => ({ type: "line", x0: x, x1: x, y0: 0, y1: 1, line: { color: ink } })),
      annotations: texts,
      showlegend: true,
      meta: direction,
    },
  };
}

function layers(study, element) {
  const { quantity } = study;
  const traces = [];
  const missing = [];
  for (const [row, place] of [...study.chosen].sort((one, other) => one[0] - other[0])) {
    const found = study.data.layers[row];
    if (!found) {
      missing.push(`trial ${number(study, row)}`);
      continue;
    }
    const { color, symbol } = look(place);
    found.probes.forEach((probe) => {
      if (!probe[quantity].some((value) => value !== null)) return;
      const when = probe.epoch ? `after epoch ${probe.epoch}` : "before training";
      traces.push({
        type: "scatter", mode: "lines+markers", x: found.names, y: probe[quantity],
        name: `trial ${number(study, row)}`, showlegend: probe.epoch > 0 || found.probes.length === 1,
        line: { color, dash: probe.epoch ? "solid" : "dot" }, marker: { symbol, size: 8, color },
        hovertemplate: `trial ${number(study, row)}, %{x}, ${when}: %{y}<extra></extra>`,
      });
    });
  }
  const log = LOG_QUANTITIES.has(quantity);
  const share = ["dead", "saturated", "similarity"].includes(quantity);
  const notes = missing.length ? [{ text: `not measured, or not in the page: ${missing.join(", ")}`,
    xref: "paper", yref: "paper", x: 0, y: 0, yanchor: "bottom", showarrow: false }] : [];
  layerTable(study, element.closest(".layers"));
  return {
    data: traces,
    layout: {
      showlegend: true,
      annotations: notes,
      xaxis: { type: "category" },
      yaxis: {
        title: { text: `${quantity}${share ? ", 0 to 1" : ""}${log ? " (log)" : ""}` },
        ...(log ? decades(traces.flatMap((trace) => trace.y)) : {}),
        ...(share ? { range: [-0.03, 1.03] } : {}),
      },
    },
  };
}

const spec = (found) => (found ? structuredClone(found) : { data: [], layout: {} });
const makers = {
  history, slice, curves, parallel, layers,
  importance: (study) => spec(study.data.figures.importance),
  "progress-trials": () => spec(page.figures["progress-trials"]),
  "progress-epochs": () => spec(page.figures["progress-epochs"]),
};
const drawn = new Set();

function draw(element) {
  const study = studies[Number(element.dataset.study)];
  const { data, layout } = makers[element.dataset.figure](study, element);
  Plotly.react(element, data, layoutOf(layout), CONFIG);
  if (drawn.has(element)) return;
  drawn.add(element);
  element.on("plotly_click", (event) => {
    const row = event.points[0].customdata;
    if (Number.isInteger(row)) {
      choose(study, row, !study.chosen.has(row));
      refresh(study);
    }
  });
}

function redraw(study) {
  for (const element of drawn) {
    const mine = study === undefined || Number(element.dataset.study) === study.index;
    const changes = study === undefined || element.dataset.figure !== "importance";
    if (mine && changes && element.offsetParent !== null) draw(element);
  }
}

// Figures are drawn when they come into view: a thousand trials are some thousand marks each.
let watch = null;

// plotly takes a second to be read, so it waits until the page can be: it stands there as text,
// and runs as the script whose hash the page's policy names.
function start() {
  if (watch) return;
  const script = document.createElement("script");
  script.textContent = document.getElementById("plotly").textContent;
  document.body.append(script);
  watch = new IntersectionObserver(seen, { rootMargin: "200px" });
  document.querySelectorAll(".plot").forEach((one) => watch.observe(one));
}

const seen = (
entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      watch.unobserve(entry.target);
      draw(entry.target);
    }
  }
  root.dataset.drawn = String(drawn.size);
};
