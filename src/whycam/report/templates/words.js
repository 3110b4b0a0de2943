// Figures as people read them, letter for letter as whycam/report/words.py writes them elsewhere on the page.

/** What rounds to `n` significant digits as Python rounds: ties go to the even digit, in JavaScript they go up. */
function towardsEven(value, n) {
  const digits = Math.abs(value).toPrecision(60).replace(/e.*$/, "").replace(".", "").replace(/^0+/, "");
  const tie = digits[n] === "5" && /^0*$/.test(digits.slice(n + 1)) && "02468".includes(digits[n - 1]);
  return tie ? value * (1 - 2 ** -52) : value;
}

/** 3 significant digits: 0.235, 12.0, 1,230, 3.40e+38; `undefined` for what is no number. */
function number(value) {
  if (Number.isNaN(value)) return "undefined";
  if (value === 0) return "0";
  const even = towardsEven(value, 3);
  if (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e6) {
    return even.toExponential(2).replace(/e([+-])(\d)$/, "e$10$2");
  }
  const text = even.toPrecision(3);
  return text.includes("e") ? count(Number(text)) : text;
}

/** A share in [0, 1] as a percentage; what is not all never reads 100, what is not none never 0. */
function percentage(value) {
  if (Number.isNaN(value)) return "undefined";
  if (value === 0 || value === 1) return `${100 * value} %`;
  let text = "";
  for (let n = 3; n < 17; n++) {
    text = towardsEven(100 * value, n).toPrecision(n);
    if (Number(text) !== 100) break;
  }
  return `${text} %`;
}

/** A whole number: 50,000. */
function count(n) {
  return n.toLocaleString("en-US");
}

/** A target as short as it can be written: 0, 1, 0.33. */
function grade(target) {
  return String(Number(target.toPrecision(3)));
}

/** `1 image`, `656 images`. */
function images(n, kind = "") {
  return `${count(n)} ${kind ? `${kind} ` : ""}image${n === 1 ? "" : "s"}`;
}
