// The two drawings that follow the threshold: the scores of either class above its slider, and the ROC curve.

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 20;
const STEPS = 1000;

function shape(name, attributes, parent) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

/** The slider's scale: where a threshold lies on it, and which threshold a place means. */
function sliderScale(data) {
  let least = Math.min(data.threshold, ...(data.band ?? []), data.probabilities ? 0 : Infinity);
  let most = Math.max(data.threshold, ...(data.band ?? []), data.probabilities ? 1 : -Infinity);
  for (const score of data.scores) {
    if (score < least) least = score;
    if (score > most) most = score;
  }
  if (most === least) [least, most] = [least - 1, most + 1];
  if (!data.probabilities && Math.max(-least, most) > WIDE) {
    // Raw outputs that have run off: a symmetric log scale, as in the plots.
    const place = (value) => Math.sign(value) * Math.log10(1 + Math.abs(value));
    const value = (at) => Math.sign(at) * (10 ** Math.abs(at) - 1);
    const step = (place(most) - place(least)) / STEPS;
    const round = (at) => Number(value(at).toPrecision(4));
    return { least: place(least) - step, most: place(most) + step, step, place, value: round, wide: true };
  }
  const power = Math.floor(Math.log10((2 * (most - least)) / STEPS));
  const step = 10 ** power;
  const round = (at) => Number((Math.round(at / step) * step).toFixed(Math.min(100, Math.max(0, -power))));
  // One step beyond every score, so that all and none of the images can be called anomalous.
  const air = data.probabilities ? 0 : step;
  const ends = {
    least: round(Math.floor((least - air) / step) * step),
    most: round(Math.ceil((most + air) / step) * step),
  };
  return { ...ends, step, place: (value) => value, value: round, wide: false };
}

/** Draws how often each class has each score; returns what moves the line of the threshold and the band. */
function drawScores(svg, data, scale) {
  const [width, height, bins] = [1000, 100, 100];
  const across = (value) => ((scale.place(value) - scale.least) / (scale.most - scale.least)) * width;
  const counted = (values) => {
    const counts = new Array(bins).fill(0);
    for (const value of values) counts[Math.min(bins - 1, Math.floor((across(value) / width) * bins))] += 1;
    return counts;
  };
  const [normal, anomalous] = [counted(data.normal), counted(data.anomalous)];
  // Most scores of a good model lie at the two ends; by the root of their number the rest stays in sight.
  const unit = height / 2 / Math.sqrt(Math.max(...normal, ...anomalous));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const band = shape("rect", { class: "band", y: 0, height }, svg);
  for (let bin = 0; bin < bins; bin++) {
    const place = { x: (bin * width) / bins + 1, width: width / bins - 2 };
    const [up, down] = [unit * Math.sqrt(anomalous[bin]), unit * Math.sqrt(normal[bin])];
    if (up) shape("rect", { class: "anomalous", y: height / 2 - up, height: up, ...place }, svg);
    if (down) shape("rect", { class: "normal", y: height / 2, height: down, ...place }, svg);
  }
  const own = across(data.threshold);
  shape("line", { class: "own", x1: own, x2: own, y1: 0, y2: height }, svg);
  const line = shape("line", { class: "now", y1: 0, y2: height }, svg);
  return (threshold) => {
    const at = Math.min(width, Math.max(0, across(threshold)));
    line.setAttribute("x1", at);
    line.setAttribute("x2", at);
    const [low, high] = bandAt(data, threshold) ?? [scale.value(scale.least), scale.value(scale.least)];
    band.setAttribute("x", across(low));
    band.setAttribute("width", Math.max(0, across(high) - across(low)));
  };
}

/** Draws the ROC curve; returns what moves its point. */
function drawRoc(svg, data) {
  const [left, top, side] = [50, 8, 240];
  const x = (rate) => (left + side * rate).toFixed(1);
  const y = (rate) => (top + side * (1 - rate)).toFixed(1);
  svg.setAttribute("viewBox", `0 0 ${left + side + 12} ${top + side + 44}`);
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    shape("line", { class: "grid", x1: x(0), x2: x(1), y1: y(part), y2: y(part) }, svg);
    shape("line", { class: "grid", x1: x(part), x2: x(part), y1: y(0), y2: y(1) }, svg);
    const label = `${100 * part}`;
    shape("text", { x: left - 7, y: Number(y(part)) + 4, "text-anchor": "end" }, svg).textContent = label;
    shape("text", { x: x(part), y: top + side + 16, "text-anchor": "middle" }, svg).textContent = label;
  }
  const across = { x: left + side / 2, y: top + side + 36, "text-anchor": "middle" };
  shape("text", across, svg).textContent = "false alarms, % of the normal images";
  const upwards = { transform: `translate(13 ${top + side / 2}) rotate(-90)`, "text-anchor": "middle" };
  shape("text", upwards, svg).textContent = "found, % of the anomalous images";
  if (!data.normal.length || !data.anomalous.length) {
    const middle = { x: left + side / 2, y: top + side / 2, "text-anchor": "middle" };
    shape("text", middle, svg).textContent = `No curve: all are ${data.normal.length ? "normal" : "anomalous"}.`;
    return () => {};
  }
  const at = (threshold) => {
    const { tn, fp, fn, tp } = countsAt(data, threshold);
    return [fp / (fp + tn), tp / (tp + fn)];
  };
  shape("line", { class: "chance", x1: x(0), y1: y(0), x2: x(1), y2: y(1) }, svg);
  // Points that fall on the same tenth of a pixel are one, however many images there are.
  const points = new Set(cuts(data).map((cut) => at(cut.upTo)).map(([fpr, tpr]) => `${x(fpr)},${y(tpr)}`));
  shape("polyline", { class: "curve", points: [...points].join(" ") }, svg);
  const [ownFpr, ownTpr] = at(data.threshold);
  shape("circle", { class: "own", cx: x(ownFpr), cy: y(ownTpr), r: 7 }, svg);
  const point = shape("circle", { class: "now", r: 5.5 }, svg);
  return (threshold) => {
    const [fpr, tpr] = at(threshold);
    point.setAttribute("cx", x(fpr));
    point.setAttribute("cy", y(tpr));
    svg.setAttribute(
      "aria-label",
      `ROC curve. At this threshold ${percentage(fpr)} of the normal images are false alarms and ` +
        `${percentage(tpr)} of the anomalous ones are found.`,
    );
  };
}
